"""What loss buys, as a picture: the frontier of a plan's own layout and of every layout, and the
map of regimes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.hardware.folders import hardware_folders
from planner.planning.inspect.layout_frontier import own_frontier
from planner.planning.inspect.reprice import reprice
from planner.planning.plan.record import Plan
from planner.planning.whatif.frontier import Frontier
from planner.plot.axes import INK, SOFT, as_svg, axes_for, describe, interval, listed, tidy
from planner.plot.plan import OWN, PLAIN, title
from planner.report.figures.marks import written
from planner.report.figures.reach import ReachFigure, ReachPlace, reach_figure
from planner.typed import typed
from planner.units import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNIFORM = "#9a4a06"
KNEE = "#9d1f55"
REGIMES = {
    "weights": "#9cbce0",
    "kv": "#e9c49b",
    "compute": "#9fd3b5",
    "network": "#d4b3dd",
    "launch": "#cfd4da",
    "convert": "#f0b0b8",
}


@typed
def frontier(
    result: Plan | Frontier,
    ax: Axes | None = None,
    *,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> Axes:
    """What more or less loss buys: of a plan on its own devices and layout, priced again, beside
    the uniform formats; of ``planner.frontier`` on every layout, memory as colour, the knee named.

    Raises:
        InputError: another kind of result, a plan that cannot be priced again from its file alone,
            or ``hardware_dir`` for a frontier, which is priced.
    """
    if isinstance(result, Plan):
        return _of_plan(result, axes_for(ax, size=(8.0, 4.2)), hardware_dir)
    if hardware_dir is not None:
        raise InputError(
            "hardware_dir is for a plan: this frontier is priced already",
            hint="give hardware_dir to planner.frontier",
        )
    return _points(result, axes_for(ax, size=(6.4, 4.2)))


@typed
def phase_map(result: Frontier, ax: Axes | None = None) -> Axes:
    """What a decode step is spent on by context and batch, and the number of the best plan.

    Raises:
        InputError: not the answer of ``planner.frontier``, or one made without ``map=True``.
    """
    shown = result.map
    if shown is None:
        raise InputError("this frontier has no map", hint="ask for it with map=True")
    ax = axes_for(
        ax, size=(max(5.8, 1.4 + 0.85 * len(shown.batches)), 1.3 + 0.5 * len(shown.contexts))
    )
    cells = {(c.context, c.batch): c for c in shown.cells}
    for y, context in enumerate(shown.contexts):
        for x, batch in enumerate(shown.batches):
            cell = cells[context, batch]
            ax.fill(
                [x - 0.5, x + 0.5, x + 0.5, x - 0.5],
                [y - 0.5, y - 0.5, y + 0.5, y + 0.5],
                color=REGIMES.get(cell.regime, "#ffffff"),
                linewidth=0,
            )
            ax.text(
                x,
                y,
                str(cell.plan + 1) if cell.regime else "–",
                ha="center",
                va="center",
                fontsize=9,
            )
    for name in dict.fromkeys(c.regime for c in shown.cells if c.regime):
        ax.fill([], [], color=REGIMES[name], label=name)
    ax.set_xticks(range(len(shown.batches)), [str(b) for b in shown.batches])
    ax.set_yticks(range(len(shown.contexts)), [f"{c:,}" for c in shown.contexts])
    ax.set(
        xlim=(-0.5, len(shown.batches) - 0.5),
        ylim=(len(shown.contexts) - 0.5, -0.5),
        xlabel="batch [sequences]",
        ylabel="context [tokens]",
    )
    tidy(ax, f"{result.model} on {result.device}: what the step is spent on; best plan by number")
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(0, 0),
        borderaxespad=4.2,
        ncols=6,
        frameon=False,
        fontsize=8,
    )
    ax.tick_params(length=0)
    for side in ("top", "right", "left", "bottom"):
        ax.spines[side].set_visible(False)
    describe(
        ax,
        "What a step is spent on, and the best plan, by context and batch: "
        + listed(
            (
                f"{c.context:,} × {c.batch}",
                f"{c.regime}, plan {c.plan + 1}" if c.regime else "no room",
            )
            for c in shown.cells
        ),
    )
    return ax


def _of_plan(plan: Plan, ax: Axes, hardware_dir: str | os.PathLike[str] | None) -> Axes:
    """Loss against output rate (TPOT where the objective is latency) on the plan's layout, the plan
    with its 80 % intervals and the uniform formats."""
    found = reach_figure(plan, own_frontier(reprice(plan, folders=hardware_folders(hardware_dir))))
    mine, size = found.mine, 1e-3 if found.late else 1.0
    ax.step(
        [r.loss for r in found.curve],
        [r.value / size for r in found.curve],
        "o-",
        where="post",
        color=PLAIN,
        markersize=4,
        linewidth=1.3,
        label="best on this layout",
    )
    if mine.low is not None and mine.high is not None:
        ax.vlines(mine.loss, mine.low / size, mine.high / size, color=OWN, linewidth=1.3)
    if mine.loss_low is not None and mine.loss_high is not None:
        ax.hlines(mine.value / size, mine.loss_low, mine.loss_high, color=OWN, linewidth=1.3)
    ax.plot(
        mine.loss,
        mine.value / size,
        "D",
        color=OWN,
        markersize=8,
        label="this plan, 80 % intervals",
    )
    for place in found.others:
        at = (place.loss, place.value / size)
        ax.plot(*at, "x", color=UNIFORM, markersize=7)
        ax.annotate(
            " · ".join(place.names),
            at,
            xytext=(6, -3),
            textcoords="offset points",
            fontsize=7.5,
            color=SOFT,
        )
    least = min([r.loss for r in found.curve if r.loss > 0], default=1.0)
    noun = "TPOT [ms]" if found.late else "output tokens/s per device"
    ax.set_xscale("symlog", linthresh=least)
    ax.set(xlabel=f"loss [{found.loss_unit}]", ylabel=noun)
    ax.set_ylim(bottom=0)
    tidy(ax, f"{title(plan)}: what loss buys", grid="both")
    ax.legend(fontsize=8, frameon=False, loc="lower right")
    describe(
        ax,
        f"{noun} and loss: "
        + listed((_called(found, place), _said(place, size)) for place in found.places),
    )
    return ax


def _called(found: ReachFigure, place: ReachPlace) -> str:
    if place is found.mine:
        return "this plan"
    return " · ".join(place.names) or "best on this layout"


def _said(place: ReachPlace, size: float) -> str:
    """A place in words; values in units of ``size``."""
    low, high = (None if end is None else end / size for end in (place.low, place.high))
    return (
        f"{interval(place.value / size, low, high)}, loss "
        f"{interval(place.loss, place.loss_low, place.loss_high)}"
    )


def _points(found: Frontier, ax: Axes) -> Axes:
    """The points of a frontier on ``ax``; the knee has a ring and a name."""
    points = found.points
    drawn = ax.scatter(
        [p.loss for p in points],
        [p.output_tokens_per_second_per_device for p in points],
        c=[p.total_bytes_per_device / GIB for p in points],
        cmap="viridis",
        s=18,
    )
    bar = ax.figure.colorbar(drawn, ax=ax)
    bar.set_label("memory of the fullest device [GiB]", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    if found.knee is not None:
        at = (found.knee.loss, found.knee.output_tokens_per_second_per_device)
        ax.plot(*at, "o", markersize=11, markerfacecolor="none", color=KNEE)
        ax.annotate("knee", at, xytext=(8, -12), textcoords="offset points", fontsize=8, color=INK)
    ax.set(xlabel=f"loss [{found.loss_unit}]", ylabel="output tokens/s per device")
    tidy(ax, f"{found.model} on {found.device}, context {found.context:,}", grid="both")
    describe(
        ax,
        f"Loss [{found.loss_unit}] and output tokens/s per device: "
        + listed(
            (
                f"{p.loss:.3g}",
                written(p.output_tokens_per_second_per_device) + (" (knee)" if p.knee else ""),
            )
            for p in points
        ),
    )
    return ax


def frontier_svg(found: Frontier) -> str:
    """The points of a frontier as SVG text."""
    figure = frontier(found).get_figure(root=True)
    assert figure is not None
    return as_svg(figure)
