"""Bytes of pipeline stages as a picture: a bar a stage, parts stacked, what a device offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from planner.plot.axes import INK, axes_for, tidy
from planner.units import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILLS = ("#1d5f9e", "#5b8fc7", "#0b6f63", "#58a99e", "#8d95a1", "#c06c1f", "#e0ad7c", "#c3c9d1")


def draw_stages(parts: Mapping[str, Sequence[int]], usable_bytes: int, title: str,
                ax: Axes | None) -> Axes:
    """``parts`` [B of every stage] in GiB, and a line at ``usable_bytes`` unless that is 0."""
    count = len(next(iter(parts.values())))
    ax = axes_for(ax, size=(8.0, 1.5 + 0.4 * count))
    names = [f"stage {n}" for n in range(count)] if count > 1 else ["a device"]
    base = [0.0] * count
    for (label, found), colour in zip(parts.items(), FILLS, strict=False):
        if any(found):
            sizes = [size / GIB for size in found]
            ax.barh(names, sizes, left=base, height=0.7, color=colour, label=label)
            base = [b + size for b, size in zip(base, sizes, strict=True)]
    if usable_bytes:
        usable = usable_bytes / GIB
        ax.axvline(usable, color=INK, linewidth=1.2, linestyle="--")
        ax.annotate(f"usable {usable:,.1f}", (usable, 1), xycoords=("data", "axes fraction"),
                    xytext=(-4, -2), textcoords="offset points", fontsize=8, color=INK, va="top",
                    ha="right", rotation=90)
    tidy(ax, title, grid="x")
    ax.set_xlabel("GiB of one device")
    ax.invert_yaxis()
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3 if count < 3 else -0.15),
              ncols=4, frameon=False, fontsize=8)
    return ax
