"""What more or less loss buys: the frontier, the plan on it, and the uniform formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, floor, log10

from planner.planning.inspect.layout_frontier import FrontierReach
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.charts.chart import (
    OWN,
    PLAIN,
    SOFT,
    Chart,
    ChartAxis,
    Interval,
    Mark,
    MarkGroup,
    PointMarks,
    ValueLine,
    Words,
    ticked,
)
from planner.report.charts.drawing import drawn
from planner.report.charts.plan_figures import (
    NO_LIMITS,
    OVER,
    PlanLimits,
    ReachFigure,
    ReachPlace,
    reach_figure,
)
from planner.report.charts.records import axis_ticks
from planner.report.charts.svg import decades
from planner.report.phrases import Phrases

MOST_NAMES = 2
UNIFORM = "#9a4a06"
BESIDE_ZERO = 0.3
"""Room left of a loss of exactly 0, in units of the least other one."""


def reach_svg(
    t: Phrases, plan: Plan, curve: Sequence[FrontierReach], limits: PlanLimits = NO_LIMITS
) -> str:
    """One ``svg`` element."""
    return drawn(reach_chart(t, reach_figure(plan, curve, limits)))


def reach_chart(t: Phrases, shown: ReachFigure) -> Chart:
    """The axis upwards is TPOT where the objective is latency (then lower is better), output
    tokens a second per device otherwise."""
    mine, limits = shown.mine, shown.limits
    values = [p.value for p in shown.places] + [v for v in (mine.low, mine.high) if v is not None]
    if shown.late and limits.tpot_seconds is not None:
        values.append(limits.tpot_seconds)
    y = ticked(
        axis_ticks([1.05 * max(values)], log=False, zero=True),
        t("reach.late" if shown.late else "reach.y"),
    )
    if shown.late:
        y = replace(y, ticks=tuple((v, words.span(v) if v else "0") for v, _ in y.ticks or ()))
    return Chart(
        t("reach.title"),
        _losses(f"{t('reach.x')} [{shown.loss_unit}]", shown),
        y,
        (*_limits(shown), *_curve(t, shown), *_intervals(mine), *_places(t, shown)),
        t("reach.label", n=len(shown.curve), m=len(shown.others)),
        (8.0, 4.4),
        grid="both",
        kind="reach",
    )


def _losses(label: str, shown: ReachFigure) -> ChartAxis:
    """Losses on a logarithm, with a place of its own for 0."""
    mine = shown.mine
    losses = [p.loss for p in shown.places]
    losses += [v for v in (mine.loss_low, mine.loss_high) if v is not None and mine.loss > 0]
    if shown.limits.loss:
        losses.append(shown.limits.loss)
    above = [v for v in losses if v > 0] or [1.0]
    low, high = floor(2 * log10(min(above)) - 0.1) / 2, ceil(2 * log10(max(above)) + 0.1) / 2
    least, most = 10.0**low, 10.0**high
    ticks = decades(low, high)
    if min(losses) > 0:
        return ChartAxis(label, "log", (least, most), ticks)
    ends = (-BESIDE_ZERO * least, most)
    return ChartAxis(label, "symlog", ends, ((0.0, "0"), *ticks), least)


def _limits(shown: ReachFigure) -> list[Mark]:
    """Lines at the limits that the plan keeps, where an axis is what they limit."""
    limits, marks = shown.limits, list[Mark]()
    if limits.loss is not None:
        marks.append(ValueLine(limits.loss, OWN, dashed=True, kind="limit"))
    if shown.late and limits.tpot_seconds is not None:
        marks.append(ValueLine(limits.tpot_seconds, OWN, dashed=True, across=True, kind="limit"))
    return marks


def _curve(t: Phrases, shown: ReachFigure) -> list[Mark]:
    """Steps: a bound buys what the point below it has, until the next one can be had."""
    places = tuple((mark.loss, mark.value) for mark in shown.curve)
    marks: list[Mark] = [
        PointMarks(places, PLAIN, "", line="step", name=t("reach.best"), kind="curve")
    ]
    for mark in shown.curve:
        kind, pale = ("reached over", 0.45) if mark.over else ("reached", 1.0)
        at, tips = ((mark.loss, mark.value),), (_mark_text(t, mark, shown),)
        marks.append(PointMarks(at, PLAIN, size=5.3, alpha=pale, tips=tips, kind=kind))
    return marks


def _intervals(mine: ReachPlace) -> list[Mark]:
    """The 80 % intervals of the plan's value and loss, crossing at it."""
    marks = list[Mark]()
    if mine.low is not None and mine.high is not None and mine.low < mine.high:
        marks.append(Interval(mine.loss, mine.low, mine.high, OWN, upright=True, kind="span"))
    if mine.loss_low is not None and mine.loss_high is not None and mine.loss_low < mine.loss_high:
        marks.append(Interval(mine.value, mine.loss_low, mine.loss_high, OWN, kind="span"))
    return marks


def _mark_text(t: Phrases, mark: ReachPlace, shown: ReachFigure) -> str:
    value = words.span(mark.value) if shown.late else words.three_digits(mark.value)
    return t("reach.mark", value=value, loss=words.loss(mark.loss))


def _label(names: Sequence[str]) -> str:
    """The shortest names, and how many more there are."""
    more = len(names) - MOST_NAMES
    shown = sorted(names, key=len)[:MOST_NAMES] if more > 0 else names
    return " · ".join(shown) + (f" +{more}" if more > 0 else "")


def _places(t: Phrases, shown: ReachFigure) -> list[Mark | MarkGroup]:
    """Uniform formats by their names, the plan above them."""
    mine = shown.mine
    own = (mine.loss, mine.value)
    marks: list[Mark | MarkGroup] = [
        Words(*own, t("baselines.self"), 8, OWN, offset=(7, 5), beside=True, kind="own", bold=True)
    ]
    for place in shown.others:
        names = [t.pieced(t.original(name)) for name in place.names]
        at, pale = (place.loss, place.value), 0.45 if place.over else 1.0
        kind, label = "cross over" if place.over else "cross", _label(names)
        marks.append(
            MarkGroup(
                (
                    PointMarks((at,), UNIFORM, "x", 6.1, alpha=pale, kind=kind),
                    Words(
                        *at,
                        label + (OVER if place.over else ""),
                        7.5,
                        SOFT,
                        offset=(7, -3),
                        beside=True,
                        kind="name",
                    ),
                ),
                f"{' · '.join(names)}: {_mark_text(t, place, shown)}",
            )
        )
    tips = (_mark_text(t, mine, shown),)
    return [*marks, PointMarks((own,), OWN, "D", 11.4, tips=tips, above=True, kind="mine")]
