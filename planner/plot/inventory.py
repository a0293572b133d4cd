"""The stored bytes of a model as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.plot.axes import axes_for, describe, listed, tidy
from planner.typed import typed
from planner.units import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from planner.models.inventory import Inventory

FILLS = ("#1d5f9e", "#c06c1f", "#0b6f63", "#8d95a1", "#9d1f55", "#5b8fc7")


@typed
def tensor_bytes(result: Inventory, ax: Axes | None = None) -> Axes:
    """Stored bytes of an inventory by module kind in GiB, one colour a checkpoint type; the axis is
    logarithmic, so that scales and norms stand beside experts.

    Raises:
        InputError: not the answer of ``planner.inventory``.
    """
    sums: dict[str, dict[str, int]] = {}
    for pattern in result.patterns:
        row = sums.setdefault(pattern.kind, {})
        row[pattern.dtype] = row.get(pattern.dtype, 0) + pattern.bytes
    kinds = sorted(sums, key=lambda kind: -sum(sums[kind].values()))
    types = sorted({dtype for row in sums.values() for dtype in row})
    ax = axes_for(ax, size=(7.5, 0.9 + 0.3 * len(kinds)))
    high = 0.8 / len(types)
    for i, dtype in enumerate(types):
        ax.barh(
            [y + (i - (len(types) - 1) / 2) * high for y in range(len(kinds))],
            [sums[kind].get(dtype, 0) / GIB for kind in kinds],
            height=high,
            color=FILLS[i % len(FILLS)],
            label=dtype,
        )
    tidy(ax, f"{result.spec.id}: stored bytes by module", grid="x")
    ax.set(xscale="log", xlabel="stored [GiB]")
    ax.set_yticks(range(len(kinds)), kinds)
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=8)
    describe(
        ax,
        "Stored GiB by module and type: "
        + listed(
            (kind, ", ".join(f"{dtype} {size / GIB:.3g}" for dtype, size in sums[kind].items()))
            for kind in kinds
        ),
    )
    return ax
