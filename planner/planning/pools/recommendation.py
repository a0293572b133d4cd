"""The recommendation of a deployment in pools, and what is told of pools that were not taken."""

from __future__ import annotations

from dataclasses import replace

from planner.base.units import format_rate
from planner.messages.message import Message, Text, message
from planner.planning.answer.modes import with_mode
from planner.planning.answer.recommend import (
    layout_text,
    published_plan,
    rate_of,
    recipe_of,
)
from planner.planning.answer.recommend_text import (
    SMALL,
    cache_text,
    chance_text,
    format_word,
    made_text,
    not_surely,
    percent,
    signed,
    why_not,
    with_origin,
)
from planner.planning.choose.chances import gain_draws, interval
from planner.planning.choose.selection import Selection
from planner.planning.plan.deployment import DeploymentInfo, PoolLayout
from planner.planning.plan.evidence import Evidence
from planner.planning.plan.recommendation import (
    GainRange,
    OtherPlan,
    Recommendation,
)
from planner.planning.plan.record import Plan
from planner.planning.pools.find_pools import (
    GainOverAggregated,
    PoolsResult,
)
from planner.planning.pools.options import TWO, PoolChoice, PoolOption, pools_evidence
from planner.planning.search.rivals import shown_schemes
from planner.planning.space.losses import saturated_loss


def digits(value: float) -> float:
    """Four significant digits: what a thousand draws tell."""
    return float(f"{value:.4g}") + 0.0


def devices_of(option: PoolOption) -> int:
    """Devices of both pools."""
    pools = option.pools
    return (
        pools.prefill_workers * pools.reading.devices
        + pools.decode_workers * pools.decoding.devices
    )


def _workers(count: int, layout: PoolLayout) -> Text:
    """``2 × tp8 ep8``."""
    shape = " ".join(
        f"{name}{value}"
        for name, value in (
            ("tp", layout.tp),
            ("dp", layout.dp),
            ("pp", layout.pp),
            ("ep", layout.ep),
        )
        if value > 1
    )
    if not shape:
        return message("recommendation.workers_of_one_device", n=count)
    return f"{count} × {shape}"


def alike_workers(option: PoolOption) -> Message:
    """What all workers of a pool have in common."""
    stages = [worker.pp for worker in (option.pools.reading, option.pools.decoding)]
    if max(stages) == 1:
        return message("assumptions.workers_of_pool_are_alike")
    return message(
        "assumptions.workers_of_pool_are_alike_in_stages", prefill=stages[0], decode=stages[1]
    )


def pooled_recommendation(
    result: PoolsResult,
    base: Plan | None,
    choice: Selection | None,
    versus: GainOverAggregated | None,
    pools: DeploymentInfo,
) -> Recommendation:
    """What to serve, with the aggregated plan and simpler pools beside it."""
    assert result.choice is not None
    option = result.choice.option
    new = option.simple.new_weights
    others = [
        _other(result.choice, i)
        for i in range(len(result.choice.options))
        if i != result.choice.taken
    ]
    if base is not None and choice is not None and versus is not None:
        others.insert(0, _other_aggregated(choice, versus))
    checkpoint = " + ".join(dict.fromkeys(w.checkpoint for w in option.weights if w.checkpoint))
    return Recommendation(
        verdict="pools",
        formats=len({s for side in option.sides for s in side.schemes})
        if option.two
        else option.simple.formats,
        needs_new_weights=new,
        checkpoint=checkpoint,
        text=_text(option, pools, versus, base),
        gain=pools.gain,
        probability=pools.probability,
        alternatives=tuple(others),
        recipe=None if choice is None else published_plan(choice, recipe_of(choice)),
        released=None
        if base is None or base.recommendation is None
        else base.recommendation.released,
        lossier=None
        if base is None or base.recommendation is None
        else base.recommendation.lossier,
        measure_next=(),
    )


def _text(
    option: PoolOption,
    pools: DeploymentInfo,
    versus: GainOverAggregated | None,
    base: Plan | None,
) -> Message:
    """The verdict in a sentence."""
    prefill, decode = (
        with_origin(
            message(
                name,
                workers=_workers(pool.workers, pool.layout),
                schemes=message("structure.linked", parts=pool.schemes),
            ),
            made_text(False, weights.checkpoint, weights.command),
        )
        for name, pool, weights in (
            ("recommendation.prefill_workers", pools.prefill, option.weights[0]),
            ("recommendation.decode_workers", pools.decode, option.weights[1]),
        )
    )
    rate = pools.decode.output_tokens_per_second
    first = message(
        "recommendation.serve_in_pools",
        prefill=prefill,
        decode=decode,
        cache=cache_text([format_word(pools.kv)]),
        value=message("recommendation.tokens_s", rate=format_rate(rate)),
    )
    first = with_origin(first, made_text(option.simple.new_weights, "", ""))
    if versus is None and base is None:
        return message("recommendation.pools_only", first=first)
    if versus is None:
        return message("recommendation.pools_end", first=first)
    gain = message(
        "recommendation.more_a_device" if versus.gain >= 0 else "recommendation.fewer_a_device",
        p=percent(versus.gain),
    )
    holding = pools.aggregated.holding if pools.aggregated is not None else None
    if holding is None:
        chance = chance_text("throughput", versus.better)
        return message("recommendation.over_workers", first=first, gain=gain, chance=chance)
    return message(
        "recommendation.over_workers_that_hold",
        first=first,
        gain=gain,
        held=message(
            "recommendation.more" if holding.gain.value >= 0 else "recommendation.fewer",
            p=percent(holding.gain.value),
        ),
        chance=chance_text("throughput", holding.probability),
    )


def _other(choice: PoolChoice, i: int) -> OtherPlan:
    option, taken = choice.options[i], choice.option
    schemes = tuple(dict.fromkeys(s for side in option.sides for s in shown_schemes(side)))
    gain = digits(option.pools.value / taken.pools.value - 1)  # as the file has it
    needs = (
        [message("reasons.needs_new_weights")]
        if option.simple.new_weights and not taken.simple.new_weights
        else []
    )
    if option.two and not taken.two:
        needs.append(message("reasons.has_two_precisions"))
    chance = float(choice.better[i, choice.taken])
    reason = (
        message("reasons.same_plan")
        if option.same_as(taken)
        else why_not(
            "throughput",
            gain=gain,
            chance=chance,
            is_simpler=option.simple.order < taken.simple.order,
            exact=False,
            needs=needs,
        )
    )
    return OtherPlan(
        message("reasons.pools", x=option.name),
        schemes,
        option.simple.formats % TWO,
        option.pools.shared.kv,
        option.simple.new_weights,
        option.pools.rate * option.weighed.decode_osl,
        option.weighed.decode.tpot,
        saturated_loss(option.pools.assigned[1].space.model, option.loss),
        digits(chance),
        reason,
        devices_of(option),
        _gain(choice, i),
        *_setup(option),
    )


def _setup(option: PoolOption) -> tuple[str, str | None, str, Evidence]:
    """Engine, version, layout of the decode workers, and what is known of pools of the kind."""
    side = option.pools.assigned[1]
    question = side.space.model.question
    return (
        question.engine,
        question.engine_version or None,
        layout_text(side.space.layout(side.candidate)),
        pools_evidence(option),
    )


def _gain(choice: PoolChoice, i: int) -> GainRange:
    """The gain of an option over the taken one in tokens/s a paid device."""
    value = choice.options[i].pools.value / choice.option.pools.value - 1
    low, high = interval(gain_draws("throughput", choice.drawn[i], choice.drawn[choice.taken]))
    return GainRange(digits(value), digits(min(low, value)), digits(max(high, value)))


def _other_aggregated(choice: Selection, versus: GainOverAggregated) -> OtherPlan:
    option = choice.option
    gain = 1 / (1 + versus.gain) - 1
    ranks = option.priced.layout.ranks
    return OtherPlan(
        message("reasons.aggregated", x=option.rival.name),
        shown_schemes(option.rival),
        option.rival.formats,
        option.rival.kv,
        option.simple.new_weights,
        rate_of(option),
        option.priced.tpot,
        saturated_loss(option.space.model, option.priced.loss),
        digits(1 - versus.better),
        why_not(
            "throughput",
            gain=gain,
            chance=1 - versus.better,
            is_simpler=True,
            exact=False,
            needs=[],
        ),
        option.space.model.question.replicas(ranks) * ranks,
        GainRange(digits(gain), *(digits(1 / (1 + end) - 1) for end in (versus.high, versus.low))),
        option.space.model.question.engine,
        option.space.model.question.engine_version or None,
        layout_text(option.priced.layout),
        option.evidence,
    )


def with_rejected_pools(plan: Plan, result: PoolsResult, versus: GainOverAggregated) -> Plan:
    """The aggregated plan, with the pools that were not taken among the others."""
    assert result.choice is not None
    option, needs = result.choice.option, [message("reasons.needs_two_pools")]
    reason = (
        not_surely("throughput", versus.gain, versus.least, versus.beaten, needs, versus.sure)
        if versus.gain > SMALL and versus.beaten < versus.sure
        else why_not(
            "throughput",
            gain=versus.gain,
            chance=versus.better,
            is_simpler=False,
            exact=False,
            needs=needs,
        )
    )
    schemes = tuple(dict.fromkeys(s for side in option.sides for s in shown_schemes(side)))
    other = OtherPlan(
        message("reasons.two_pools", x=option.name),
        schemes,
        option.simple.formats % TWO,
        option.pools.shared.kv,
        option.simple.new_weights,
        option.pools.rate * option.weighed.decode_osl,
        option.weighed.decode.tpot,
        saturated_loss(option.pools.assigned[1].space.model, option.loss),
        digits(versus.better),
        reason,
        devices_of(option),
        GainRange(*(digits(x) for x in (versus.gain, versus.low, versus.high))),
        *_setup(option),
    )
    why = message(
        "assumptions.two_pools_give_on_paper",
        gain=signed(versus.gain),
        margin=f"{versus.least:.0%}",
        beaten=f"{versus.beaten:.0%}",
        sure=f"{versus.sure:.0%}",
    )
    plan = with_mode(plan, why)
    if plan.recommendation is None:
        return plan
    recommendation = plan.recommendation
    return replace(
        plan,
        recommendation=replace(recommendation, alternatives=(*recommendation.alternatives, other)),
    )
