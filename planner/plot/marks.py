"""Charts of records with matplotlib: what ``planner.report.drawing.marks`` draws as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.plot.axes import GRID, INK, SOFT, axes_for, describe, tidy
from planner.report.figures.marks import (
    DotPlot,
    DotRow,
    GroupedBars,
    HeatMap,
    Panels,
    heat_ends,
    levels,
    numbers,
    row_text,
    written,
)
from planner.report.figures.ticks import AxisTicks, axis_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OWN, PLAIN = "#0b6f63", "#1d5f9e"
FILLS = ("#1d5f9e", "#a34a12", "#0b6f63", "#7d3c98", "#6b5d00", "#a3243b", "#4b5563", "#2e6f32")
SHADES = ("#eef4fa", "#d6e5f3", "#b5d0e9", "#8db6dc", "#3674b0", "#22639f", "#12457a")
DARK = 4
"""The first shade with white text."""
SHAPES = {
    "recommended": ("D", OWN, True),
    "released": ("s", PLAIN, True),
    "uniform": ("o", SOFT, True),
    "optimum": ("o", PLAIN, False),
    "other": ("o", SOFT, False),
}
"""Shape, colour, filled."""


def draw_dots(chart: DotPlot, ax: Axes | None = None) -> Axes:
    """Rows of a dot on its interval; the value at the right."""
    ax = axes_for(ax, size=(7.2, 1.0 + 0.34 * len(chart.rows)))
    _dots(ax, [("", chart.rows)], chart)
    _named(ax, chart.title)
    describe(ax, chart.alt)
    return ax


def draw_panels(chart: Panels, ax: Axes | None = None) -> Axes:
    """Dot plots one below another on one axis."""
    rows = sum(len(panel.rows) + 1 for panel in chart.panels)
    ax = axes_for(ax, size=(7.2, 1.0 + 0.34 * rows))
    first = chart.panels[0] if chart.panels else DotPlot("", "", (), "")
    _dots(ax, [(panel.title, panel.rows) for panel in chart.panels], first)
    _named(ax, chart.title)
    describe(ax, chart.alt)
    return ax


def draw_heat_map(chart: HeatMap, ax: Axes | None = None) -> Axes:
    """Texts on their shades, hatched where nothing runs; the ends of the shades below."""
    ax = axes_for(ax, size=(2.4 + 1.05 * len(chart.columns), 1.1 + 0.36 * len(chart.rows)))
    for y, (cells, shades) in enumerate(zip(chart.cells, levels(chart), strict=True)):
        for x, (cell, shade) in enumerate(zip(cells, shades, strict=True)):
            ax.bar(
                x,
                0.94,
                bottom=y - 0.47,
                width=0.96,
                linewidth=0.6,
                color="white" if shade is None else SHADES[shade],
                edgecolor=GRID if shade is None else "white",
                hatch="////" if shade is None else None,
            )
            ax.text(
                x,
                y,
                cell.text,
                ha="center",
                va="center",
                fontsize=8,
                color=SOFT if shade is None else "white" if shade >= DARK else INK,
            )
    tidy(ax, chart.title)
    ax.set_xticks(range(len(chart.columns)), chart.columns)
    ax.set_yticks(range(len(chart.rows)), chart.rows)
    ends = heat_ends(chart)
    shown = (
        chart.unit
        if ends is None
        else f"{chart.unit}: pale {ends[chart.better == 'low'].text}, "
        f"dark {ends[chart.better != 'low'].text}"
    )
    ax.set(xlim=(-0.5, len(chart.columns) - 0.5), ylim=(len(chart.rows) - 0.5, -0.5), xlabel=shown)
    ax.tick_params(length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    describe(ax, chart.alt)
    return ax


def draw_bars(chart: GroupedBars, ax: Axes | None = None) -> Axes:
    """Groups of bars (on a logarithm points) with their intervals; where nothing runs the reason
    stands."""
    bars = [bar for group in chart.groups for bar in group.bars]
    count = len(bars) + len(chart.groups)
    ax = axes_for(ax, size=(7.2, 1.2 + 0.2 * count))
    ticks = axis_ticks(numbers(bars), log=chart.log, zero=True)
    y, middles = 0.0, []
    for group in chart.groups:
        middles.append(y + (len(group.bars) - 1) / 2)
        for bar in group.bars:
            colour = FILLS[chart.names.index(bar.name) % len(FILLS)]
            if bar.value is None:
                ax.text(ticks.low, y, f" {bar.why}", va="center", fontsize=7, color=SOFT)
            else:
                if not ticks.log:
                    ax.barh(y, bar.value, height=0.86, color=colour, alpha=0.6)
                _interval(ax, (bar.low, bar.high), y, INK)
                if ticks.log:
                    ax.plot(bar.value, y, "o", color=colour, markersize=5, zorder=3)
                ax.text(
                    1.01,
                    y,
                    written(bar.value),
                    transform=ax.get_yaxis_transform(),
                    va="center",
                    fontsize=7,
                    color=INK,
                )
            y += 1.0
        y += 1.0
    for n, name in enumerate(chart.names):
        ax.barh([0], [0], left=ticks.low, color=FILLS[n % len(FILLS)], alpha=0.6, label=name)
    _named(ax, chart.title)
    _across(ax, ticks, chart.y_title)
    ax.set_yticks(middles, [group.name for group in chart.groups])
    ax.set_ylim(y - 1.4, -0.6)
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.12, 1.0))
    describe(ax, chart.alt)
    return ax


def _dots(ax: Axes, groups: Sequence[tuple[str, Sequence[DotRow]]], chart: DotPlot) -> None:
    """Rows from above; a group with a name has a line for it."""
    ticks = axis_ticks(
        numbers(row for _, rows in groups for row in rows), log=chart.log, zero=False
    )
    y, places, bold = 0.0, list[tuple[float, str]](), set[int]()
    for name, rows in groups:
        if name:
            bold.add(len(places))
            places.append((y, name))
            y += 1.0
        for row in rows:
            shape, colour, filled = SHAPES[row.mark]
            _interval(ax, (row.low, row.high), y, colour)
            ax.plot(
                row.value,
                y,
                shape,
                color=colour,
                markersize=6,
                markeredgewidth=1.5,
                markerfacecolor=colour if filled else "white",
                zorder=3,
            )
            own = row.mark == "recommended"
            if own:
                bold.add(len(places))
            ax.text(
                1.01,
                y,
                row_text(row),
                transform=ax.get_yaxis_transform(),
                va="center",
                fontsize=8,
                color=colour if own else INK,
                weight="bold" if own else "normal",
            )
            places.append((y, f"{row.name}\n{row.note}" if row.note else row.name))
            y += 1.0
    _across(ax, ticks, chart.x_title)
    ax.set_yticks([at for at, _ in places], [name for _, name in places])
    ax.set_ylim(y - 0.5, -0.5)
    for n in bold:
        ax.get_yticklabels()[n].set_fontweight("bold")


def _named(ax: Axes, title: str) -> None:
    """The house style for rows with names."""
    tidy(ax, title, grid="x")
    ax.tick_params(axis="y", length=0)


def _interval(ax: Axes, ends: tuple[float | None, float | None], y: float, colour: str) -> None:
    low, high = ends
    if low is not None and high is not None:
        ax.plot(
            [low, high],
            [y, y],
            "-|",
            color=colour,
            linewidth=1.4,
            markersize=6,
            alpha=0.75,
            zorder=2,
        )


def _across(ax: Axes, ticks: AxisTicks, title: str) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    if ticks.log:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xticks(ticks.values, ticks.texts)
    ax.set(xlim=(ticks.low, ticks.high), xlabel=title)
