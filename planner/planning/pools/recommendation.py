"""The recommendation of a deployment in pools, and what is told of pools that were not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.units import format_rate
from planner.messages.message import message
from planner.messages.words import english
from planner.planning.answer.modes import with_mode
from planner.planning.answer.recommend import rate_of
from planner.planning.answer.recommend_text import (
    article,
    format_word,
    in_ten,
    made_text,
    percent,
    signed,
    why_not,
)
from planner.planning.choose.chances import gain_draws, interval
from planner.planning.choose.rule import MARGIN, SURE
from planner.planning.choose.selection import Selection
from planner.planning.plan.deployment import DeploymentInfo, PoolLayout
from planner.planning.plan.recommendation import (
    GainRange,
    OtherPlan,
    Recommendation,
    Verdict,
)
from planner.planning.plan.record import Plan
from planner.planning.pools.find_pools import GainOverAggregated, PoolsResult
from planner.planning.pools.options import TWO, PoolChoice, PoolOption
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


def pool_schemes(schemes: Sequence[str]) -> str:
    """Schemes of a pool in words."""
    return " and ".join(schemes)


def worker_words(count: int, layout: PoolLayout) -> str:
    """``2 × tp8 ep8``."""
    shape = " ".join(
        f"{name}{value}"
        for name, value in (("tp", layout.tp), ("dp", layout.dp), ("ep", layout.ep))
        if value > 1
    )
    return f"{count} × {shape or 'one device'}"


def _verdict(option: PoolOption) -> Verdict:
    formats = option.simple.formats
    schemes = {s for side in option.sides for s in shown_schemes(side)}
    return "as-released" if formats == 0 else "uniform" if len(schemes) == 1 else "mix"


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
        verdict=_verdict(option),
        formats=len({s for side in option.sides for s in side.schemes})
        if option.two
        else option.simple.formats,
        needs_new_weights=new,
        checkpoint=checkpoint,
        text=_text(option, pools, versus, base),
        gain=pools.gain,
        probability=pools.probability,
        alternatives=tuple(others),
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
) -> str:
    """The verdict in a sentence."""
    parts = []
    for pool, weights, word in (
        (pools.prefill, option.weights[0], "prefill"),
        (pools.decode, option.weights[1], "decode"),
    ):
        made = made_text(False, weights.checkpoint, weights.command)
        workers = worker_words(pool.workers, pool.layout)
        parts.append(f"{workers} for {word} in {pool_schemes(pool.schemes)}{made}")
    rate = format_rate(pools.decode.output_tokens_per_second)
    cache = article(format_word(pools.kv))
    opening = f"Serve in two pools: {parts[0]}, {parts[1]}, with {cache} cache: {rate} tokens/s"
    if option.simple.new_weights:
        opening += " (new weights)"
    if versus is None:
        return f"{opening}. No aggregated plan keeps the limits." if base is None else f"{opening}."
    more = "more" if versus.gain >= 0 else "fewer"
    gain_text = f"{opening}, {percent(versus.gain)} {more} a device than workers that do both"
    held_prompts = pools.aggregated.holding if pools.aggregated is not None else None
    if held_prompts is None:
        return f"{gain_text} ({english(in_ten(versus.better))} that it is faster)."
    more = "more" if held_prompts.gain.value >= 0 else "fewer"
    return (
        f"{gain_text}, {percent(held_prompts.gain.value)} {more} than such that hold prompts for "
        f"each other ({english(in_ten(held_prompts.probability))} that it is faster)."
    )


def _other(choice: PoolChoice, i: int) -> OtherPlan:
    option, taken = choice.options[i], choice.option
    schemes = tuple(dict.fromkeys(s for side in option.sides for s in shown_schemes(side)))
    gain = option.pools.value / taken.pools.value - 1
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
        english(message("reasons.pools", x=option.name)),
        schemes,
        option.simple.formats % TWO,
        option.pools.shared.kv,
        option.simple.new_weights,
        option.pools.rate * option.weighed.decode_osl,
        option.weighed.decode.tpot,
        saturated_loss(option.pools.assigned[1].space.model, option.loss),
        digits(chance),
        english(reason),
        devices_of(option),
        _gain(choice, i),
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
        english(message("reasons.aggregated", x=option.rival.name)),
        shown_schemes(option.rival),
        option.rival.formats,
        option.rival.kv,
        option.simple.new_weights,
        rate_of(option),
        option.priced.tpot,
        saturated_loss(option.space.model, option.priced.loss),
        digits(1 - versus.better),
        english(
            why_not(
                "throughput",
                gain=gain,
                chance=1 - versus.better,
                is_simpler=True,
                exact=False,
                needs=[],
            )
        ),
        option.space.model.question.replicas(ranks) * ranks,
        GainRange(digits(gain), *(digits(1 / (1 + end) - 1) for end in (versus.high, versus.low))),
    )


def with_rejected_pools(plan: Plan, result: PoolsResult, versus: GainOverAggregated) -> Plan:
    """The aggregated plan, with the pools that were not taken among the others."""
    assert result.choice is not None
    option = result.choice.option
    schemes = tuple(dict.fromkeys(s for side in option.sides for s in shown_schemes(side)))
    other = OtherPlan(
        english(message("reasons.two_pools", x=option.name)),
        schemes,
        option.simple.formats % TWO,
        option.pools.shared.kv,
        option.simple.new_weights,
        option.pools.rate * option.weighed.decode_osl,
        option.weighed.decode.tpot,
        saturated_loss(option.pools.assigned[1].space.model, option.loss),
        digits(versus.better),
        english(
            why_not(
                "throughput",
                gain=versus.gain,
                chance=versus.better,
                is_simpler=False,
                exact=False,
                needs=[message("reasons.needs_two_pools")],
            )
        ),
        devices_of(option),
        GainRange(*(digits(x) for x in (versus.gain, versus.low, versus.high))),
    )
    why = message(
        "assumptions.two_pools_give_on_paper",
        gain=signed(versus.gain),
        margin=f"{MARGIN:.0%}",
        beaten=f"{versus.beaten:.0%}",
        sure=f"{SURE:.0%}",
    )
    plan = with_mode(plan, why)
    if plan.recommendation is None:
        return plan
    recommendation = plan.recommendation
    return replace(
        plan,
        recommendation=replace(recommendation, alternatives=(*recommendation.alternatives, other)),
    )
