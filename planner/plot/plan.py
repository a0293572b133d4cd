"""Figures of a plan from its file alone, on matplotlib axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.planning.inspect.waterfall import BOUND_FILLS, waterfall
from planner.planning.plan.picture import fill, ink, picture
from planner.plot.axes import INK, SOFT, axes_for, describe, interval, listed, tidy
from planner.report.figures.rivals import RivalRow, rivals_figure
from planner.typed import typed
from planner.units import GIB, format_rate, format_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from planner.planning.plan.record import Plan

PHASES = ("decode", "prefill")
UNITS = {
    "rate": (1.0, "output tokens/s per device"),
    "late": (1e-3, "TPOT [ms]"),
    "memory": (GIB, "memory of the fullest device [GiB]"),
    "loss": (1.0, "loss [{unit}]"),
}
"""Of what a plan's objective compares: what one unit of the axis is, and its name."""
NEAR = "\N{NO-BREAK SPACE}"
"""Keeps a text off its bar; SVG drops plain spaces."""
PLAIN, OWN, PALE = "#1d5f9e", "#0b6f63", "#a5bcd7"


def title(plan: Plan) -> str:
    """Model, devices and workload in a few words."""
    return (
        f"{plan.model.id} on {plan.device.count} × {plan.device.id}, "
        f"context {plan.workload.context_tokens:,}"
    )


@typed
def formats(plan: Plan, ax: Axes | None = None) -> Axes:
    """A plan's layers × modules, coloured by format; a format's name stands in its run where it
    fits.

    Raises:
        InputError: not a plan.
    """
    shown = picture(plan)
    ax = axes_for(ax, size=(8.0, 0.9 + 0.26 * len(shown.strips)))
    for row, strip in enumerate(shown.strips):
        for run in strip.runs:
            if not run.scheme:
                ax.plot([run.first, run.last + 1], [row, row], color="#dfe3e8", linewidth=1)
                continue
            ax.barh(
                row, run.count, left=run.first, height=0.84, color=fill(run.scheme), linewidth=0
            )
            if run.count > 0.012 * shown.layers * len(run.scheme):
                ax.text(
                    run.first + run.count / 2,
                    row,
                    run.scheme,
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=ink(fill(run.scheme)),
                )
    _legend(ax, {name: fill(name) for name in (*shown.weight_schemes, *shown.cache_layouts)})
    tidy(ax, f"{title(plan)}: formats by layer", grid="x")
    ax.grid(False)
    ax.set(xlim=(0, max(shown.layers, 1)), ylim=(len(shown.strips) - 0.5, -0.5), xlabel="layer")
    ax.set_yticks(range(len(shown.strips)), [strip.kind for strip in shown.strips])
    ax.set_xticks([n + 0.5 for n in shown.ticks], [str(n) for n in shown.ticks])
    ax.tick_params(axis="y", length=0)
    describe(
        ax,
        f"Formats of {shown.layers} layers by module: "
        + listed(
            (
                strip.kind,
                ", ".join(
                    f"{run.scheme} in {run.first}–{run.first + run.count - 1}"
                    for run in strip.runs
                    if run.scheme
                ),
            )
            for strip in shown.strips
        ),
    )
    return ax


@typed
def time(plan: Plan, phase: str = "decode", ax: Axes | None = None) -> Axes:
    """Each module's time in one ``decode`` step of a plan or one prompt (``prefill``), end to end,
    and the 80 % interval of the end.

    Raises:
        InputError: not a plan, or another phase.
    """
    if phase not in PHASES:
        raise InputError(
            f"phase {phase!r} is not one of {', '.join(PHASES)}",
            hint=f"for example phase={PHASES[0]!r}",
        )
    shown = waterfall(plan, phase)
    ax = axes_for(ax, size=(8.0, 1.1 + 0.24 * (len(shown.bars) + 1)))
    width = max(shown.sum_seconds, shown.end_seconds) or 1.0
    unit, size = ("s", 1.0) if width >= 1 else ("ms", 1e-3) if width >= 1e-3 else ("µs", 1e-6)
    for row, bar in enumerate((*shown.bars, shown.rest)):
        rest = bar is shown.rest
        ax.barh(
            row,
            bar.share * width / size,
            left=bar.start * width / size,
            height=0.8,
            color="#ffffff" if rest else bar.fill or SOFT,
            hatch="////" if rest else None,
            edgecolor="#c3c9d1" if rest else bar.fill or SOFT,
            linewidth=0.6,
        )
        near = bar.start + bar.share < 0.85
        ax.text(
            (bar.start + (bar.share if near else 0)) * width / size,
            row,
            f"{NEAR}{format_seconds(bar.seconds)}{NEAR}",
            va="center",
            fontsize=7.5,
            color=INK,
            ha="left" if near else "right",
        )
    ends = (shown.end_low_seconds / size, shown.end_high_seconds / size)
    ax.hlines(len(shown.bars) + 0.55, *ends, color=INK, linewidth=1.4)
    bounds = {bar.bound for bar in shown.bars if bar.bound}
    _legend(ax, {name: colour for name, colour in BOUND_FILLS.items() if name in bounds})
    end = "TPOT" if phase == "decode" else "TTFT"
    tidy(ax, f"{title(plan)}: {phase}, {end} {format_seconds(shown.end_seconds)}", grid="x")
    names = [bar.name for bar in shown.bars]
    ax.set_yticks(range(len(names) + 1), [*names, f"rest of {end}"])
    ax.set(
        ylim=(len(names) + 0.8, -0.5),
        xlim=(0, max(width / size, ends[1])),
        xlabel=f"time [{unit}]; line: 80 % interval of {end}",
    )
    ax.tick_params(axis="y", length=0)
    describe(
        ax,
        f"{end} {format_seconds(shown.end_seconds)} ("
        f"{format_seconds(shown.end_low_seconds)} – "
        f"{format_seconds(shown.end_high_seconds)}), made of "
        + listed(
            (name, format_seconds(bar.seconds))
            for name, bar in zip([*names, "rest"], (*shown.bars, shown.rest), strict=True)
        ),
    )
    return ax


@typed
def uniform(plan: Plan, ax: Axes | None = None) -> Axes:
    """What a plan's objective compares, of it with its 80 % interval and of every uniform format
    that fits; pale ones lose over 5 % more than the plan, or take over 5 % longer a token.

    Raises:
        InputError: not a plan.
    """
    found = rivals_figure(plan)
    size, label = UNITS[found.compares]
    ax = axes_for(ax, size=(8.0, 1.1 + 0.26 * len(found.rows)))
    for y, row in enumerate(found.rows):
        ax.barh(
            y,
            row.value / size,
            height=0.8,
            color=OWN if row.kind == "plan" else PALE if row.pale else PLAIN,
        )
        if row.low is not None and row.high is not None:
            ax.hlines(y, row.low / size, row.high / size, color=INK, linewidth=1.3)
        ax.text(
            max(row.value, row.high or 0.0) / size,
            y,
            f"{NEAR}{format_rate(row.value / size)}, loss {row.loss:.3g}",
            va="center",
            fontsize=7.5,
            color=INK,
        )
    names = [_called(row) for row in found.rows]
    longest = max(max(row.value, row.high or 0.0) for row in found.rows) or 1.0
    tidy(ax, f"{title(plan)}: beside uniform formats", grid="x")
    ax.set_yticks(range(len(names)), names)
    ax.set(
        ylim=(len(names) - 0.5, -0.5),
        xlim=(0, 1.25 * longest / size),
        xlabel=label.format(unit=found.loss_unit),
    )
    ax.tick_params(axis="y", length=0)
    describe(
        ax,
        f"{label.format(unit=found.loss_unit)}: "
        + listed(
            (
                name,
                interval(row.value / size, row.low and row.low / size, row.high and row.high / size)
                + f", loss {row.loss:.3g}",
            )
            for name, row in zip(names, found.rows, strict=True)
        ),
    )
    return ax


def _called(row: RivalRow) -> str:
    if row.kind == "uniform":
        return " = ".join(row.names)
    return "this plan" if row.kind == "plan" else "workers that do both"


def _legend(ax: Axes, colours: dict[str, str]) -> None:
    """Named colours below the axes."""
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, edgecolor="#8d95a1", linewidth=0.4, label=name)
        for name, colour in colours.items()
    ]
    if handles:
        ax.legend(
            handles=handles,
            ncols=6,
            fontsize=7.5,
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(0, 0),
            handlelength=1.1,
            borderaxespad=3.8,
        )
