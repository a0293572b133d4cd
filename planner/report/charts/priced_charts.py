"""Charts of a plan that was priced again: roofline, users, premises, and what loss buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log10
from typing import TYPE_CHECKING

from planner.base.units import format_rate
from planner.report.charts.chart import (
    NEAR,
    SOFT,
    Bars,
    Chart,
    ChartAxis,
    Legend,
    Mark,
    ShadedBand,
    ValueLine,
    Words,
    named_rows,
    values_in_words,
)
from planner.report.charts.plan_charts import plan_title
from planner.report.charts.plan_figures import (
    ReachPlace,
    limits_of,
    premises_figure,
    reach_figure,
    short_tokens,
    users_figure,
)
from planner.report.charts.reach_svg import reach_chart
from planner.report.charts.records import interval_text, number_text
from planner.report.charts.roofline_svg import TERA, operator_mark, roofline_chart
from planner.report.charts.users_svg import users_chart
from planner.report.phrases import phrases

if TYPE_CHECKING:
    from planner.planning.inspect.layout_frontier import FrontierReach
    from planner.planning.inspect.roofline import Operator, Operators
    from planner.planning.inspect.sensitivity import Sensitivity
    from planner.planning.inspect.users import UsersPoint
    from planner.planning.plan.record import Plan

LESS, MORE, SHADE = "#9a4a06", "#1d5f9e", "#eef1f4"
BESIDE, ABOVE = 0.6, 0.09
"""Decades: how far apart the labels of a roofline have to be."""
MOST_LABELS = 8
PREMISES = {
    "bandwidth": "memory bandwidth",
    "compute": "compute rates",
    "batch": "batch",
    "context": "context",
    "popularity": "popularity spread",
}


def plan_roofline_chart(plan: Plan, priced: Operators) -> Chart:
    """Every operator under the device's roofs, as on the page, named by the plan and told; the
    slowest have their names."""
    marks: list[Mark] = [operator_mark(operator, 6) for operator in priced.points]
    slowest = sorted(priced.points, key=lambda o: -o.seconds / _step(plan, o.phase))
    for group in _labelled(slowest[:MOST_LABELS]):
        words = " · ".join(dict.fromkeys(o.kind for o in group))
        at = (group[0].intensity, group[0].flop_per_s / TERA)
        marks.append(Words(*at, words, 7, SOFT, offset=(6, -7)))
    band = f"{priced.bandwidth_bytes_per_s / TERA:.2f} TB/s"
    return replace(
        roofline_chart(phrases("en"), priced, marks),
        title=f"{plan_title(plan)}: roofline, {band} (filled decode, hollow prompt)",
        alt="FLOP/byte and TFLOP/s of operators: "
        + values_in_words(
            (
                f"{o.kind} {o.scheme}, {o.phase}",
                f"{number_text(o.intensity)}, {number_text(o.flop_per_s / TERA)}",
            )
            for o in priced.points
        ),
    )


def _labelled(points: Sequence[Operator]) -> list[list[Operator]]:
    """Operators that share a label: those whose labels would cover each other."""
    groups: list[list[Operator]] = []
    for point in points:
        near = [
            group
            for group in groups
            if abs(log10(point.intensity / group[0].intensity)) < BESIDE
            and abs(log10(point.flop_per_s / group[0].flop_per_s)) < ABOVE
        ]
        if near:
            near[0].append(point)
        else:
            groups.append([point])
    return groups


def _step(plan: Plan, phase: str) -> float:
    return sum(getattr(u, f"{phase}_seconds") for u in plan.units) or 1.0


def plan_users_chart(plan: Plan, points: Sequence[UsersPoint]) -> Chart:
    """Users that fit at every length of context, as on the page, named by the plan and told."""
    figure, t = users_figure(plan, points), phrases("en")
    lines = (("caches of the plan", figure.own), ("BF16 caches", figure.wide))
    return replace(
        users_chart(t, plan, points),
        title=f"{plan_title(plan)}: users against context",
        alt=f"The plan's batch is {figure.batch:,} at a context of {figure.context:,}. "
        "Users that fit by context: "
        + values_in_words(
            (name, ", ".join(f"{short_tokens(context)} {count:,}" for context, count in places))
            for name, places in lines
            if places
        ),
    )


def premises_chart(plan: Plan, priced: Sensitivity) -> Chart:
    """Output rate per device (TPOT where the objective is latency) with one premise a fifth less
    and more; hatched: it would not fit the memory, shaded: the 80 % interval as it is."""
    figure = premises_figure(plan, priced)
    size = 1e-3 if figure.late else 1.0
    low, now, high = (value / size for value in (figure.low, figure.now, figure.high))
    marks: list[Mark] = [ShadedBand(low, high, SHADE)]
    for y, row in enumerate(figure.rows):
        for end, value, colour in (
            (row.swing.low, row.less / size, LESS),
            (row.swing.high, row.more / size, MORE),
        ):
            bar = ((y, now, value - now),)
            inside = colour if end.fits else "white"
            marks += [
                Bars(bar, inside, 0.7, edge=colour, hatched=not end.fits),
                Words(
                    value,
                    y,
                    f"{NEAR}{format_rate(value)}{NEAR}",
                    across="left" if value >= now else "right",
                    up="center",
                ),
            ]
    marks.append(ValueLine(now, width=1))
    noun = "TPOT [ms]" if figure.late else "output tokens/s per device"
    names = [PREMISES[row.swing.premise] for row in figure.rows]
    return Chart(
        f"{plan_title(plan)}: a premise 20 % less (brown) or more (blue)",
        ChartAxis(f"{noun}; hatched: does not fit the memory; shaded: 80 % interval", margin=0.12),
        named_rows(names),
        tuple(marks),
        f"{noun} {interval_text(now, low, high)}; with a premise 20 % less and more "
        + values_in_words(
            (name, f"{number_text(row.less / size)} and {number_text(row.more / size)}")
            for name, row in zip(names, figure.rows, strict=True)
        ),
        (8.0, 1.2 + 0.42 * len(names)),
        grid="x",
    )


def plan_reach_chart(plan: Plan, curve: Sequence[FrontierReach]) -> Chart:
    """Loss against output rate (TPOT where the objective is latency) on the plan's layout, as on
    the page, named by the plan and told."""
    figure = reach_figure(plan, curve, limits_of(plan))
    mine, size = figure.mine, 1e-3 if figure.late else 1.0
    noun = "TPOT [ms]" if figure.late else "output tokens/s per device"

    def called(place: ReachPlace) -> str:
        if place is mine:
            return "this plan"
        return " · ".join(place.names) or "best on this layout"

    return replace(
        reach_chart(phrases("en"), figure),
        title=f"{plan_title(plan)}: what loss buys",
        alt=f"{noun} and loss: "
        + values_in_words((called(place), _place_in_words(place, size)) for place in figure.places),
        legend=Legend(),
    )


def _place_in_words(place: ReachPlace, size: float) -> str:
    """Values in units of ``size``."""
    low, high = (None if end is None else end / size for end in (place.low, place.high))
    return (
        f"{interval_text(place.value / size, low, high)}, loss "
        f"{interval_text(place.loss, place.loss_low, place.loss_high)}"
    )
