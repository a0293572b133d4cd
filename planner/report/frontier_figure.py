"""The frontier as SVG: loss against throughput, memory as colour; the same points give the same
bytes."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from planner.planning.axes import INK, axes_for, tidy
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


def frontier_svg(found: Any) -> str:
    """The points of a frontier as SVG text."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "precision-planner", "svg.fonttype": "none"}):
        figure = draw_points(found).get_figure(root=True)
        assert figure is not None
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
