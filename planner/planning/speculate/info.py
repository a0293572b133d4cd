"""What a plan that drafts tokens says of it, up to which batch drafting pays, and intervals in view
of how many are accepted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.messages.message import Note, Text, message
from planner.placement.layout import Layout
from planner.placement.modules import DRAFT
from planner.planning.answer.capacity import most_at_requests
from planner.planning.engines.speculation import speculation_rule
from planner.planning.plan.notes import with_notes
from planner.planning.plan.recommendation import GainRange
from planner.planning.plan.record import Estimate, PerformanceInfo, Plan
from planner.planning.plan.speculation import (
    MEMORY,
    NEVER,
    SLOWER,
    AcceptanceInfo,
    SpeculationInfo,
)
from planner.planning.price.intervals import limits_of
from planner.planning.price.measured_errors import Z80
from planner.planning.price.physical_limits import PhysicalLimits
from planner.planning.price.price import Priced, SegmentCost, price
from planner.planning.price.served_sigmas import cut
from planner.planning.price.step_prices import step_prices
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.question import RATES
from planner.planning.question.speculation import Speculation
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.assignment import Segment, tied_segments
from planner.planning.space.draft_bytes import draft_token_bytes
from planner.planning.space.drafting import draft_cache
from planner.planning.space.kernel_times import step_times
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.tables import layout_tables
from planner.throughput.calibration import PRIOR
from planner.throughput.points import points
from planner.throughput.speculation import accepted_tokens

KEY = "speculation"


POINTS = 48
"""Numbers of sequences that are priced at once."""


def with_speculation(plan: Plan, result: SearchResult, without: Plan | None) -> Plan:
    """``plan``, made of ``result``, with what it says of the tokens that are drafted, and with
    intervals that hold how sure their acceptance is; ``without`` is the best plan that drafts none.
    """
    model = result.space.model
    speculation = model.question.speculation
    assert speculation is not None
    priced = price(result.space, result.candidate, result.segments)
    perf = plan.performance
    step = (perf.tpot_seconds.value - (perf.interruption_seconds or 0.0)) * speculation.accepted
    info = _info(result, speculation, priced, step)
    if without is not None:
        speeds = _speed(plan), _speed(without)
        info = replace(info, gain=gain_of(*speeds, speculation, drafting_share(model, priced)))
    limits = limits_of(model, priced)
    return replace(
        plan,
        speculation=info,
        performance=_with_acceptance_band(perf, speculation, limits, priced.rate),
    )


def _info(
    result: SearchResult, speculation: Speculation, priced: Priced, step_seconds: float
) -> SpeculationInfo:
    space, model = result.space, result.space.model
    question, layout = model.question, priced.layout
    row, module = next((i, m) for i, m in enumerate(model.released) if m.kind == DRAFT)
    drafting = drafting_cost(model, priced)
    draft_bytes = int(space.tables.released[int(space.pts.layout[result.candidate]), row])
    most = max(most_at_requests(model, priced) // (layout.dp * layout.pp), priced.slot)
    slots = pays_up_to(model, layout, result.segments, most)
    engine, rate = engine_of(question), speculation.acceptance
    return SpeculationInfo(
        kind=speculation.kind,
        model=speculation.name,
        draft_tokens=speculation.draft_tokens,
        acceptance=AcceptanceInfo(rate.value, rate.low, rate.high, rate.source),
        accepted_tokens=speculation.accepted,
        bytes=module.stored_bytes,
        bytes_per_device=draft_bytes,
        scheme=module.dtype,
        cache_layout=draft_cache(question, speculation.draft),
        cache_bytes_per_token=draft_token_bytes(model, layout),
        draft_seconds=drafting.decode_seconds * speculation.accepted,
        step_seconds=step_seconds,
        pays_up_to_batch=slots * layout.dp * layout.pp,
        pays_limit=MEMORY if slots == most else SLOWER if slots else NEVER,
        method=""
        if engine is None
        else speculation_rule(engine, question.device, speculation.kind).method,
        gain=None,
    )


def drafting_cost(model: CostModel, priced: Priced) -> SegmentCost:
    """What drafting takes of a token."""
    return next(c for c in priced.costs if model.units[c.segment.unit].kind == DRAFT)


def drafting_share(model: CostModel, priced: Priced) -> float:
    """The part of a step that drafts."""
    step = priced.tpot - priced.interruption
    return drafting_cost(model, priced).decode_seconds / step


def accepted_band(drafting: Speculation) -> tuple[float, float]:
    """How much fewer and more tokens a step may yield, in logarithms."""
    rate, count = drafting.acceptance, drafting.draft_tokens
    low, high = (accepted_tokens(count, value) for value in (rate.low, rate.high))
    return math.log(drafting.accepted / low), math.log(high / drafting.accepted)


def gain_of(new: float, old: float, drafting: Speculation, share: float) -> GainRange:
    """Of a ``new`` speed (:func:`speed`) with ``drafting`` over the ``old`` one without, of a plan
    and of what is offered beside one: its 80 % interval is that of the acceptance, with the error
    of the drafting ``share`` of a step (the kernels of both plans err together)."""
    fewer, more = accepted_band(drafting)
    error = Z80 * share * PRIOR.sigma
    ratio = new / old
    return GainRange(
        ratio - 1.0,
        ratio * math.exp(-math.hypot(fewer, error)) - 1.0,
        ratio * math.exp(math.hypot(more, error)) - 1.0,
    )


def speed(objective: str, each_device: float, tpot: float) -> float:
    """Tokens a second and device where the objective is a rate, else a user's pace."""
    return each_device if objective in RATES else 1.0 / tpot


def _speed(plan: Plan) -> float:
    perf = plan.performance
    each_device = perf.output_tokens_per_second_per_device.value
    return speed(plan.objective, each_device, perf.tpot_seconds.value)


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


def _with_acceptance_band(
    perf: PerformanceInfo, drafting: Speculation, limits: PhysicalLimits, replica_rate: float
) -> PerformanceInfo:
    """Intervals of what a token takes and costs, with those of its acceptance, within the physical
    ``limits`` of a replica that makes ``replica_rate`` tokens/s."""
    fewer, more = accepted_band(drafting)
    most = limits.rate / replica_rate

    def wider(one: Estimate, below: float, above: float, least: float, most: float) -> Estimate:
        low = one.value * math.exp(-math.hypot(_log(one.value, one.low), below))
        high = one.value * math.exp(math.hypot(_log(one.high, one.value), above))
        low, high = cut(one.value, low, high, least=least, most=most)
        return replace(one, low=low, high=high)

    def rate(one: Estimate) -> Estimate:
        return wider(one, fewer, more, 0.0, one.value * most)

    usd = perf.usd_per_million_output_tokens
    return replace(
        perf,
        tpot_seconds=wider(perf.tpot_seconds, more, fewer, limits.tpot, math.inf),
        output_tokens_per_second=rate(perf.output_tokens_per_second),
        output_tokens_per_second_per_device=rate(perf.output_tokens_per_second_per_device),
        usd_per_million_output_tokens=None
        if usd is None
        else wider(usd, more, fewer, usd.value / most, math.inf),
    )


def _log(more: float, less: float) -> float:
    return math.log(more / less)


def not_taken(plan: Plan, best: Plan | None, reason: Text) -> Plan:
    """``plan`` without drafted tokens, with a note of the ``best`` that would draft some, and
    ``reason`` it is not taken."""
    value: Text = "none"
    if best is not None and (drafts := best.speculation) is not None:
        gain, count = drafts.gain, drafts.draft_tokens
        value = (
            message("assumptions.none_but_drafted", kind=drafts.kind, count=count)
            if gain is None
            else message(
                "assumptions.none_but_drafted_would_gain",
                kind=drafts.kind,
                count=count,
                gain=f"{gain.value:+.0%}",
                low=f"{gain.low:+.0%}",
                high=f"{gain.high:+.0%}",
            )
        )
    return with_notes(plan, Note(KEY, value, reason))


Array = NDArray[np.float64]
Int = NDArray[np.int64]


def pays_up_to(model: CostModel, layout: Layout, segments: Sequence[Segment], most: int) -> int:
    """The most sequences of a rank and micro-batch, of 1 to ``most``, up to which a token takes
    less with what drafts than without; 0 where one sequence is no faster."""
    plain = build_model(replace(model.question, speculation=None), model.prior)
    chosen = chosen_by_unit(model, segments)
    own = {unit.id: choice for unit, choice in zip(model.units, chosen, strict=True)}
    others = [own[unit.id] for unit in plain.units]

    def pays(slots: Int) -> NDArray[np.bool_]:
        return np.asarray(
            tpot_at(model, layout, chosen, slots) < tpot_at(plain, layout, others, slots)
        )

    low, high = 0, most + 1
    while high - low > 1:
        slots = _between(low, high)
        stops = np.flatnonzero(~pays(slots))
        if not len(stops):
            low = int(slots[-1])
            continue
        high = int(slots[stops[0]])
        low = int(slots[stops[0] - 1]) if stops[0] else low
    return low


def _between(low: int, high: int) -> Int:
    """Numbers above ``low`` and below ``high``: all where they are few, else spread by ratio."""
    if high - low - 1 <= POINTS:
        return np.arange(low + 1, high, dtype=np.int64)
    spread = np.rint(np.geomspace(low + 1, high - 1, POINTS)).astype(np.int64)
    return np.unique(spread)


def chosen_by_unit(model: CostModel, segments: Sequence[Segment]) -> list[int]:
    """One choice a unit, that of most of its layers."""
    layers: dict[int, dict[int, int]] = {}
    for segment in segments:
        mine = layers.setdefault(segment.unit, {})
        mine[segment.choice] = mine.get(segment.choice, 0) + segment.count
    return [max(layers[i], key=lambda choice: layers[i][choice]) for i in range(len(model.units))]


def tpot_at(model: CostModel, layout: Layout, choice: Sequence[int], slots: Int) -> Array:
    """TPOT [s] of one assignment with ``slots`` sequences a rank and micro-batch [C]."""
    tables = layout_tables(model, [layout])
    pts = points(tables.layouts, [(0, int(slot)) for slot in slots])
    times = step_times(model, tables, pts)
    return step_prices(model, times, pts, tied_segments(model, choice)).tpot
