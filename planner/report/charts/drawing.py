"""Charts of records as SVG: the one drawer of pages, in classes of their style sheets.

A chart's numeric axes have their ends and ticks; the same chart gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from itertools import pairwise

from planner.report.charts.chart import (
    Bars,
    Chart,
    ChartGrid,
    ColouredCell,
    HeatCells,
    Interval,
    Mark,
    MarkGroup,
    PointMarks,
    ShadedBand,
    ValueLine,
    Words,
    single_marks,
)
from planner.report.charts.layout import (
    HEAD,
    LINE_HEIGHT,
    Place,
    Rows,
    axis_scale,
    columns,
    letters,
    spread,
    two_lines,
)
from planner.report.charts.records import LEVELS
from planner.report.charts.svg import (
    Labels,
    Scale,
    figure,
    line,
    path,
    rect,
    shape,
    text,
    text_width,
    truncated,
)

POINT = 95 / 72
"""Pixels of a point of a chart's sizes."""
LEFT, SIDE, TOP, FOOT, TITLE = 58.0, 8.0, 28.0, 44.0, 60.0
"""Pixels: left of numbers, right of values, above and below axes; the title of the other drawer."""
KEY, SWATCH = 22.0, 22.0
"""Pixels: rows of a legend, a shade of the scale."""
BROAD = 520.0
"""Pixels: a wider map scrolls on a phone."""
PANEL, GAP = 130.0, 16.0
"""Pixels: height of a panel, between panels."""
ANCHORS = {"left": "start", "center": "middle", "right": "end"}


@dataclass(slots=True)
class _Frame:
    """The axes' box in pixels, places of values in it, where the picture ends at the right, and
    names of rows that are not drawn yet, by their place."""

    x: Place
    y: Place
    left: float
    right: float
    top: float
    low: float
    edge: float
    key: str = ""
    labels: Labels = field(init=False)
    names: dict[float, str] = field(default_factory=dict)
    rows: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        self.labels = Labels(self.edge)
        self.rows = self.rows or ((self.top, self.low),)


def drawn(chart: Chart, key: str = "") -> str:
    """One ``svg`` element whose ids begin with ``key``; without one with its class.

    Raises:
        NotImplementedError: cells of a scale of colours, which only the other drawer has.
    """
    legend, top = _legend([chart], chart.wide) if chart.legend is not None else ([], 0.0)
    kind, foot = chart.kind, FOOT
    top += TOP if chart.y.label else 0.0 if legend else 10.0
    left, right, edge = LEFT, chart.wide - chart.aside, chart.wide
    values = [
        text_width(w.text, letters(w), bold=w.bold)
        for w in single_marks(chart.marks)
        if isinstance(w, Words) and w.x_of == "chart" and w.x > 1
    ]
    if values:
        right = chart.wide - SIDE - max(40.0, *values) - 10
    rows = Rows(chart) if chart.y.plain else None
    if rows is not None:
        left = max(50.0, rows.wide) + 12
    heads: list[str] = []
    x = axis_scale(chart.x, left, right) if not chart.x.plain else None
    if x is None:
        cell, names = columns(chart)
        top += 2 + LINE_HEIGHT * max(map(len, names))
        right = left + cell * len(names)
        edge = max(right + 2, min(_shades_width(chart), BROAD))
        kind += " broad" if edge > BROAD else ""
        x = Scale(-0.5, len(names) - 0.5, left, right, False)
        heads = [
            text(x(n), top - 8 - LINE_HEIGHT * (len(lines) - 1 - i), words, "middle", "name")
            for n, lines in enumerate(names)
            for i, words in enumerate(lines)
        ]
    if rows is not None:
        y, low = rows.placed(top), top + rows.high
    else:
        low = chart.size[1] * 95 - TITLE - foot
        y = axis_scale(chart.y, low, top)
    f = _Frame(x, y, left, right, top, low, edge, key or chart.kind)
    if rows is not None:
        f.names, f.rows = rows.texts(y, edge), rows.stretches(y)
    parts = [*legend, *heads, *_axes(chart, f), *_marks(chart, f)]
    if chart.x.plain:
        parts = [_hatch(f.key), *parts, *_shades(chart, f)]
    return figure(kind, edge, low + foot, chart.title, chart.alt, parts, key)


def drawn_grid(grid: ChartGrid, key: str) -> str:
    """Panels in rows under one legend: numbers beside the first of a row, below the last."""
    first, across = grid.charts[0], min(grid.across, len(grid.charts))
    wide = first.wide
    broad = (wide - LEFT - SIDE - GAP * (across - 1)) / across
    legend, top = _legend(grid.charts, wide)
    top = top + 12 if len(legend) > 1 else TOP
    parts = list(legend) if len(legend) > 1 else []
    for n, chart in enumerate(grid.charts):
        x = LEFT + (broad + GAP) * (n % across)
        y = top + (PANEL + HEAD + GAP) * (n // across) + HEAD
        f = _Frame(
            axis_scale(chart.x, x, x + broad),
            axis_scale(chart.y, y + PANEL, y),
            *(x, x + broad, y, y + PANEL, wide, key),
        )
        parts.append(text(x, y - 7, truncated(chart.title, broad), "start", "head"))
        parts += _axes(chart, f, numbers=(n + across >= len(grid.charts), n % across == 0))
        parts += _marks(chart, f)
    low = top + -(-len(grid.charts) // across) * (PANEL + HEAD + GAP)
    parts += [
        text(0, top, truncated(first.y.label, wide), "start", "name title"),
        text(wide - SIDE, low + 26, truncated(first.x.label, wide), "end", "name title"),
    ]
    return figure(first.kind, wide, low + 34, grid.title, grid.alt, parts, key)


def _axes(chart: Chart, f: _Frame, numbers: tuple[bool, bool] | None = None) -> Iterator[str]:
    """The grid, numbers where they have room, and names; a panel has only ``numbers``."""
    below, beside = numbers or (True, True)
    end = f.left - 60
    for value, words in () if chart.x.plain else chart.x.ticks or ():
        at, half = f.x(value), text_width(words) / 2
        if chart.grid in ("x", "both"):
            for top, low in f.rows:
                yield line("grid", at, top, at, low)
        if below and at - half > end:
            yield text(min(at, f.edge - half), f.low + 16, words, "middle")
            end = at + half + 6
    end = f.low + 60
    for value, words in () if chart.y.plain else chart.y.ticks or ():
        at = f.y(value)
        if at > end - 13:
            continue
        end = at
        if chart.grid in ("y", "both"):
            yield line("grid", f.left, at, f.right, at)
        if beside:
            yield text(f.left - 7, at + 4, words, "end")
    if numbers is None and not chart.x.plain:
        right = f.edge - SIDE if chart.y.plain else f.right
        yield text(right, f.low + 36, truncated(chart.x.label, f.edge), "end", "name title")
        if chart.y.label:
            yield text(f.left, f.top - 12, chart.y.label, "start", "name title")


def _legend(charts: Sequence[Chart], wide: float) -> tuple[list[str], float]:
    """Names beside their marks in rows, and where the rows end."""
    named: dict[str, Bars | PointMarks] = {}
    for chart in charts:
        for mark in single_marks(chart.marks):
            if isinstance(mark, (Bars, PointMarks)) and mark.name:
                named.setdefault(mark.name, mark)
    parts, x, y = [], 0.0, 14.0
    for name, mark in named.items():
        room = text_width(name) + 36
        if x and x + room > wide:
            x, y = 0.0, y + KEY
        form, radius = ("s", 5.5)
        if isinstance(mark, PointMarks):
            form, radius = mark.shape, mark.size * POINT / 2
        parts.append(
            shape(form, mark.kind, x + 6, y - 4.5, radius)
            + text(x + 18, y, truncated(name, wide - 24), "start", "name")
        )
        x += room
    return parts, y + 14


def _marks(chart: Chart, f: _Frame) -> Iterator[str]:
    for point in single_marks(chart.marks):
        if isinstance(point, PointMarks) and point.shape:
            for x, y in point.places:
                f.labels.block(f.x(x) - 5, f.y(y) + 4, 10)
    groups = {mark.at for mark in chart.marks if isinstance(mark, MarkGroup)}
    yield from (words for at, words in f.names.items() if at not in groups)
    moved = _moved([mark for mark in chart.marks if isinstance(mark, MarkGroup)], f)
    for mark in chart.marks:
        if not isinstance(mark, MarkGroup):
            yield from _mark(mark, f)
            continue
        kind = f' class="{mark.kind}"' if mark.kind else ""
        yield f"<g{kind}>" + (f"<title>{escape(mark.tip)}</title>" if mark.tip else "")
        if mark.at is not None:
            yield f.names.get(mark.at, "")
        place, lead = next(moved) if mark.apart else (f, "")
        yield lead
        for one in mark.marks:
            yield from _mark(one, place)
        yield "</g>"


def _moved(groups: Sequence[MarkGroup], f: _Frame) -> Iterator[tuple[_Frame, str]]:
    """For each group that stands apart the axes moved as it is, and a line from its place."""
    first = [g.marks[0] for g in groups if g.apart]
    points = [mark for mark in first if isinstance(mark, PointMarks)]
    true = [(f.x(x), f.y(y)) for mark in points for x, y in mark.places[:1]]
    radius = max((mark.size for mark in points), default=0.0) * POINT / 2
    for (x0, y0), (x, y) in zip(true, spread(true, radius, f.right, f.low), strict=True):
        lead = line("lead", x0, y0, x, y) if abs(x - x0) + abs(y - y0) > 1 else ""
        yield replace(f, x=_shifted(f.x, x - x0), y=_shifted(f.y, y - y0)), lead


def _shifted(place: Place, by: float) -> Place:
    return lambda value: place(value) + by


def _mark(mark: Mark, f: _Frame) -> Iterator[str]:
    match mark:
        case Bars():
            for n, (place, start, length) in enumerate(mark.bars):
                tip = mark.tips[n] if mark.tips else ""
                if length:
                    half = mark.height / 2
                    box = _box(f, start, start + length, place - half, place + half)
                    yield rect(mark.kind, *box, tip)
                elif mark.hatched:
                    yield shape("s", mark.kind, f.x(start) + 5, f.y(place), 3.5)
        case PointMarks():
            places = [(f.x(x), f.y(y)) for x, y in mark.places]
            corners = [(x, y) for (_, y), (x, _) in pairwise(places)] if mark.line == "step" else []
            joined = [at for n, at in enumerate(places) for at in (*corners[n - 1 : n], at)]
            if mark.line and len(places) > 1:
                yield path(mark.kind, joined)
            for n, (x, y) in enumerate(places if mark.shape else ()):
                tip = mark.tips[n] if mark.tips else ""
                kind = f"{mark.kind} dot" if mark.line else mark.kind
                style = f"{'stroke' if mark.hollow else 'fill'}:{mark.colour}"
                style = style if mark.coloured else ""
                yield shape(mark.shape, kind, x, y, mark.size * POINT / 2, tip, style)
        case Interval():
            along, other = (f.y, f.x) if mark.upright else (f.x, f.y)
            at, ends = other(mark.at), (along(mark.low), along(mark.high))
            bars = [(at, at, *ends)] if mark.upright else [(*ends, at, at)]
            if mark.ended:
                bars += [(end, end, at - 4, at + 4) for end in ends]
            for n, (x1, x2, y1, y2) in enumerate(bars):
                yield line(f"{mark.kind} end" if n else mark.kind, x1, y1, x2, y2)
        case ShadedBand():
            x, y, width, height = _box(f, mark.low, mark.high, mark.low, mark.high)
            if mark.across:
                yield rect(mark.kind, f.left, y, f.right - f.left, height)
            else:
                yield rect(mark.kind, x, f.top, width, f.low - f.top)
        case ValueLine(across=True):
            yield line(mark.kind, f.left, f.y(mark.at), f.right, f.y(mark.at))
        case ValueLine():
            yield line(mark.kind, f.x(mark.at), f.top - 6, f.x(mark.at), f.low)
        case Words():
            yield from _words(mark, f)
        case ColouredCell():
            box = _box(f, mark.x, mark.x + mark.width, mark.y, mark.y + mark.height)
            yield rect(mark.kind, *box, fill=f"url(#{f.key}-hatch)" if mark.hatched else "")
        case HeatCells():
            raise NotImplementedError("cells on a scale of colours")


def _box(f: _Frame, *ends: float) -> tuple[float, float, float, float]:
    """Corner, width and height of what lies between two values of x and two of y."""
    (left, right), (top, low) = sorted(map(f.x, ends[:2])), sorted(map(f.y, ends[2:]))
    return left, top, right - left, low - top


def _words(mark: Words, f: _Frame) -> Iterator[str]:
    """A text at its place: in the column at the right, off other labels, in its cell, or where it
    has room to the edge."""
    dx, dy = mark.offset or (0.0, 0.0)
    y = f.y(mark.y) - dy * POINT + (4.5 if mark.up == "center" else 0.0)
    if mark.x_of == "chart":
        yield text(f.edge - SIDE, y, mark.text, "end", mark.kind)
        return
    x = f.x(mark.x) + dx * POINT
    if mark.beside:
        yield f.labels(f.x(mark.x), y - 4, mark.text, mark.kind)
    elif mark.boxed:
        lines = two_lines(mark, f.x(1) - f.x(0) - 10)
        for n, part in enumerate(lines):
            yield text(x, y + 13 * (n - (len(lines) - 1) / 2), part, "middle", mark.kind)
    elif mark.across == "center":
        half = text_width(mark.text, letters(mark)) / 2
        x = min(max(x, half), f.edge - SIDE - half)
        colour = mark.colour if mark.coloured else ""
        yield text(x, y, mark.text, "middle", mark.kind, colour)
    else:
        room = f.edge - SIDE - x if mark.across == "left" else x
        words = truncated(mark.text.strip(), room, letters(mark))
        yield text(x, y, words, ANCHORS[mark.across], mark.kind)


def _hatch(key: str) -> str:
    return (
        f'<defs><pattern id="{key}-hatch" width="7" height="7" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect class="ground" width="7" height="7"/>'
        '<line class="stroke" x1="0" y1="0" x2="0" y2="7"/></pattern></defs>'
    )


def _shades_width(chart: Chart) -> float:
    """Pixels of the scale of shades with its texts."""
    ends = (chart.shades.pale, chart.shades.dark) if chart.shades is not None else ()
    texts = sum(text_width(words, 12.0) for words in ends)
    return SWATCH * LEVELS + text_width(chart.x.label) + texts + 30


def _shades(chart: Chart, f: _Frame) -> Iterator[str]:
    """The shades from the worst to the best, the texts of both ends, and the unit."""
    x, y = 0.0, f.low + 32
    if chart.shades is not None:
        yield text(0, y, chart.shades.pale, "start")
        x = text_width(chart.shades.pale, 12.0) + 6
        for n in range(LEVELS):
            yield rect(f"s{n}", x + SWATCH * n, y - 12, SWATCH, 15)
        x += SWATCH * LEVELS + 6
        yield text(x, y, chart.shades.dark, "start")
        x += text_width(chart.shades.dark, 12.0) + 14
    yield text(x, y, truncated(chart.x.label, f.edge - x), "start", "name title")
