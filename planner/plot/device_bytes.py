"""What fills a device as a picture: a bar a device or pipeline stage, and what may be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from planner.memory.answer import PARTS, MemoryAnswer
from planner.memory.training import COMPONENTS, TrainingMemory
from planner.planning.plan.picture import ink, memory_shares
from planner.planning.plan.record import Plan
from planner.plot.axes import INK, axes_for, describe, listed, tidy
from planner.plot.plan import title
from planner.typed import typed
from planner.units import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILLS = ("#1d5f9e", "#5b8fc7", "#0b6f63", "#58a99e", "#8d95a1", "#c06c1f", "#e0ad7c", "#c3c9d1")


@typed
def memory(result: Plan | MemoryAnswer | TrainingMemory, ax: Axes | None = None) -> Axes:
    """What fills memory, against what may be used: of a plan the fullest device, of
    ``planner.memory_use`` and ``planner.train`` a device of every pipeline stage.

    Raises:
        InputError: another kind of result.
    """
    if isinstance(result, Plan):
        return _fullest(result, ax)
    if isinstance(result, MemoryAnswer):
        where = f" on {result.device}" if result.device else ""
        return _stages(
            {
                label: [getattr(s, name) for s in result.parts.stages]
                for label, name in PARTS.items()
            },
            result.usable_bytes,
            f"{result.model}{where}, {result.scheme}, cache {result.kv}",
            ax,
        )
    return _stages(
        {name: [int(getattr(s, name)) for s in result.stages] for name in COMPONENTS},
        result.usable_bytes,
        f"{result.model} on {result.layout.devices} × {result.device}, "
        f"{result.setup.recipe.id}, ZeRO {result.setup.zero}",
        ax,
    )


def _fullest(plan: Plan, ax: Axes | None) -> Axes:
    """Parts of the fullest device's memory, against what may be used and what is visible."""
    ax = axes_for(ax, size=(8.0, 1.7))
    memory, at = plan.memory_per_device, 0.0
    for part in memory_shares(memory):
        size = part.bytes / GIB
        kept = part.name == "kept"
        colour = part.fill or "#ffffff"
        ax.barh(
            0,
            size,
            left=at,
            height=0.7,
            color=colour,
            label=f"{part.name} {size:,.1f} GiB",
            hatch="////" if kept else None,
            edgecolor="#c3c9d1" if kept else "#ffffff",
            linewidth=0.6,
        )
        if part.fill and part.share > 0.12:
            ax.text(
                at + size / 2,
                0,
                f"{part.name}\n{size:,.1f}",
                ha="center",
                va="center",
                fontsize=8,
                color=ink(part.fill),
            )
        at += size
    usable = memory.usable_bytes / GIB
    ax.axvline(usable, color=INK, linewidth=1.2)
    ax.annotate(
        f"usable {usable:,.1f}",
        (usable, 0.37),
        fontsize=8,
        ha="right",
        va="bottom",
        xytext=(-3, 1),
        textcoords="offset points",
        color=INK,
    )
    tidy(ax, f"{title(plan)}: fullest device", grid="x")
    ax.grid(False)
    ax.set(xlim=(0, at), ylim=(-0.45, 0.75), xlabel="memory of the fullest device [GiB]", yticks=[])
    ax.legend(
        ncols=3,
        fontsize=7.5,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        borderaxespad=3.8,
    )
    describe(
        ax,
        f"Of {memory.capacity_bytes / GIB:,.1f} GiB, {usable:,.1f} GiB usable: "
        + listed((part.name, f"{part.bytes / GIB:,.1f} GiB") for part in memory_shares(memory)),
    )
    return ax


def _stages(
    parts: Mapping[str, Sequence[int]], usable_bytes: int, heading: str, ax: Axes | None
) -> Axes:
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
        ax.annotate(
            f"usable {usable:,.1f}",
            (usable, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-4, -2),
            textcoords="offset points",
            fontsize=8,
            color=INK,
            va="top",
            ha="right",
            rotation=90,
        )
    tidy(ax, heading, grid="x")
    ax.set_xlabel("memory of one device [GiB]")
    describe(
        ax,
        (f"{usable_bytes / GIB:,.1f} GiB usable. " if usable_bytes else "")
        + listed(
            (
                name,
                ", ".join(
                    f"{label} {found[n] / GIB:.3g} GiB"
                    for label, found in parts.items()
                    if found[n]
                ),
            )
            for n, name in enumerate(names)
        ),
    )
    ax.invert_yaxis()
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.3 if count < 3 else -0.15),
        ncols=4,
        frameon=False,
        fontsize=8,
    )
    return ax
