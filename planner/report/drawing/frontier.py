"""The frontier as SVG: loss against throughput, memory as colour; the same points give the same
bytes."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from planner.plot.axes import INK, axes_for, tidy
from planner.units import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KNEE = "#9d1f55"


def draw_points(found: Any, ax: Axes | None = None) -> Axes:
    """The points of a frontier on ``ax`` or new axes; the knee has a ring and a name."""
    ax = axes_for(ax, size=(6.4, 4.2))
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


REGIMES = {"weights": "#9cbce0", "kv": "#e9c49b", "compute": "#9fd3b5", "network": "#d4b3dd",
           "launch": "#cfd4da", "convert": "#f0b0b8"}


def draw_map(found: Any, axes: Axes) -> Axes:
    """A cell a context and batch: its colour what the step is spent on, its number the plan."""
    shown = found.map
    cells = {(c.context, c.batch): c for c in shown.cells}
    for y, context in enumerate(shown.contexts):
        for x, batch in enumerate(shown.batches):
            cell = cells[context, batch]
            axes.fill([x - 0.5, x + 0.5, x + 0.5, x - 0.5], [y - 0.5, y - 0.5, y + 0.5, y + 0.5],
                      color=REGIMES.get(cell.regime, "#ffffff"), linewidth=0)
            axes.text(x, y, str(cell.plan + 1) if cell.regime else "–", ha="center", va="center",
                      fontsize=9)
    for name in dict.fromkeys(c.regime for c in shown.cells if c.regime):
        axes.fill([], [], color=REGIMES[name], label=name)
    axes.set_xticks(range(len(shown.batches)), [str(b) for b in shown.batches])
    axes.set_yticks(range(len(shown.contexts)), [f"{c:,}" for c in shown.contexts])
    axes.set(xlim=(-0.5, len(shown.batches) - 0.5), ylim=(len(shown.contexts) - 0.5, -0.5),
             xlabel="batch", ylabel="context")
    axes.set_title(f"{found.model} on {found.device}: the step is spent on", loc="left", fontsize=9)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3, frameon=False, fontsize=8)
    axes.tick_params(length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    return axes


def frontier_svg(found: Any) -> str:
    """The points of a frontier as SVG text."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "precision-planner", "svg.fonttype": "none"}):
        figure = draw_points(found).get_figure(root=True)
        assert figure is not None
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
