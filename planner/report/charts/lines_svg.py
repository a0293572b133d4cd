"""Small multiples of a sweep as SVG: a panel for each combination, a line for each value compared.

A line joins what has an order: contexts, batches, limits. Colours are classes of ``charts.css`` and
``sweep.css``; the same chart gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil

from planner.report.charts.records import AxisTicks, axis_ticks, number_text
from planner.report.charts.svg import chart_open, line, path, text, text_width, truncated

ACROSS, FILLS = 3, 8
"""Panels side by side; colours of lines."""
HIGH, GAP, SIDE, HEAD, FOOT, LEFT, WIDTH = 130.0, 16.0, 8.0, 32.0, 34.0, 58.0, 720.0
"""Pixels: a panel's height, between panels, beside them, above and below them; the chart."""
KEY = 22.0


@dataclass(frozen=True, slots=True)
class LinePoint:
    """A value with its interval at the tick ``at``; no ``value``: no answer, ``why``."""

    at: int
    value: float | None
    low: float | None
    high: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class LinePanel:
    """Lines by the place of their name in the chart's ``names``."""

    name: str
    lines: tuple[tuple[int, tuple[LinePoint, ...]], ...]


@dataclass(frozen=True, slots=True)
class LineChart:
    """Panels on common axes: ``ticks`` are what stands below the x axis, in order."""

    title: str
    x_title: str
    y_title: str
    ticks: tuple[str, ...]
    names: tuple[str, ...]
    panels: tuple[LinePanel, ...]
    alt: str


def lines_svg(chart: LineChart, key: str) -> str:
    """One ``svg`` element: a legend, then the panels; crosses at the bottom have no answer."""
    across = min(ACROSS, max(len(chart.panels), 1))
    broad = (WIDTH - LEFT - SIDE - GAP * (across - 1)) / across
    legend, top = _legend(chart)
    rows = ceil(len(chart.panels) / across)
    low = top + rows * (HIGH + HEAD + GAP)
    ends = [
        n
        for panel in chart.panels
        for _, points in panel.lines
        for point in points
        for n in (point.low, point.value, point.high)
        if n is not None
    ]
    ticks = axis_ticks(ends, log=True, zero=False)
    parts = [chart_open("series broad", key, (WIDTH, low + FOOT), chart.title, chart.alt), *legend]
    for n, panel in enumerate(chart.panels):
        x = LEFT + (broad + GAP) * (n % across)
        y = top + (HIGH + HEAD + GAP) * (n // across) + HEAD
        last = n + across >= len(chart.panels)
        parts += _panel(chart, panel, ticks, (x, y, broad), (n % across == 0, last))
    parts += [
        text(0, top, truncated(chart.y_title, WIDTH), "start", "title"),
        text(WIDTH - SIDE, low + FOOT - 8, truncated(chart.x_title, WIDTH), "end", "title"),
    ]
    return "".join((*parts, "</svg>"))


def _legend(chart: LineChart) -> tuple[list[str], float]:
    """Names beside their colours, and where the panels begin."""
    if len(chart.names) < 2:
        return [], 20.0
    parts, x, y = [], 0.0, 14.0
    for n, name in enumerate(chart.names):
        room = text_width(name) + 40
        if x and x + room > WIDTH:
            x, y = 0.0, y + KEY
        parts.append(
            _mark(n, x + 6, y - 4, "")
            + text(x + 18, y, truncated(name, WIDTH - 24), "start", "name")
        )
        x += room
    return parts, y + KEY + 4


def _panel(
    chart: LineChart,
    panel: LinePanel,
    ticks: AxisTicks,
    box: tuple[float, float, float],
    edge: tuple[bool, bool],
) -> Iterator[str]:
    """A panel at (x, y) ``broad`` pixels wide; ``edge``: it is the first of a row, and has nothing
    below it."""
    x, y, broad = box
    yield text(x, y - 7, truncated(panel.name, broad), "start", "head")
    end = y + HIGH + 20
    for value, words in zip(ticks.values, ticks.texts, strict=True):
        at = y + HIGH * (1 - ticks.share(value))
        if at < end - 13 or value == ticks.values[0]:
            yield line("grid", x, at, x + broad, at)
            if edge[0]:
                yield text(x - 6, at + 4, words, "end", "tick")
            end = at
    step = broad / len(chart.ticks)
    if edge[1]:
        yield from _below(chart.ticks, x, y + HIGH + 16, step)
    for name, points in panel.lines:
        yield from _line(points, name, chart, panel, (x + step / 2, y, step), ticks)


def _below(words: Sequence[str], x: float, y: float, step: float) -> Iterator[str]:
    """Names of the ticks, as many as have room."""
    every = max(1, ceil((max(map(text_width, words)) + 6) / step))
    for n in range(0, len(words), every):
        yield text(x + step * (n + 0.5), y, words[n], "middle", "tick")


def _line(
    points: Sequence[LinePoint],
    name: int,
    chart: LineChart,
    panel: LinePanel,
    at: tuple[float, float, float],
    ticks: AxisTicks,
) -> Iterator[str]:
    x, y, step = at
    colour = f"f{name % FILLS}"
    there = [
        (x + step * p.at, y + HIGH * (1 - ticks.share(p.value)), p)
        for p in points
        if p.value is not None
    ]
    if len(there) > 1:
        yield path(f"line {colour}", [(a, b) for a, b, _ in there])
    for a, b, point in there:
        ends = ""
        if point.low is not None and point.high is not None:
            low, high = (y + HIGH * (1 - ticks.share(end)) for end in (point.low, point.high))
            yield line(f"whisker {colour}", a, low, a, high)
            ends = f" ({number_text(point.low)} – {number_text(point.high)})"
        yield _mark(
            name,
            a,
            b,
            f"{_where(chart, panel, name, point)}: {number_text(point.value or 0.0)}{ends}",
        )
    for point in points:
        if point.value is None:
            a, b = x + step * point.at, y + HIGH - 6 - 9 * (name % FILLS)
            words = f"{_where(chart, panel, name, point)}: {point.why}"
            yield (
                f'<path class="cross {colour}" d="M{a - 3:.1f} {b - 3:.1f} l6 6 m0 -6 l-6 6">'
                f"<title>{escape(words)}</title></path>"
            )


def _where(chart: LineChart, panel: LinePanel, name: int, point: LinePoint) -> str:
    names = (panel.name, chart.names[name] if chart.names else "", chart.ticks[point.at])
    return ", ".join(filter(None, names))


def _mark(name: int, x: float, y: float, title: str) -> str:
    """A mark whose shape tells lines apart without their colour."""
    shapes = (
        "m-3.6 0 a3.6 3.6 0 1 0 7.2 0 a3.6 3.6 0 1 0 -7.2 0",
        "m-3.2 -3.2 h6.4 v6.4 h-6.4 z",
        "m0 -4.4 l4.4 4.4 l-4.4 4.4 l-4.4 -4.4 z",
        "m0 -4 l4 7 h-8 z",
        "m0 4 l4 -7 h-8 z",
    )
    words = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<path class="mark f{name % FILLS}" d="M{x:.1f} {y:.1f} '
        f'{shapes[name % len(shapes)]}">{words}</path>'
    )
