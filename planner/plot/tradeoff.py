"""What loss buys, as a picture: the frontier of a plan's own layout and of every layout, and the
map of regimes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.hardware.folders import hardware_folders
from planner.planning.inspect.layout_frontier import alike, own_frontier
from planner.planning.inspect.reprice import reprice
from planner.planning.plan.record import Plan
from planner.planning.whatif.frontier import Frontier
from planner.plot.axes import INK, SOFT, as_svg, axes_for, tidy
from planner.plot.plan import OWN, PLAIN, title
from planner.typed import typed
from planner.units import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNIFORM = "#9a4a06"
KNEE = "#9d1f55"
REGIMES = {"weights": "#9cbce0", "kv": "#e9c49b", "compute": "#9fd3b5", "network": "#d4b3dd",
           "launch": "#cfd4da", "convert": "#f0b0b8"}


@typed
def frontier(result: Plan | Frontier, ax: Axes | None = None, *,
             hardware_dir: str | os.PathLike[str] | None = None) -> Axes:
    """What more or less loss buys: of a plan on its own devices and layout, priced again, beside
    the uniform formats; of ``planner.frontier`` on every layout, memory as colour, the knee named.

    Raises:
        InputError: another kind of result, a plan that cannot be priced again from its file alone,
            or ``hardware_dir`` for a frontier, which is priced.
    """
    if isinstance(result, Plan):
        return _of_plan(result, axes_for(ax, size=(8.0, 4.2)), hardware_dir)
    if hardware_dir is not None:
        raise InputError("hardware_dir is for a plan: this frontier is priced already",
                         hint="give hardware_dir to planner.frontier")
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
    ax = axes_for(ax, size=(1.4 + 0.85 * len(shown.batches), 1.3 + 0.5 * len(shown.contexts)))
    cells = {(c.context, c.batch): c for c in shown.cells}
    for y, context in enumerate(shown.contexts):
        for x, batch in enumerate(shown.batches):
            cell = cells[context, batch]
            ax.fill([x - 0.5, x + 0.5, x + 0.5, x - 0.5], [y - 0.5, y - 0.5, y + 0.5, y + 0.5],
                    color=REGIMES.get(cell.regime, "#ffffff"), linewidth=0)
            ax.text(x, y, str(cell.plan + 1) if cell.regime else "–", ha="center", va="center",
                    fontsize=9)
    for name in dict.fromkeys(c.regime for c in shown.cells if c.regime):
        ax.fill([], [], color=REGIMES[name], label=name)
    ax.set_xticks(range(len(shown.batches)), [str(b) for b in shown.batches])
    ax.set_yticks(range(len(shown.contexts)), [f"{c:,}" for c in shown.contexts])
    ax.set(xlim=(-0.5, len(shown.batches) - 0.5), ylim=(len(shown.contexts) - 0.5, -0.5),
           xlabel="batch", ylabel="context")
    ax.set_title(f"{result.model} on {result.device}: the step is spent on", loc="left", fontsize=9)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3, frameon=False, fontsize=8)
    ax.tick_params(length=0)
    for side in ("top", "right", "left", "bottom"):
        ax.spines[side].set_visible(False)
    return ax


def _of_plan(plan: Plan, ax: Axes, hardware_dir: str | os.PathLike[str] | None) -> Axes:
    """Loss against output rate (TPOT where the objective is latency) on the plan's layout, the plan
    and the uniform formats."""
    late, perf = plan.objective == "latency", plan.performance
    found = own_frontier(reprice(plan, folders=hardware_folders(hardware_dir)))
    ax.step([r.loss for r in found],
            [r.tpot_seconds * 1e3 if late else r.output_tokens_per_second_per_device
             for r in found], "o-", where="post", color=PLAIN, markersize=4, linewidth=1.3,
            label="best on this layout")
    mine = perf.tpot_seconds.value * 1e3 if late else perf.output_tokens_per_second_per_device.value
    ax.plot(plan.quality.loss, mine, "D", color=OWN, markersize=8, label="this plan")
    for names, loss, tpot, rate in alike(plan):
        at = (loss, tpot * 1e3 if late else rate)
        ax.plot(*at, "x", color=UNIFORM, markersize=7)
        ax.annotate(" · ".join(names), at, xytext=(6, -3), textcoords="offset points",
                    fontsize=7.5, color=SOFT)
    least = min([r.loss for r in found if r.loss > 0], default=1.0)
    ax.set_xscale("symlog", linthresh=least)
    ax.set(xlabel=f"loss [{plan.quality.unit}]",
           ylabel="TPOT [ms]" if late else "output tokens/s per device")
    ax.set_ylim(bottom=0)
    tidy(ax, f"{title(plan)}: what loss buys", grid="both")
    ax.legend(fontsize=8, frameon=False, loc="lower right")
    return ax


def _points(found: Frontier, ax: Axes) -> Axes:
    """The points of a frontier on ``ax``; the knee has a ring and a name."""
    points = found.points
    drawn = ax.scatter([p.loss for p in points],
                       [p.output_tokens_per_second_per_device for p in points],
                       c=[p.total_bytes_per_device / GIB for p in points], cmap="viridis", s=18)
    bar = ax.figure.colorbar(drawn, ax=ax)
    bar.set_label("memory of the fullest device [GiB]", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    if found.knee is not None:
        at = (found.knee.loss, found.knee.output_tokens_per_second_per_device)
        ax.plot(*at, "o", markersize=11, markerfacecolor="none", color=KNEE)
        ax.annotate("knee", at, xytext=(8, -12), textcoords="offset points", fontsize=8, color=INK)
    ax.set(xlabel=f"loss [{found.loss_unit}]", ylabel="output tokens/s per device")
    tidy(ax, f"{found.model} on {found.device}, context {found.context:,}", grid="both")
    return ax


def frontier_svg(found: Frontier) -> str:
    """The points of a frontier as SVG text."""
    figure = frontier(found).get_figure(root=True)
    assert figure is not None
    return as_svg(figure)
