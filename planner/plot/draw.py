"""Charts of planner/report/charts with matplotlib: the one place that draws on axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planner.plot.axes import as_svg, axes_for, describe, tidy
from planner.report.charts.chart import (
    INK,
    SOFT,
    Bars,
    Chart,
    ChartAxis,
    ColouredCell,
    ColourScale,
    HeatCells,
    Interval,
    Legend,
    Mark,
    PointMarks,
    ShadedBand,
    ValueLine,
    Words,
    single_marks,
)
from planner.report.charts.records import tick_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

LINES = {"": "none", "-": "-", "--": "--", "step": "-"}
COORDINATES = {"axis": "data", "chart": "axes fraction"}
COLUMNS = 3
"""Charts side by side in one picture."""


def draw(chart: Chart, ax: Axes | None = None) -> Axes:
    """The chart on ``ax``, or on axes of its own size."""
    ax = axes_for(ax, size=chart.size)
    norm = _norm(chart.scale)
    for mark in single_marks(chart.marks):
        _draw_mark(ax, mark, chart.scale, norm)
    _set_axis(ax, "x", chart.x)
    _set_axis(ax, "y", chart.y)
    tidy(ax, chart.title, grid=chart.grid)
    for which, axis in (("x", chart.x), ("y", chart.y)):
        if axis.plain:
            ax.tick_params(axis=which, length=0)  # type: ignore[arg-type]
    for side in {"both": (), "bottom": ("left",), "none": ("left", "bottom")}[chart.sides]:
        ax.spines[side].set_visible(False)
    if chart.legend is not None:
        _draw_legend(ax, chart.legend)
    if chart.scale is not None and norm is not None:
        _draw_scale(ax, chart.scale, norm)
    if chart.shades is not None:
        ax.set_xlabel(f"{chart.x.label}: pale {chart.shades.pale}, dark {chart.shades.dark}")
    describe(ax, chart.alt)
    return ax


def chart_svg(*charts: Chart, title: str = "", size: float = 10.0) -> str:
    """Charts as one SVG text, the same bytes for the same charts; letters of ``size`` points where
    a chart says no other. Several stand in rows, named by ``title``.

    Raises:
        ValueError: no chart.
    """
    if not charts:
        raise ValueError("nothing to draw")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(charts))
    rows = -(-len(charts) // columns)
    width, height = charts[0].size
    with mpl.rc_context({"font.size": size}):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        for n, chart in enumerate(charts, 1):
            draw(chart, figure.add_subplot(rows, columns, n))
        return as_svg(figure, title)


def _norm(scale: ColourScale | None) -> Normalize | None:
    """Where values lie on the scale; a linear one is set by the first values that are drawn."""
    from matplotlib.colors import LogNorm, Normalize

    if scale is None:
        return None
    return Normalize() if scale.low is None else LogNorm(scale.low, scale.high)


def _draw_mark(ax: Axes, mark: Mark, scale: ColourScale | None, norm: Normalize | None) -> None:
    shades: Any = {"cmap": scale.colours, "norm": norm} if scale is not None else {}
    match mark:
        case Bars():
            places, starts, lengths = zip(*mark.bars, strict=True) if mark.bars else ((), (), ())
            ax.barh(
                places,
                lengths,
                left=starts,
                height=mark.height,
                color=mark.colour or "none",
                edgecolor=mark.edge or mark.colour,
                linewidth=0.8 if mark.edge else 0,
                hatch="////" if mark.hatched else None,
                alpha=mark.alpha,
                label=mark.name or None,
            )
        case PointMarks(values=()):
            ax.plot(
                *_columns(mark.places),
                marker=mark.shape,
                markersize=mark.size,
                linestyle=LINES[mark.line],
                drawstyle="steps-post" if mark.line == "step" else "default",
                linewidth=mark.width,
                color=mark.colour,
                markerfacecolor="none" if mark.hollow else mark.colour,
                markeredgecolor=mark.edge or mark.colour,
                markeredgewidth=mark.rim,
                alpha=mark.alpha,
                label=mark.name or None,
                zorder=3 if mark.above else 2,
                clip_on=not mark.above,
            )
        case PointMarks():
            ax.scatter(*_columns(mark.places), c=mark.values, s=mark.size**2, **shades)
        case Interval(ended=True):
            ax.plot(
                [mark.low, mark.high],
                [mark.at, mark.at],
                "-|",
                color=mark.colour,
                linewidth=mark.width,
                markersize=6,
                alpha=mark.alpha,
                zorder=2,
            )
        case Interval():
            lines = ax.vlines if mark.upright else ax.hlines
            lines(
                mark.at,
                mark.low,
                mark.high,
                color=mark.colour,
                linewidth=mark.width,
                alpha=mark.alpha,
            )
        case ShadedBand():
            band = ax.axhspan if mark.across else ax.axvspan
            band(mark.low, mark.high, color=mark.colour, linewidth=0, zorder=0)
        case ValueLine():
            style, line = "--" if mark.dashed else "-", ax.axhline if mark.across else ax.axvline
            line(mark.at, color=mark.colour, linewidth=mark.width, linestyle=style)
        case Words():
            ax.annotate(
                mark.text,
                (mark.x, mark.y),
                xycoords=(COORDINATES[mark.x_of], COORDINATES[mark.y_of]),
                xytext=mark.offset or (0, 0),
                textcoords="offset points",
                fontsize=mark.size,
                color=mark.colour,
                ha=mark.across,
                va=mark.up,
                weight="bold" if mark.bold else "normal",
                rotation=90 if mark.upright else 0,
                annotation_clip=False,
            )
        case ColouredCell():
            _draw_cell(ax, mark)
        case HeatCells():
            _draw_grid(ax, mark, shades)


def _columns(places: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in places], [y for _, y in places]


def _draw_cell(ax: Axes, cell: ColouredCell) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(
        Rectangle(
            (cell.x, cell.y),
            cell.width,
            cell.height,
            facecolor=cell.colour,
            edgecolor=cell.edge or "none",
            linewidth=0.6 if cell.edge else 0,
            hatch="////" if cell.hatched else None,
            zorder=0.5,
        )
    )


def _draw_grid(ax: Axes, grid: HeatCells, shades: Any) -> None:
    import numpy as np

    values = np.array(grid.values, dtype=float)
    ax.pcolormesh(
        grid.x + grid.width * np.arange(values.shape[1] + 1),
        grid.y + np.arange(values.shape[0] + 1),
        np.ma.masked_invalid(values),
        edgecolors="white",
        linewidth=0.4,
        zorder=1,
        **shades,
    )


def _set_axis(ax: Axes, which: str, axis: ChartAxis) -> None:
    """Scale, ends, ticks and name of an axis."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    drawn = ax.xaxis if which == "x" else ax.yaxis
    set_scale, set_ends = (getattr(ax, f"set_{which}{what}") for what in ("scale", "lim"))
    if axis.margin is not None:
        getattr(ax, f"set_{which}margin")(axis.margin)
    if axis.scale == "symlog":
        set_scale("symlog", linthresh=axis.least)
    elif axis.scale != "whole":
        set_scale(axis.scale.rstrip("2"), **({"base": 2} if axis.scale == "log2" else {}))
    if axis.scale == "whole":
        drawn.set_major_locator(MaxNLocator(integer=True))
    if axis.short:
        drawn.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
        drawn.set_minor_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    if axis.ticks is not None:
        drawn.set_minor_locator(NullLocator())
        drawn.set_minor_formatter(NullFormatter())
        drawn.set_ticks([at for at, _ in axis.ticks], labels=[text for _, text in axis.ticks])
        for n in axis.bold:
            drawn.get_ticklabels()[n].set_fontweight("bold")
    if axis.ends != (None, None):
        set_ends(*axis.ends)
    drawn.set_label_text(axis.label)


def _draw_legend(ax: Axes, legend: Legend) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour or "none", edgecolor=SOFT, linewidth=0.4, label=name)
        for name, colour in legend.fills
    ]
    more: Any = {"loc": legend.place}
    if handles:
        more |= {"handles": handles, "handlelength": 1.1}
    ax.legend(
        ncols=legend.columns,
        fontsize=legend.size,
        frameon=False,
        bbox_to_anchor=legend.at,
        borderaxespad=legend.gap,
        **more,
    )


def _draw_scale(ax: Axes, scale: ColourScale, norm: Normalize) -> None:
    """The scale of colours beside the axes, in plain numbers."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(ScalarMappable(norm, scale.colours), ax=ax, pad=0.015, aspect=26)
    if scale.low is not None and scale.high is not None:
        few = scale.high < 60 * scale.low
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0, 3.0)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.tick_params(labelsize=7.5, colors=SOFT, labelcolor=INK, length=3)
    bar.set_label(scale.label, fontsize=8, color=SOFT)
    bar.outline.set_visible(False)
