"""Figures that price a plan again: the roofline, users and premises."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import log10
from typing import TYPE_CHECKING

from planner.hardware.folders import hardware_folders
from planner.planning.inspect.reprice import reprice
from planner.planning.inspect.roofline import Operator, operators
from planner.planning.inspect.sensitivity import sensitivity as priced_around
from planner.planning.inspect.users import users_that_fit
from planner.planning.plan.picture import fill
from planner.plot.axes import INK, SOFT, axes_for, describe, interval, listed, tidy
from planner.plot.plan import NEAR, OWN, PLAIN, title
from planner.report.figures.marks import written
from planner.report.figures.premises import premises_figure
from planner.report.figures.users import short_tokens, users_figure
from planner.typed import typed
from planner.units import format_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from planner.planning.plan.record import Plan

LESS, MORE, SHADE = "#9a4a06", "#1d5f9e", "#eef1f4"
BESIDE, ABOVE = 0.6, 0.09
"""Decades: how far apart the labels of a roofline have to be."""
PREMISES = {
    "bandwidth": "memory bandwidth",
    "compute": "compute rates",
    "batch": "batch",
    "context": "context",
    "popularity": "popularity spread",
}


@typed
def roofline(
    plan: Plan, ax: Axes | None = None, *, hardware_dir: str | os.PathLike[str] | None = None
) -> Axes:
    """Every operator of a plan under the device's roofs: filled a decode step, hollow one prompt.

    Raises:
        InputError: not a plan, or one that cannot be priced again from its file alone.
    """
    it = reprice(plan, folders=hardware_folders(hardware_dir))
    found = operators(it.question, plan)
    ax = axes_for(ax, size=(8.0, 5.0))
    band, top = found.bandwidth_bytes_per_s, max(peak for _, peak in found.roofs)
    lowest = min(o.intensity for o in found.points) / 2
    furthest = max(*(o.intensity for o in found.points), top / band) * 3
    for peak, names in found.peaks:
        ax.plot([peak / band, furthest], [peak / 1e12] * 2, color=INK, linewidth=1.2)
        ax.annotate(
            f"{' · '.join(names)} {peak / 1e12:,.0f}",
            (furthest, peak / 1e12),
            ha="right",
            va="bottom",
            xytext=(0, 1),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )
    ax.plot([lowest, top / band], [lowest * band / 1e12, top / 1e12], color=INK, linewidth=1.2)
    for one in found.points:
        filled = one.phase == "decode"
        ax.plot(
            one.intensity,
            one.flop_per_s / 1e12,
            "o" if filled else "s",
            markersize=6,
            markerfacecolor=fill(one.scheme) if filled else "white",
            markeredgecolor=INK if filled else fill(one.scheme),
            markeredgewidth=0.5 if filled else 1.6,
        )
    for ones in _named(sorted(found.points, key=lambda o: -o.seconds / _whole(plan, o.phase))[:8]):
        ax.annotate(
            " · ".join(dict.fromkeys(o.kind for o in ones)),
            (ones[0].intensity, ones[0].flop_per_s / 1e12),
            fontsize=7,
            color=SOFT,
            xytext=(6, -7),
            textcoords="offset points",
        )
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(lowest, furthest),
        xlabel="arithmetic intensity [FLOP/byte]",
        ylabel="rate of a device [TFLOP/s]",
    )
    tidy(
        ax,
        f"{title(plan)}: roofline, {band / 1e12:.2f} TB/s (filled decode, hollow prompt)",
        grid="both",
    )
    describe(
        ax,
        "FLOP/byte and TFLOP/s of operators: "
        + listed(
            (
                f"{o.kind} {o.scheme}, {o.phase}",
                f"{written(o.intensity)}, {written(o.flop_per_s / 1e12)}",
            )
            for o in found.points
        ),
    )
    return ax


def _named(points: Sequence[Operator]) -> list[list[Operator]]:
    """Operators that share a label: those whose labels would cover each other."""
    groups: list[list[Operator]] = []
    for one in points:
        near = [
            group
            for group in groups
            if abs(log10(one.intensity / group[0].intensity)) < BESIDE
            and abs(log10(one.flop_per_s / group[0].flop_per_s)) < ABOVE
        ]
        if near:
            near[0].append(one)
        else:
            groups.append([one])
    return groups


def _whole(plan: Plan, phase: str) -> float:
    return sum(getattr(u, f"{phase}_seconds") for u in plan.units) or 1.0


@typed
def users(
    plan: Plan, ax: Axes | None = None, *, hardware_dir: str | os.PathLike[str] | None = None
) -> Axes:
    """Users that fit at every length of context, with a plan's caches and with BF16 ones.

    Raises:
        InputError: not a plan, or one that cannot be priced again from its file alone.
    """
    found = users_figure(
        plan, users_that_fit(reprice(plan, folders=hardware_folders(hardware_dir)))
    )
    ax = axes_for(ax, size=(8.0, 4.0))
    lines = [
        line
        for line in (("caches of the plan", found.own, OWN), ("BF16 caches", found.wide, SOFT))
        if line[1]
    ]
    for name, points, colour in lines:
        ax.plot(
            [context for context, _ in points],
            [count for _, count in points],
            "o-",
            color=colour,
            markersize=4,
            label=name,
        )
    ax.plot(
        [found.context],
        [found.batch],
        "D",
        color=PLAIN,
        markersize=8,
        label=f"the plan's batch, {found.batch:,}",
    )
    ax.set_xscale("log", base=2)
    ax.set(yscale="log", xlabel="context [tokens]", ylabel="users that fit, all replicas")
    ax.set_xticks(found.ticks, [short_tokens(context) for context in found.ticks])
    tidy(ax, f"{title(plan)}: users against context", grid="both")
    ax.legend(fontsize=8, frameon=False)
    describe(
        ax,
        f"The plan's batch is {found.batch:,} at a context of {found.context:,}. "
        "Users that fit by context: "
        + listed(
            (name, ", ".join(f"{short_tokens(context)} {count:,}" for context, count in points))
            for name, points, _ in lines
        ),
    )
    return ax


def premises(
    plan: Plan, ax: Axes | None = None, *, hardware_dir: str | os.PathLike[str] | None = None
) -> Axes:
    """Output rate per device of a plan (TPOT where the objective is latency) with one premise a
    fifth less and more; hatched: it would not fit the memory, shaded: the 80 % interval as it is.

    Raises:
        InputError: not a plan, or one that cannot be priced again from its file alone.
    """
    found = premises_figure(
        plan, priced_around(reprice(plan, folders=hardware_folders(hardware_dir)))
    )
    rows, size = found.rows, 1e-3 if found.late else 1.0
    low, now, high = (value / size for value in (found.low, found.now, found.high))
    ax = axes_for(ax, size=(8.0, 1.2 + 0.42 * len(rows)))
    for y, row in enumerate(rows):
        for end, figure, colour in (
            (row.swing.low, row.less / size, LESS),
            (row.swing.high, row.more / size, MORE),
        ):
            ax.barh(
                y,
                figure - now,
                left=now,
                height=0.7,
                color=colour if end.fits else "white",
                edgecolor=colour,
                hatch=None if end.fits else "////",
                linewidth=0.8,
            )
            ax.text(
                figure,
                y,
                f"{NEAR}{format_rate(figure)}{NEAR}",
                fontsize=7.5,
                va="center",
                ha="left" if figure >= now else "right",
                color=INK,
            )
    ax.axvspan(low, high, color=SHADE, zorder=0)
    ax.axvline(now, color=INK, linewidth=1)
    noun = "TPOT [ms]" if found.late else "output tokens/s per device"
    tidy(ax, f"{title(plan)}: a premise 20 % less (brown) or more (blue)", grid="x")
    ax.set_yticks(range(len(rows)), [PREMISES[row.swing.premise] for row in rows])
    ax.margins(x=0.12)
    ax.set(
        ylim=(len(rows) - 0.5, -0.5),
        xlabel=f"{noun}; hatched: does not fit the memory; shaded: 80 % interval",
    )
    ax.tick_params(axis="y", length=0)
    describe(
        ax,
        f"{noun} {interval(now, low, high)}; with a premise 20 % less and more "
        + listed(
            (
                PREMISES[row.swing.premise],
                f"{written(row.less / size)} and {written(row.more / size)}",
            )
            for row in rows
        ),
    )
    return ax
