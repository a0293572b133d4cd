"""Grouped bars: under a name a bar with its interval for each of what is compared."""

from __future__ import annotations

from planner.report.charts.chart import (
    INK,
    RIGHT,
    SOFT,
    Bars,
    Chart,
    ChartAxis,
    Interval,
    Legend,
    Mark,
    MarkGroup,
    PointMarks,
    Words,
    ticked,
)
from planner.report.charts.drawing import drawn
from planner.report.charts.records import (
    AxisTicks,
    Bar,
    GroupedBars,
    axis_ticks,
    number_text,
    numbers,
    row_in_words,
)

FILLS = ("#1d5f9e", "#a34a12", "#0b6f63", "#7d3c98", "#6b5d00", "#a3243b", "#4b5563", "#2e6f32")
"""Colours of bars, on a page classes; a ninth name begins again."""
WIDTH, PITCH = 560.0, 15.0
"""Pixels: of a chart and of a bar."""
APART = 0.8
"""Bars that would have room between groups."""


def grouped_bars_svg(grouped: GroupedBars, key: str) -> str:
    """One ``svg`` element: groups from above, bars from the left, a legend at the top."""
    return drawn(bars_chart(grouped), key)


def bars_chart(grouped: GroupedBars) -> Chart:
    """Groups of bars (on a logarithm points) with their intervals; where nothing runs the reason
    stands."""
    bars = [bar for group in grouped.groups for bar in group.bars]
    ticks = axis_ticks(numbers(bars), log=grouped.log, zero=True)
    fills = {name: n % len(FILLS) for n, name in enumerate(grouped.names)}
    y, middles, marks = 0.0, list[tuple[float, str]](), list[Mark | MarkGroup]()
    edges = [-0.5 - APART / 2]
    for group in grouped.groups:
        middles.append((y + (len(group.bars) - 1) / 2, group.name))
        for bar in group.bars:
            told = f"{group.name}, {row_in_words(bar)}"
            marks.append(MarkGroup(_bar(bar, y, fills[bar.name], ticks), told))
            y += 1.0
        edges.append(y - 0.5 + APART / 2)
        y += APART
    marks += [
        Bars(((0, ticks.low, 0),), FILLS[n], name=name, alpha=0.6, kind=f"key f{n}")
        for name, n in fills.items()
    ]
    return Chart(
        grouped.title,
        ticked(ticks, grouped.y_title),
        ChartAxis(
            ends=(edges[-1], edges[0]),
            ticks=tuple(middles),
            plain=True,
            pitch=PITCH,
            edges=tuple(edges),
        ),
        tuple(marks),
        grouped.alt,
        (7.2, 1.2 + 0.2 * (len(bars) + len(grouped.groups))),
        grid="x",
        legend=Legend("upper left", (1.12, 1.0)),
        kind="chart groups",
        wide=WIDTH,
    )


def _bar(bar: Bar, y: float, fill: int, ticks: AxisTicks) -> tuple[Mark, ...]:
    """A bar from 0 (on a logarithm a point), its interval, its value; or a reason."""
    colour, marks = FILLS[fill], list[Mark]()
    if bar.value is None:
        start = ((y, ticks.low, 0),)
        return (
            Bars(start, colour, hatched=True, kind=f"key none f{fill}"),
            Words(ticks.low, y, bar.why, 7, SOFT, up="center", offset=(10.5, 0), kind="note"),
        )
    if not ticks.log:
        bars = ((y, 0, bar.value),)
        marks.append(Bars(bars, colour, 0.86, alpha=0.6, kind=f"pillar f{fill}"))
    if bar.low is not None and bar.high is not None:
        ends = (bar.low, bar.high)
        marks.append(Interval(y, *ends, INK, 1.4, alpha=0.75, ended=True, kind="whisker"))
    if ticks.log:
        at = ((bar.value, y),)
        marks.append(PointMarks(at, colour, size=6.4, above=True, kind=f"point f{fill}"))
    value = number_text(bar.value)
    return (*marks, Words(RIGHT, y, value, 7, up="center", x_of="chart", kind="note value"))
