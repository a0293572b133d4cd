"""Bytes of a training step as a picture: a bar a pipeline stage, components stacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.axes import INK, axes_for, tidy
from planner.memory.training import COMPONENTS, TrainingMemory
from planner.units import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILLS = ("#1d5f9e", "#5b8fc7", "#0b6f63", "#58a99e", "#8d95a1", "#c06c1f", "#e0ad7c", "#c3c9d1")


def draw_stages(answer: TrainingMemory, ax: Axes | None) -> Axes:
    """Components of every stage in GiB, and a line at what a device offers."""
    ax = axes_for(ax, size=(8.0, 1.5 + 0.4 * len(answer.stages)))
    names = [f"stage {s.stage}" if len(answer.stages) > 1 else "a device" for s in answer.stages]
    base = [0.0] * len(names)
    for component, colour in zip(COMPONENTS, FILLS, strict=True):
        sizes = [int(getattr(s, component)) / GIB for s in answer.stages]
        if any(sizes):
            ax.barh(names, sizes, left=base, height=0.7, color=colour, label=component)
            base = [b + size for b, size in zip(base, sizes, strict=True)]
    usable = answer.usable_bytes / GIB
    ax.axvline(usable, color=INK, linewidth=1.2, linestyle="--")
    ax.annotate(f"usable {usable:,.1f}", (usable, 1), xycoords=("data", "axes fraction"),
                xytext=(-4, -2), textcoords="offset points", fontsize=8, color=INK, va="top",
                ha="right", rotation=90)
    tidy(ax, f"{answer.model} on {answer.layout.devices} × {answer.device}, "
             f"{answer.setup.recipe.id}, ZeRO {answer.setup.zero}", grid="x")
    ax.set_xlabel("GiB of one device")
    ax.invert_yaxis()
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3 if len(names) < 3 else -0.15),
              ncols=4, frameon=False, fontsize=8)
    return ax
