"""Dot plots with intervals as SVG, alone or as small multiples on one axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from planner.report.charts.records import (
    AxisTicks,
    DotPlot,
    DotRow,
    Panels,
    axis_ticks,
    numbers,
    row_in_words,
    row_text,
)
from planner.report.charts.svg import (
    chart_open,
    diamond,
    dot,
    line,
    text,
    text_width,
    truncated,
    wrapped,
)

WIDTH, SIDE, TOP, FOOT = 500.0, 8.0, 10.0, 42.0
"""Pixels: of a dot plot, at its right, above its first row, below its last for the axis."""
NAMES = 190.0
"""Pixels: the widest column of names; longer ones wrap."""
ROW, LINE_HEIGHT, NOTE_SIZE = 30.0, 15.0, 11.0
HEAD = 28.0
"""Pixels: the name of a panel."""
RADIUS = 4.6


def dot_plot_svg(chart: DotPlot, key: str) -> str:
    """Rows of a name, a dot on its interval and the value."""
    place = _Columns(chart.rows)
    heights = [place.height(row) for row in chart.rows]
    high = TOP + sum(heights) + FOOT
    ticks = axis_ticks(numbers(chart.rows), log=chart.log, zero=False)
    return "".join(
        (
            chart_open("dots", key, (WIDTH, high), chart.title, chart.alt),
            *_axis(place, ticks, TOP, high - FOOT, chart.x_title),
            *_rows(place, ticks, chart.rows, TOP),
            "</svg>",
        )
    )


def panels_svg(chart: Panels, key: str) -> str:
    """Dot plots one below another on one axis."""
    rows = [row for panel in chart.panels for row in panel.rows]
    place = _Columns(rows)
    first = chart.panels[0] if chart.panels else DotPlot("", "", (), "")
    limits = [panel.limit.value for panel in chart.panels if panel.limit is not None]
    ticks = axis_ticks([*numbers(rows), *limits], log=first.log, zero=False)
    high = sum(HEAD + sum(place.height(row) for row in panel.rows) for panel in chart.panels)
    parts = [chart_open("dots panels", key, (WIDTH, TOP + high + FOOT), chart.title, chart.alt)]
    parts += _ticks(place, ticks, TOP + high, first.x_title)
    y = TOP
    for panel in chart.panels:
        tall = sum(place.height(row) for row in panel.rows)
        parts.append(text(0, y + HEAD - 9, truncated(panel.title, WIDTH), "start", "head"))
        parts += _lines(place, ticks, y + HEAD, y + HEAD + tall)
        parts += _limit(place, ticks, panel, (y + HEAD, y + HEAD + tall))
        parts += _rows(place, ticks, panel.rows, y + HEAD)
        y += HEAD + tall
    return "".join((*parts, "</svg>"))


class _Columns:
    """The columns of names, marks and values, as wide as the rows need."""

    def __init__(self, rows: Sequence[DotRow]) -> None:
        names = [_width(row, part) for row in rows for part in self.lines(row)]
        notes = [text_width(part, NOTE_SIZE) for row in rows for part in self.notes(row)]
        self.left = max([60.0, *names, *notes]) + 14
        self.right = WIDTH - SIDE - max([40.0, *(_width(row, row_text(row)) for row in rows)]) - 10

    def lines(self, row: DotRow) -> list[str]:
        """The name in lines."""
        return wrapped(row.name, NAMES, bold=row.mark == "recommended")

    def notes(self, row: DotRow) -> list[str]:
        """The note in lines."""
        return wrapped(row.note, NAMES, NOTE_SIZE) if row.note else []

    def height(self, row: DotRow) -> float:
        """Pixels of a row."""
        return ROW + LINE_HEIGHT * (len(self.lines(row)) + len(self.notes(row)) - 1)

    def x(self, ticks: AxisTicks, value: float) -> float:
        """Pixels of a value."""
        return self.left + ticks.share(value) * (self.right - self.left)


def _width(row: DotRow, words: str) -> float:
    return text_width(words, bold=row.mark == "recommended")


def _axis(place: _Columns, ticks: AxisTicks, top: float, low: float, title: str) -> Iterator[str]:
    yield from _lines(place, ticks, top, low)
    yield from _ticks(place, ticks, low, title)


def _lines(place: _Columns, ticks: AxisTicks, top: float, low: float) -> Iterator[str]:
    for value in ticks.values:
        yield line("grid", place.x(ticks, value), top, place.x(ticks, value), low)


def _limit(
    place: _Columns, ticks: AxisTicks, panel: DotPlot, ends: tuple[float, float]
) -> Iterator[str]:
    """The limit of a panel as a line across its rows, its words above it."""
    if panel.limit is None:
        return
    x, (top, low) = place.x(ticks, panel.limit.value), ends
    yield line("limit", x, top - 4, x, low)
    half = text_width(panel.limit.text, NOTE_SIZE) / 2
    middle = min(max(x, half), WIDTH - SIDE - half)
    yield text(middle, top - 9, panel.limit.text, "middle", "limit")


def _ticks(place: _Columns, ticks: AxisTicks, low: float, title: str) -> Iterator[str]:
    """Numbers below the axis where they have room, and its title."""
    end = 0.0
    for value, words in zip(ticks.values, ticks.texts, strict=True):
        x, half = place.x(ticks, value), text_width(words) / 2
        if x - half > end:
            yield text(x, low + 16, words, "middle", "tick")
            end = x + half + 6
    yield text(WIDTH - SIDE, low + 34, truncated(title, WIDTH), "end", "title")


def _rows(place: _Columns, ticks: AxisTicks, rows: Sequence[DotRow], top: float) -> Iterator[str]:
    for row in rows:
        y = top + place.height(row) / 2
        top += place.height(row)
        yield f'<g class="row {row.mark}"><title>{escape(row_in_words(row))}</title>'
        names, notes = place.lines(row), place.notes(row)
        first = y + 4.5 - LINE_HEIGHT * (len(names) + len(notes) - 1) / 2
        for n, part in enumerate(names):
            yield text(0, first + LINE_HEIGHT * n, part, "start", "name")
        for n, part in enumerate(notes, len(names)):
            yield text(0, first + LINE_HEIGHT * n, part, "start", "note")
        yield from _interval(place, ticks, row, y)
        yield _mark(row, place.x(ticks, row.value), y)
        yield text(WIDTH - SIDE, y + 4.5, row_text(row), "end", "value") + "</g>"


def _interval(place: _Columns, ticks: AxisTicks, row: DotRow, y: float) -> Iterator[str]:
    if row.low is None or row.high is None:
        return
    low, high = place.x(ticks, row.low), place.x(ticks, row.high)
    yield line("span", low, y, high, y)
    for end in (low, high):
        yield line("end", end, y - 4, end, y + 4)


def _mark(row: DotRow, x: float, y: float) -> str:
    if row.mark == "recommended":
        return diamond("mark", x, y, 6.6, row_in_words(row))
    if row.mark == "released":
        side = 2 * RADIUS - 0.8
        return (
            f'<rect class="mark" x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" '
            f'width="{side:g}" height="{side:g}"/>'
        )
    return dot("mark", x, y, RADIUS, row_in_words(row))
