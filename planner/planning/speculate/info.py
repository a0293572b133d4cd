"""What a plan that drafts tokens says of it, and intervals in view of how many are accepted."""

from __future__ import annotations

import math
from dataclasses import replace

from planner.placement.modules import DRAFT
from planner.planning.answer.capacity import most_at_requests
from planner.planning.engines.speculation import speculation_rule
from planner.planning.plan.recommendation import GainRange
from planner.planning.plan.record import Assumption, Estimate, PerformanceInfo, Plan
from planner.planning.plan.speculation import (
    MEMORY,
    NEVER,
    SLOWER,
    AcceptanceInfo,
    SpeculationInfo,
)
from planner.planning.price.intervals import Z80
from planner.planning.price.price import Priced, price
from planner.planning.question.question import RATES
from planner.planning.question.serving_ways import engine_of
from planner.planning.question.speculation import Speculation
from planner.planning.search.best_first import SearchResult
from planner.planning.space.draft_bytes import draft_token_bytes
from planner.planning.space.drafting import draft_cache
from planner.planning.speculate.paying import pays_up_to
from planner.throughput.calibration import PRIOR
from planner.throughput.speculation import accepted_tokens

KEY = "speculation"


def with_speculation(plan: Plan, found: SearchResult, without: Plan | None) -> Plan:
    """``plan``, made of ``found``, with what it says of the tokens that are drafted, and with
    intervals that hold how sure their acceptance is; ``without`` is the best plan that drafts none.
    """
    model = found.space.model
    asked = model.question.speculation
    assert asked is not None
    priced = price(found.space, found.candidate, found.segments)
    info = _info(found, asked, priced)
    if without is not None:
        info = replace(info, gain=gain_of(plan, without, asked, _share(info)))
    return replace(plan, speculation=info, performance=_widened(plan.performance, asked))


def _info(found: SearchResult, asked: Speculation, priced: Priced) -> SpeculationInfo:
    space, model = found.space, found.space.model
    question, layout = model.question, priced.layout
    row, module = next((i, m) for i, m in enumerate(model.released) if m.kind == DRAFT)
    drafting = next(cost for cost in priced.costs if model.units[cost.segment.unit].kind == DRAFT)
    held = int(space.tables.released[int(space.pts.layout[found.candidate]), row])
    most = max(most_at_requests(model, priced) // (layout.dp * layout.pp), priced.slot)
    slots = pays_up_to(model, layout, found.segments, most)
    engine, rate = engine_of(question), asked.acceptance
    return SpeculationInfo(
        kind=asked.kind,
        model=asked.name,
        draft_tokens=asked.draft_tokens,
        acceptance=AcceptanceInfo(rate.value, rate.low, rate.high, rate.source),
        accepted_tokens=asked.accepted,
        bytes=module.stored_bytes,
        bytes_per_device=held,
        scheme=module.dtype,
        cache_layout=draft_cache(question, asked.draft),
        cache_bytes_per_token=draft_token_bytes(model, layout),
        draft_seconds=drafting.decode_seconds * asked.accepted,
        step_seconds=(priced.tpot - priced.interruption) * asked.accepted,
        pays_up_to_batch=slots * layout.dp * layout.pp,
        pays_limit=MEMORY if slots == most else SLOWER if slots else NEVER,
        method=""
        if engine is None
        else speculation_rule(engine, question.device, asked.kind).method,
        gain=None,
    )


def _share(info: SpeculationInfo) -> float:
    """The part of a step that drafts."""
    return info.draft_seconds / info.step_seconds


def accepted_band(asked: Speculation) -> tuple[float, float]:
    """How much fewer and more tokens a step may yield, in logarithms."""
    rate, count = asked.acceptance, asked.draft_tokens
    low, high = (accepted_tokens(count, value) for value in (rate.low, rate.high))
    return math.log(asked.accepted / low), math.log(high / asked.accepted)


def gain_of(plan: Plan, without: Plan, asked: Speculation, share: float) -> GainRange:
    """Of tokens a second and device where the objective is a rate, else of a user's pace: its 80 %
    interval is that of the acceptance, with the error of the drafting ``share`` of a step (the
    kernels of both plans err together)."""
    new, old = _speed(plan), _speed(without)
    fewer, more = accepted_band(asked)
    error = Z80 * share * PRIOR.sigma
    ratio = new / old
    return GainRange(
        ratio - 1.0,
        ratio * math.exp(-math.hypot(fewer, error)) - 1.0,
        ratio * math.exp(math.hypot(more, error)) - 1.0,
    )


def _speed(plan: Plan) -> float:
    perf = plan.performance
    if plan.objective in RATES:
        return perf.output_tokens_per_second_per_device.value
    return 1.0 / perf.tpot_seconds.value


def chance_above(gain: GainRange, margin: float) -> float:
    """The chance that a gain is above ``margin``, its interval read as one of a normal distribution
    in logarithms."""
    middle = math.log1p(gain.value)
    away = math.log1p(margin) - middle
    end = gain.low if away < 0 else gain.high
    sigma = abs(math.log1p(end) - middle) / Z80
    if sigma <= 0:
        return float(away < 0)
    return 0.5 * math.erfc(away / sigma / math.sqrt(2.0))


def _widened(perf: PerformanceInfo, asked: Speculation) -> PerformanceInfo:
    """Intervals of what a token takes and costs, with those of its acceptance."""
    fewer, more = accepted_band(asked)

    def time(one: Estimate) -> Estimate:
        return replace(
            one,
            low=one.value * math.exp(-math.hypot(_log(one.value, one.low), more)),
            high=one.value * math.exp(math.hypot(_log(one.high, one.value), fewer)),
        )

    def rate(one: Estimate) -> Estimate:
        return replace(
            one,
            low=one.value * math.exp(-math.hypot(_log(one.value, one.low), fewer)),
            high=one.value * math.exp(math.hypot(_log(one.high, one.value), more)),
        )

    usd = perf.usd_per_million_output_tokens
    return replace(
        perf,
        tpot_seconds=time(perf.tpot_seconds),
        output_tokens_per_second=rate(perf.output_tokens_per_second),
        output_tokens_per_second_per_device=rate(perf.output_tokens_per_second_per_device),
        usd_per_million_output_tokens=None if usd is None else time(usd),
    )


def _log(more: float, less: float) -> float:
    return math.log(more / less)


def not_taken(plan: Plan, best: Plan | None, why: str) -> Plan:
    """``plan`` without drafted tokens, with a note of the ``best`` that would draft some, and
    ``why`` it is not taken."""
    value = "none"
    if best is not None and best.speculation is not None:
        info = best.speculation
        told = (
            ""
            if info.gain is None
            else f": {info.gain.value:+.0%} ({info.gain.low:+.0%} to {info.gain.high:+.0%})"
        )
        value = f"none; {info.kind} with {info.draft_tokens} drafted{told}"
    return replace(plan, assumptions=(*plan.assumptions, Assumption(KEY, value, why)))
