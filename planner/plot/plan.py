"""Figures of a plan from its file alone, on matplotlib axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.planning.inspect.waterfall import BOUND_FILLS, waterfall
from planner.planning.plan.picture import fill, ink, memory_shares, picture
from planner.planning.plan.record import Plan
from planner.plot.axes import INK, SOFT, axes_for, tidy
from planner.units import GIB, format_rate, format_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLAIN, OWN, PALE = "#1d5f9e", "#0b6f63", "#a5bcd7"
LOSSIER = 1.05
"""Loss relative to the plan's above which a uniform format is drawn pale."""


def title(plan: Plan) -> str:
    """Model, devices and workload in a few words."""
    return (f"{plan.model.id} on {plan.device.count} × {plan.device.id}, "
            f"context {plan.workload.context_tokens:,}")


def draw_formats(plan: Plan, ax: Axes | None) -> Axes:
    """Layers × modules, coloured by format; a format's name stands in its run where it fits."""
    shown = picture(plan)
    ax = axes_for(ax, size=(8.0, 0.9 + 0.26 * len(shown.strips)))
    for row, strip in enumerate(shown.strips):
        for run in strip.runs:
            if not run.scheme:
                ax.plot([run.first, run.last + 1], [row, row], color="#dfe3e8", linewidth=1)
                continue
            ax.barh(row, run.count, left=run.first, height=0.84, color=fill(run.scheme),
                    linewidth=0)
            if run.count > 0.012 * shown.layers * len(run.scheme):
                ax.text(run.first + run.count / 2, row, run.scheme, ha="center", va="center",
                        fontsize=7, color=ink(fill(run.scheme)))
    _legend(ax, {name: fill(name) for name in (*shown.weight_schemes, *shown.cache_layouts)})
    tidy(ax, f"{title(plan)}: formats by layer", grid="x")
    ax.grid(False)
    ax.set(xlim=(0, max(shown.layers, 1)), ylim=(len(shown.strips) - 0.5, -0.5), xlabel="layer")
    ax.set_yticks(range(len(shown.strips)), [strip.kind for strip in shown.strips])
    ax.set_xticks([n + 0.5 for n in shown.ticks], [str(n) for n in shown.ticks])
    ax.tick_params(axis="y", length=0)
    return ax


def draw_memory(plan: Plan, ax: Axes | None) -> Axes:
    """Parts of the fullest device's memory, against what may be used and what is visible."""
    ax = axes_for(ax, size=(8.0, 1.7))
    memory, at = plan.memory_per_device, 0.0
    for part in memory_shares(memory):
        size = part.bytes / GIB
        kept = part.name == "kept"
        colour = part.fill or "#ffffff"
        ax.barh(0, size, left=at, height=0.7, color=colour, label=f"{part.name} {size:,.1f} GiB",
                hatch="////" if kept else None, edgecolor="#c3c9d1" if kept else "#ffffff",
                linewidth=0.6)
        if part.fill and part.share > 0.12:
            ax.text(at + size / 2, 0, f"{part.name}\n{size:,.1f}", ha="center", va="center",
                    fontsize=8, color=ink(part.fill))
        at += size
    usable = memory.usable_bytes / GIB
    ax.axvline(usable, color=INK, linewidth=1.2)
    ax.annotate(f"usable {usable:,.1f}", (usable, 0.37), fontsize=8, ha="right", va="bottom",
                xytext=(-3, 1), textcoords="offset points", color=INK)
    tidy(ax, f"{title(plan)}: fullest device", grid="x")
    ax.grid(False)
    ax.set(xlim=(0, at), ylim=(-0.45, 0.75), xlabel="GiB", yticks=[])
    ax.legend(ncols=3, fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(0, 0),
              borderaxespad=3.8)
    return ax


def draw_time(plan: Plan, ax: Axes | None, phase: str) -> Axes:
    """Each module's time in one ``decode`` step or one prompt (``prefill``), end to end."""
    if phase not in ("decode", "prefill"):
        raise InputError(f"phase {phase!r} is not one", hint='phase="decode" or phase="prefill"')
    shown = waterfall(plan, phase)
    ax = axes_for(ax, size=(8.0, 1.1 + 0.24 * (len(shown.bars) + 1)))
    width = max(shown.sum_seconds, shown.end_seconds)
    unit, size = ("s", 1.0) if width >= 1 else ("ms", 1e-3) if width >= 1e-3 else ("µs", 1e-6)
    for row, bar in enumerate((*shown.bars, shown.rest)):
        rest = bar is shown.rest
        ax.barh(row, bar.share * width / size, left=bar.start * width / size, height=0.8,
                color="#ffffff" if rest else bar.fill or SOFT, hatch="////" if rest else None,
                edgecolor="#c3c9d1" if rest else bar.fill or SOFT, linewidth=0.6)
        near = bar.start + bar.share < 0.85
        ax.text((bar.start + (bar.share if near else 0)) * width / size, row,
                f" {format_seconds(bar.seconds)} ", va="center", fontsize=7.5, color=INK,
                ha="left" if near else "right")
    bounds = {bar.bound for bar in shown.bars if bar.bound}
    _legend(ax, {name: colour for name, colour in BOUND_FILLS.items() if name in bounds})
    end = "TPOT" if phase == "decode" else "TTFT"
    tidy(ax, f"{title(plan)}: {phase}, {end} {format_seconds(shown.end_seconds)}", grid="x")
    names = [bar.name for bar in shown.bars]
    ax.set_yticks(range(len(names) + 1), [*names, f"rest of {end}"])
    ax.set(ylim=(len(names) + 0.5, -0.5), xlim=(0, width / size), xlabel=unit)
    ax.tick_params(axis="y", length=0)
    return ax


def draw_uniform(plan: Plan, ax: Axes | None) -> Axes:
    """Output rate per device of the plan and of every uniform format that fits; pale ones lose
    over 5 % more than the plan."""
    rows = [("this plan", plan.performance.output_tokens_per_second_per_device.value,
             plan.quality.loss)]
    rows += [(b.name, b.output_tokens_per_second_per_device, b.loss) for b in plan.baselines
             if b.feasible]
    ax = axes_for(ax, size=(8.0, 1.1 + 0.26 * len(rows)))
    for row, (_, rate, loss) in enumerate(rows):
        colour = OWN if row == 0 else PALE if loss > plan.quality.loss * LOSSIER else PLAIN
        ax.barh(row, rate, height=0.8, color=colour)
        ax.text(rate, row, f" {format_rate(rate)}, loss {loss:.3g}", va="center", fontsize=7.5,
                color=INK)
    tidy(ax, f"{title(plan)}: beside uniform formats", grid="x")
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, 1.2 * max(rate for _, rate, _ in rows)),
           xlabel="output tokens/s per device")
    ax.tick_params(axis="y", length=0)
    return ax


def _legend(ax: Axes, colours: dict[str, str]) -> None:
    """Named colours below the axes."""
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, edgecolor="#8d95a1", linewidth=0.4, label=name)
               for name, colour in colours.items()]
    if handles:
        ax.legend(handles=handles, ncols=6, fontsize=7.5, frameon=False, loc="upper left",
                  bbox_to_anchor=(0, 0), handlelength=1.1, borderaxespad=3.8)
