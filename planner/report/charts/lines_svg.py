"""Small multiples of a sweep: a panel for each combination, a line for each value compared.

A line joins what has an order: contexts, batches, limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from planner.report.charts.bars_svg import FILLS
from planner.report.charts.chart import (
    Chart,
    ChartAxis,
    ChartGrid,
    Interval,
    Legend,
    Mark,
    PointMarks,
    ticked,
)
from planner.report.charts.drawing import drawn_grid
from planner.report.charts.records import AxisTicks, axis_ticks, interval_text

SHAPES = (("o", 5.5), ("s", 4.9), ("D", 6.7), ("^", 6.1), ("v", 6.1))
"""Shapes and sizes that tell lines apart without their colour."""
WIDTH = 720.0
"""Pixels of the chart on a page."""
LOWEST, STEP = 0.046, 0.07
"""Where crosses of the first line without an answer lie, as a share of the axis, and of others."""


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
    return drawn_grid(lines_grid(chart), key)


def lines_grid(chart: LineChart) -> ChartGrid:
    """The panels on common axes, upwards a logarithm."""
    ends = [
        n
        for panel in chart.panels
        for _, points in panel.lines
        for point in points
        for n in (point.low, point.value, point.high)
        if n is not None
    ]
    ticks, count = axis_ticks(ends, log=True, zero=False), len(chart.ticks)
    x = ChartAxis(chart.x_title, ends=(-0.5, count - 0.5), ticks=tuple(enumerate(chart.ticks)))
    return ChartGrid(
        chart.title,
        tuple(
            Chart(
                panel.name,
                x,
                ticked(ticks, chart.y_title),
                tuple(
                    mark
                    for name, points in panel.lines
                    for mark in _line(points, name, chart, panel, ticks)
                ),
                _alt(chart, panel),
                (3.6, 2.6),
                grid="y",
                legend=Legend(size=7) if n == 0 and len(chart.names) > 1 else None,
                kind="chart series broad",
                wide=WIDTH,
            )
            for n, panel in enumerate(chart.panels)
        ),
        chart.alt,
    )


def _line(
    points: Sequence[LinePoint], name: int, chart: LineChart, panel: LinePanel, ticks: AxisTicks
) -> Iterator[Mark]:
    fill, (shape, size) = name % len(FILLS), SHAPES[name % len(SHAPES)]
    colour, called = FILLS[fill], chart.names[name] if chart.names else ""
    places = tuple((float(p.at), p.value) for p in points if p.value is not None)
    yield PointMarks(places, colour, "", line="-", width=1.8, kind=f"line f{fill}")
    for p in points:
        if p.low is not None and p.high is not None:
            ends = (p.at, p.low, p.high)
            yield Interval(*ends, colour, upright=True, alpha=0.45, kind=f"whisker f{fill}")
    tips = tuple(_point_in_words(chart, panel, name, p) for p in points if p.value is not None)
    yield PointMarks(
        places, colour, shape, size, name=called, rim=0, tips=tips, kind=f"mark f{fill}"
    )
    without = [p for p in points if p.value is None]
    share = LOWEST + STEP * fill
    y = ticks.low + share * (ticks.high - ticks.low)
    if ticks.log:
        y = ticks.low * (ticks.high / ticks.low) ** share
    yield PointMarks(
        tuple((float(p.at), y) for p in without),
        colour,
        "x",
        4.5,
        tips=tuple(_point_in_words(chart, panel, name, p) for p in without),
        kind=f"cross f{fill}",
    )


def _point_in_words(chart: LineChart, panel: LinePanel, name: int, point: LinePoint) -> str:
    """Where a point is, and its value with the interval, or why there is none."""
    names = (panel.name, chart.names[name] if chart.names else "", chart.ticks[point.at])
    value = point.why if point.value is None else interval_text(point.value, point.low, point.high)
    return f"{', '.join(filter(None, names))}: {value}"


def _alt(chart: LineChart, panel: LinePanel) -> str:
    """Every point of a panel in words."""
    return "; ".join(
        _point_in_words(chart, panel, name, point)
        for name, points in panel.lines
        for point in points
    )
