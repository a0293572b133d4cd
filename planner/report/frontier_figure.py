"""The frontier as SVG: loss against throughput, memory as colour; the same points give the same
bytes."""

from __future__ import annotations

from io import StringIO
from typing import Any

from planner.units import GIB


def frontier_svg(found: Any) -> str:
    """The points of a frontier as SVG text; the knee has a ring and a name."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "precision-planner", "svg.fonttype": "none",
                         "font.size": 8}):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        points = found.points
        drawn = axes.scatter([p.loss for p in points],
                             [p.output_tokens_per_second_per_device for p in points],
                             c=[p.total_bytes_per_device / GIB for p in points], cmap="viridis",
                             s=18)
        figure.colorbar(drawn, ax=axes, label="memory of the fullest device [GiB]")
        if found.knee is not None:
            at = (found.knee.loss, found.knee.output_tokens_per_second_per_device)
            axes.plot(*at, "o", markersize=11, markerfacecolor="none", color="#9d1f55")
            axes.annotate("knee", at, xytext=(8, -12), textcoords="offset points")
        axes.set_xlabel(f"loss [{found.loss_unit}]")
        axes.set_ylabel("output tokens/s per device")
        axes.set_title(f"{found.model} on {found.device}, context {found.context}", loc="left",
                       fontsize=9)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
