"""The stored bytes of a model as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.models.inventory import Inventory
from planner.plot.axes import axes_for, tidy
from planner.units import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILLS = ("#1d5f9e", "#c06c1f", "#0b6f63", "#8d95a1", "#9d1f55", "#5b8fc7")


def draw_bytes(counts: Inventory, ax: Axes | None) -> Axes:
    """A bar a kind in GiB, on a logarithmic axis: scales and norms stand beside experts."""
    sums: dict[str, dict[str, int]] = {}
    for pattern in counts.patterns:
        row = sums.setdefault(pattern.kind, {})
        row[pattern.dtype] = row.get(pattern.dtype, 0) + pattern.bytes
    kinds = sorted(sums, key=lambda kind: -sum(sums[kind].values()))
    types = sorted({dtype for row in sums.values() for dtype in row})
    ax = axes_for(ax, size=(7.5, 0.9 + 0.3 * len(kinds)))
    high = 0.8 / len(types)
    for i, dtype in enumerate(types):
        ax.barh([y + (i - (len(types) - 1) / 2) * high for y in range(len(kinds))],
                [sums[kind].get(dtype, 0) / GIB for kind in kinds], height=high,
                color=FILLS[i % len(FILLS)], label=dtype)
    tidy(ax, f"{counts.spec.id}: stored bytes by module", grid="x")
    ax.set(xscale="log", xlabel="GiB")
    ax.set_yticks(range(len(kinds)), kinds)
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=8)
    return ax
