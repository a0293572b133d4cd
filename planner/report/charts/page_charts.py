"""Charts of a page (dots, panels, heat maps, grouped bars) as charts that any axes take."""

from __future__ import annotations

from planner.report.charts.chart import (
    GRID,
    INK,
    RIGHT,
    SOFT,
    Bars,
    Chart,
    ChartAxis,
    ColouredCell,
    Interval,
    Legend,
    Mark,
    PointMarks,
    Words,
    ticked,
)
from planner.report.charts.records import (
    GroupedBars,
    HeatMap,
    axis_ticks,
    heat_ends,
    levels,
    number_text,
    numbers,
)

FILLS = ("#1d5f9e", "#a34a12", "#0b6f63", "#7d3c98", "#6b5d00", "#a3243b", "#4b5563", "#2e6f32")
SHADES = ("#eef4fa", "#d6e5f3", "#b5d0e9", "#8db6dc", "#3674b0", "#22639f", "#12457a")
DARK = 4
"""The first shade with white text."""


def heat_chart(heat: HeatMap) -> Chart:
    """Texts on their shades, hatched where nothing runs; the ends of the shades below."""
    marks: list[Mark] = []
    for y, (cells, shades) in enumerate(zip(heat.cells, levels(heat), strict=True)):
        for x, (cell, shade) in enumerate(zip(cells, shades, strict=True)):
            at = (x - 0.48, y - 0.47, 0.96, 0.94)
            if shade is None:
                marks.append(ColouredCell(*at, "white", GRID, hatched=True))
                ink = SOFT
            else:
                marks.append(ColouredCell(*at, SHADES[shade]))
                ink = "white" if shade >= DARK else INK
            marks.append(Words(x, y, cell.text, 8, ink, "center", "center"))
    ends, unit = heat_ends(heat), heat.unit
    if ends is not None:
        pale, dark = ends if heat.better == "high" else ends[::-1]
        unit = f"{unit}: pale {pale.text}, dark {dark.text}"
    rows, columns = heat.rows, heat.columns
    return Chart(
        heat.title,
        ChartAxis(
            unit, ends=(-0.5, len(columns) - 0.5), ticks=tuple(enumerate(columns)), plain=True
        ),
        ChartAxis(ends=(len(rows) - 0.5, -0.5), ticks=tuple(enumerate(rows)), plain=True),
        tuple(marks),
        heat.alt,
        (2.4 + 1.05 * len(columns), 1.1 + 0.36 * len(rows)),
        sides="none",
    )


def bars_chart(grouped: GroupedBars) -> Chart:
    """Groups of bars (on a logarithm points) with their intervals; where nothing runs the reason
    stands."""
    bars = [bar for group in grouped.groups for bar in group.bars]
    ticks = axis_ticks(numbers(bars), log=grouped.log, zero=True)
    colours = {name: FILLS[n % len(FILLS)] for n, name in enumerate(grouped.names)}
    y, middles, marks = 0.0, list[tuple[float, str]](), list[Mark]()
    for group in grouped.groups:
        middles.append((y + (len(group.bars) - 1) / 2, group.name))
        for bar in group.bars:
            if bar.value is None:
                marks.append(Words(ticks.low, y, f" {bar.why}", 7, SOFT, up="center"))
            else:
                if not ticks.log:
                    marks.append(Bars(((y, 0, bar.value),), colours[bar.name], 0.86, alpha=0.6))
                marks += _interval(bar.low, bar.high, y, INK)
                if ticks.log:
                    marks.append(
                        PointMarks(((bar.value, y),), colours[bar.name], size=5, above=True)
                    )
                value = number_text(bar.value)
                marks.append(Words(RIGHT, y, value, 7, up="center", x_of="chart"))
            y += 1.0
        y += 1.0
    marks += [
        Bars(((0, ticks.low, 0),), colour, name=name, alpha=0.6) for name, colour in colours.items()
    ]
    return Chart(
        grouped.title,
        ticked(ticks, grouped.y_title),
        ChartAxis(ends=(y - 1.4, -0.6), ticks=tuple(middles), plain=True),
        tuple(marks),
        grouped.alt,
        (7.2, 1.2 + 0.2 * (len(bars) + len(grouped.groups))),
        grid="x",
        legend=Legend("upper left", (1.12, 1.0)),
    )


def _interval(low: float | None, high: float | None, y: float, colour: str) -> list[Mark]:
    if low is None or high is None:
        return []
    return [Interval(y, low, high, colour, 1.4, alpha=0.75, ended=True)]
