"""The chart of the plans that were weighed: the recommended one and the rows of the table below, on
the scale that the verdict compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.placement.modules import PLANNED_KINDS
from planner.planning.plan.names import name_kind, pooled_kind
from planner.planning.plan.recommendation import GainRange, OtherPlan, Recommendation
from planner.planning.plan.record import Plan
from planner.planning.question.question import RATES
from planner.report import words
from planner.report.charts.records import DotPlot, DotRow, Mark, rows_in_words
from planner.report.phrases import Phrases
from planner.report.plan_terms import chance, other_device_count
from planner.report.view.alternatives import other_name
from planner.report.view.shown_plans import PAGE_OTHERS, SAME, shown_others

SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
_MARKS: dict[str, Mark] = {"uniform": "uniform", "optimum": "optimum"}
Values = tuple[float, float | None, float | None]
"""A value and the ends of its interval, None where it has none."""
SPREAD = 12.0
"""Ratio of the largest to the smallest value from which on the axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class RivalsView:
    """The chart, and what is to be known of its intervals."""

    chart: DotPlot
    note: str


@dataclass(frozen=True, slots=True)
class RivalScale:
    """What is compared: the recommended plan's ``own`` value with its interval, in the unit of
    ``title``; ``more`` of it is better, and only the ``relative`` value of others is known."""

    title: str
    own: float
    low: float | None
    high: float | None
    more: bool
    each: bool = False
    relative: bool = False

    def value(self, gain: float) -> float:
        """The value of a plan that is better by ``gain``."""
        return self.own * ((1 + gain) if self.more else (1 - gain))


def rivals_view(t: Phrases, plan: Plan) -> RivalsView | None:
    """The chart of a plan and what was weighed beside it; None where nothing was."""
    said = plan.recommendation
    if said is None:
        return None
    chosen = [(_mark(other), other) for other in shown_others(plan, PAGE_OTHERS)]
    axis = scale_of(t, plan, chosen)
    rows = [
        _mine(t, plan, said, axis),
        *(row for mark, other in chosen if (row := _row(t, plan, axis, mark, other)) is not None),
    ]
    if len(rows) < 2:
        return None
    known = any(other.gain is not None for _, other in chosen)
    ends = (
        ""
        if axis.low is None or axis.high is None
        else t("first.own", low=_text(plan, axis, axis.low), high=_text(plan, axis, axis.high))
    )
    values = [row.value for row in rows]
    wide = min(values) > 0 and max(values) / min(values) > SPREAD
    title = t("first.rivals")
    alone = "first.unpaired" if plan.open_arrivals is None else "first.each_sized"
    return RivalsView(
        DotPlot(title, axis.title, tuple(rows), f"{axis.title}: {rows_in_words(rows)}", log=wide),
        (t("first.paired", own=ends) if known else t(alone)) + _wider(t, plan, chosen),
    )


def _wider(t: Phrases, plan: Plan, chosen: Sequence[tuple[Mark, OtherPlan]]) -> str:
    """Why a recommended plan may be better than the optimum: the limit on loss is held within a
    band, by the optimum exactly."""
    worse = [
        other
        for mark, other in chosen
        if mark == "optimum"
        and other.gain is not None
        and other.gain.value < 0
        and other.loss < plan.quality.loss
    ]
    own = words.loss(plan.quality.loss)
    return "".join(t("first.wider", optimum=words.loss(other.loss), loss=own) for other in worse)


def _mark(other: OtherPlan) -> Mark:
    kind = name_kind(other.name)
    if kind == "released" and pooled_kind(other.name) != "aggregated":
        return "released"
    return _MARKS.get(kind, "other")


def scale_of(t: Phrases, plan: Plan, chosen: Sequence[tuple[Mark, OtherPlan]]) -> RivalScale:
    """The objective as people read it: rates per device where numbers of devices differ."""
    perf, loss = plan.performance, plan.quality
    if plan.objective == "latency":
        time = perf.tpot_seconds
        unit = words.seconds(time.value)[1]
        return RivalScale(
            t("first.axis_latency", unit=unit), time.value, time.low, time.high, more=False
        )
    if plan.objective == "memory":
        return RivalScale(t("first.axis_memory"), 100.0, None, None, more=False, relative=True)
    if plan.objective == "quality":
        return RivalScale(
            t("first.axis_quality", unit=t.original(loss.unit.partition(" (")[0])),
            loss.loss,
            loss.low,
            loss.high,
            more=False,
        )
    each = any(other_device_count(plan, other.devices) for _, other in chosen)
    rate = perf.output_tokens_per_second_per_device if each else perf.output_tokens_per_second
    return RivalScale(
        t("first.axis_each" if each else "first.axis_rate"),
        rate.value,
        rate.low,
        rate.high,
        more=True,
        each=each,
    )


def _mine(t: Phrases, plan: Plan, said: Recommendation, axis: RivalScale) -> DotRow:
    """The recommended plan; without an interval where those of the others are of the difference."""
    paired = any(other.gain is not None for other in said.alternatives)
    same = [t.pieced(other.name) for other in said.alternatives if other.why_not == SAME]
    note = t("first.also", names=t("answer.comma").join(dict.fromkeys(same))) if same else ""
    low, high = (None, None) if paired else (axis.low, axis.high)
    known = any(name_kind(other.name) == "optimum" for other in said.alternatives)
    lead = "first.recommended" if known else "first.taken"  # an optimum that was asked for
    return _drawn(
        plan,
        axis,
        t(lead, name=_verdict(t, plan, said)),
        (axis.own, low, high),
        "recommended",
        note,
    )


def _verdict(t: Phrases, plan: Plan, said: Recommendation) -> str:
    """What is recommended, in two or three words."""
    if plan.deployment is not None:
        return t("first.two_pools")
    caches = dict.fromkeys(u.kv_layout for u in plan.units if u.kv_layout is not None)
    kv = t("first.kv", names=t("answer.comma").join(caches)) if caches else ""
    scheme = max(_bytes(plan).items(), key=lambda item: item[1], default=("", 0))[0]
    return t(f"first.verdict_{said.verdict}", n=len(_bytes(plan)), scheme=scheme) + kv


def _bytes(plan: Plan) -> dict[str, int]:
    """Weight bytes of the linears by scheme."""
    sizes: dict[str, int] = {}
    for unit in plan.units:
        if unit.kv_layout is None and unit.kind in PLANNED_KINDS:
            sizes[unit.scheme] = sizes.get(unit.scheme, 0) + unit.weight_bytes
    return sizes


def _row(t: Phrases, plan: Plan, axis: RivalScale, mark: Mark, other: OtherPlan) -> DotRow | None:
    values = _values(plan, axis, other)
    if values is None:
        return None
    odds = (
        ""
        if other.probability_better is None
        else t("first.chance", chance=chance(other.probability_better))
    )
    return _drawn(plan, axis, other_name(t, plan, other), values, mark, odds)


def _drawn(
    plan: Plan,
    axis: RivalScale,
    name: str,
    values: Values,
    mark: Mark,
    note: str,
) -> DotRow:
    """A row with (value, low, high), times in the unit of the plan's own."""
    size = (
        SECONDS[words.seconds(plan.performance.tpot_seconds.value)[1]]
        if plan.objective == "latency"
        else 1.0
    )
    low, high = (None if end is None else end / size for end in values[1:])
    return DotRow(name, values[0] / size, low, high, mark, note, _text(plan, axis, values[0]))


def _values(plan: Plan, axis: RivalScale, other: OtherPlan) -> Values | None:
    """Value of another plan as its row has it, and the interval of its difference; older files have
    no interval, and no bytes at all."""
    gain: GainRange | None = other.gain
    low, high = (
        (None, None) if gain is None else sorted(axis.value(g) for g in (gain.low, gain.high))
    )
    if plan.objective in RATES:
        rate = other.output_tokens_per_second
        return (rate / max(other.devices, 1) if axis.each else rate), low, high
    own = {"latency": other.tpot_seconds, "quality": other.loss}.get(plan.objective)
    if own is None and gain is not None:
        own = axis.value(gain.value)
    return None if own is None else (own, low, high)


def _text(plan: Plan, axis: RivalScale, value: float) -> str:
    if axis.relative:
        return f"{value:.1f}\u202f%"
    if plan.objective == "latency":
        return words.span(value)
    return words.loss(value) if plan.objective == "quality" else words.three_digits(value)
