"""``planner.plan`` under open arrivals: the answer of a capacity question as a plan.

Formats, layout and replicas are those of :mod:`planner.sizing.capacity` for the same question, on
as few devices as keep the limits; the plan's times are those at the rate, its means beside those
at percentiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from planner.base.errors import InputError
from planner.messages.message import message
from planner.planning.answer.assumptions import LOOP_KEYS
from planner.planning.answer.recommend import layout_text, verdict_kind
from planner.planning.answer.recommend_text import made_text, serve_text, value_text
from planner.planning.choose.option import Option
from planner.planning.plan.bounds import escape_control_characters
from planner.planning.plan.names import counted_formats
from planner.planning.plan.notes import with_notes
from planner.planning.plan.open_arrivals import (
    OpenArrivals,
    TimesAtPercentile,
)
from planner.planning.plan.recommendation import NextLossStep, OtherPlan, Recommendation
from planner.planning.plan.record import Assumption, Estimate, PerformanceInfo, Plan
from planner.planning.question.declaring import Default
from planner.planning.question.defaults import TPOT_NOTE, TPOT_SECONDS
from planner.planning.question.input import QuestionInput
from planner.planning.question.parameters import LIMITS_ON_TIME
from planner.planning.question.pool_flags import PoolFlags
from planner.planning.search.rivals import shown_schemes
from planner.scheduler.rules import LEAST_LOADED
from planner.sizing.by_device import SizedAnswer
from planner.sizing.capacity import SizingInput, sized_on_device
from planner.sizing.capacity_record import HOURS_A_MONTH, Capacity
from planner.sizing.cheapest import SizedFormats
from planner.sizing.options import OptionNote, SizedDeployable

PERCENTILE = 90.0
"""Of requests that keep the limits, where a limit has none of its own."""
JOULES_A_KWH = 3.6e6
CLOSED = ("batch", "concurrency", "scenario", "reuse", "host", "anchor")
"""What is asked of a closed loop, or of one deployment: none of it is sized for a rate."""
COST_KEYS = ("price", "energy")
"""Assumptions whose values tell what tokens cost and draw in a closed loop."""


def plan_at_rate(inputs: QuestionInput, flags: PoolFlags, rate: float) -> Plan:
    """What to serve ``rate`` requests a second with: the fewest devices that keep the limits, at
    most the question's ``devices``.

    Raises:
        InfeasibleError: no number keeps the limits, or more than there are; the hint has the rate
            that would hold and by how much the queue would grow.
        InputError: a rate out of range, or what is not sized for one.
    """
    flags.check()
    _check(inputs, flags)
    timed = any(getattr(inputs, name) is not None for name in LIMITS_ON_TIME)
    work = inputs.loaded_workload
    by_default = not timed and (work is None or work.latency_limit)
    wanted = SizingInput(rate, PERCENTILE, LEAST_LOADED, inputs.devices, None, None)
    sized = sized_on_device(
        replace(
            inputs,
            devices=None,
            tpot_seconds=TPOT_SECONDS if by_default else inputs.tpot_seconds,
        ),
        wanted,
        flag="--devices",
    )
    plan = _plan_of(sized)
    return escape_control_characters(with_notes(plan, TPOT_NOTE) if by_default else plan)


def _check(inputs: QuestionInput, flags: PoolFlags) -> None:
    """Refuse what is planned for requests in flight, not for a rate.

    Raises:
        InputError: it is asked.
    """
    given = [name for name in CLOSED if getattr(inputs, name) is not None]
    if inputs.asks_prefixes and inputs.reuse is None:
        given.append("kv_offload")
    if inputs.speculation not in (None, "none"):
        given.append("speculation")
    if not isinstance(inputs.objective, Default) and inputs.objective not in ("throughput", "cost"):
        given.append("objective")
    if flags.demanded or flags.transfer_bytes_per_s is not None:
        given.append("mode")
    if given:
        names = ", ".join(
            f"--{name.replace('_seconds', '-ms').replace('_', '-')}" for name in given
        )
        raise InputError(
            message("refusals.not_planned_for_a_rate", names=names),
            hint=message("refusals.leave_out_or_replay", names=names),
        )


def _plan_of(sized: SizedAnswer) -> Plan:
    """The plan of all replicas, at the rate."""
    capacity, one = sized.capacity, sized.capacity.replica
    return replace(
        one,
        objective="cost",
        device=replace(one.device, count=capacity.devices),
        layout=replace(one.layout, replicas=capacity.replicas),
        performance=_performance(capacity, one),
        recommendation=_recommendation(sized),
        open_arrivals=_arrivals(capacity),
        assumptions=_assumptions(capacity),
    )


def _assumptions(capacity: Capacity) -> tuple[Assumption, ...]:
    """Those of the plan, but for what is of a closed loop; what its devices cost and draw as the
    rate has it; then how the rate is served."""
    of_rate = {item.key: item for item in capacity.assumptions}
    own = [item for item in capacity.replica.assumptions if item.key not in LOOP_KEYS]
    known = {item.key for item in own}
    return (
        *(_at_rate(item, of_rate) for item in own),
        *(item for item in capacity.assumptions if item.key not in known),
    )


def _at_rate(item: Assumption, of_rate: Mapping[str, Assumption]) -> Assumption:
    """An assumption of a plan with the figures of the rate, where it has any."""
    if item.key not in COST_KEYS or item.key not in of_rate:
        return item
    return replace(item, value=of_rate[item.key].value)


def _arrivals(capacity: Capacity) -> OpenArrivals:
    first, each = capacity.ttft_seconds, capacity.tpot_seconds
    whole = capacity.e2e_seconds
    assert whole is not None
    return OpenArrivals(
        requests_per_second=capacity.requests_per_second,
        router=capacity.router,
        load=capacity.answer.load,
        sequences=capacity.sequences,
        percentile=capacity.percentile,
        limits=capacity.limits,
        times=tuple(
            TimesAtPercentile(
                point.percentile,
                _as_sure(first, point.ttft_seconds),
                _as_sure(each, point.tpot_seconds),
                _as_sure(whole, point.e2e_seconds),
            )
            for point in capacity.tails
        ),
        devices_low=capacity.devices_low,
        devices_high=capacity.devices_high,
    )


def _as_sure(known: Estimate, seconds: float) -> Estimate:
    """A time that errs by as much as the ``known`` one does: by its steps."""
    by = seconds / known.value
    return Estimate(seconds, known.low * by, known.high * by, known.basis)


def _performance(capacity: Capacity, one: Plan) -> PerformanceInfo:
    """Means at the rate; what comes is served, and so the throughput has no interval."""
    tokens, basis = capacity.output_tokens_per_second, capacity.tpot_seconds.basis
    each, energy = tokens / capacity.devices, capacity.kwh_per_month
    joules = None
    if energy is not None:
        by = JOULES_A_KWH / (HOURS_A_MONTH * 3600.0 * tokens)
        joules = Estimate(energy.value * by, energy.low * by, energy.high * by, energy.basis)
    first = _as_sure(capacity.ttft_seconds, capacity.mean_ttft_seconds)
    pace = _as_sure(capacity.tpot_seconds, capacity.mean_tpot_seconds)
    return replace(
        one.performance,
        ttft_seconds=replace(first, evidence=one.performance.ttft_seconds.evidence),
        tpot_seconds=replace(pace, evidence=one.performance.tpot_seconds.evidence),
        output_tokens_per_second=Estimate(tokens, tokens, tokens, basis),
        output_tokens_per_second_per_device=Estimate(each, each, each, basis),
        usd_per_million_output_tokens=capacity.usd_per_million_output_tokens,
        joules_per_output_token=joules,
        interruption_seconds=None,
    )


def _recommendation(sized: SizedAnswer) -> Recommendation:
    """What to serve, and the other formats that were sized for the rate."""
    choices, capacity = sized.choices, sized.capacity
    taken = sized.selection.options[choices.answer.place]
    tokens = capacity.output_tokens_per_second
    schemes = shown_schemes(taken.rival)
    made = made_text(taken.simple.new_weights, taken.weights.checkpoint, taken.weights.command)
    value = value_text("cost", tokens, capacity.mean_tpot_seconds, 0, "")
    released = taken.space.model.question.spec.quantization
    return Recommendation(
        verdict=verdict_kind(taken.rival),
        formats=taken.rival.formats,
        needs_new_weights=taken.simple.new_weights,
        checkpoint=taken.weights.checkpoint,
        text=serve_text(taken.rival.formats, released, schemes, taken.rival.kv, made, value),
        gain=None,
        probability=None,
        alternatives=tuple(_others(sized, tokens)),
        recipe=None,
        released=None,
        lossier=_fewer_bits(sized, tokens),
        measure_next=(),
    )


def _others(sized: SizedAnswer, tokens: float) -> Iterator[OtherPlan]:
    """Other formats that keep the level, each on its own fewest devices."""
    for _, best, note in sized.formats:
        found = _known(sized, best)
        if found is not None:
            option = sized.selection.options[found.place]
            yield _other(option, best, note, tokens)


def _known(sized: SizedAnswer, best: SizedDeployable) -> SizedFormats | None:
    """The formats of the selection whose best layout a row is; None: they lose more than may be."""
    return next((one for one in sized.choices.sized if one.best is best), None)


def _other(option: Option, best: SizedDeployable, note: OptionNote, tokens: float) -> OtherPlan:
    rival, question = option.rival, best.deployable.question
    schemes = shown_schemes(rival)
    return OtherPlan(
        name=counted_formats(len(schemes)) if rival.kind == "formats" else rival.name,
        schemes=schemes,
        formats=rival.formats,
        kv=rival.kv,
        needs_new_weights=note.new_weights,
        output_tokens_per_second=tokens,
        tpot_seconds=best.times.tpot,
        loss=best.deployable.loss,
        probability_better=note.chance,
        why_not=note.reason,
        devices=best.devices,
        gain=None,
        engine=question.engine,
        engine_version=question.engine_version or None,
        layout=layout_text(best.deployable.layout),
        evidence=option.evidence,
    )


def _fewer_bits(sized: SizedAnswer, tokens: float) -> NextLossStep | None:
    """What 4-bit weights beyond the limit on loss would need; None where they are none."""
    for name, best, _ in sized.formats:
        if _known(sized, best) is None:
            own = best.deployable
            return NextLossStep(
                name, own.schemes, own.rival.kv, own.loss, tokens, best.devices, (), None
            )
    return None
