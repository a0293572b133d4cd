"""Beside the answer of a capacity question: tails, price per token, other formats, one replica."""

from __future__ import annotations

from dataclasses import replace

from planner.messages.message import message
from planner.planning.answer.assemble import assemble
from planner.planning.choose.decision import PlanDecision
from planner.planning.choose.selection import allowed_loss
from planner.planning.plan.record import Estimate, Plan
from planner.planning.search.next_loss_step import four_bit
from planner.sizing.capacity_record import PercentilePoint
from planner.sizing.cheapest import (
    FORMAT_LAYOUTS,
    CheapestFormats,
    SizedFormats,
    SizedRate,
    chance_cheaper,
    cost_draws,
)
from planner.sizing.deployable import Deployable, deployables
from planner.sizing.formats import formats_of
from planner.sizing.options import OptionNote, SizedDeployable, dearer_reason, size_deployables
from planner.sizing.service_level import ServiceLevel

TAILS = (50.0, 90.0, 99.0)
SECONDS_AN_HOUR = 3600.0


def tails_of(best: SizedDeployable, level: ServiceLevel) -> tuple[PercentilePoint, ...]:
    """Times of the answer at p50, p90, p99 and the percentile of its level."""
    points: list[PercentilePoint] = []
    own = {limit.percentile for limit in level.limits} or {level.percentile}
    for percentile in sorted({*TAILS, *own}):
        times = best.group.at(best.replicas, percentile / 100.0)
        if times is not None:
            seconds = [times.ttft, times.tpot, times.e2e]
            if points:  # the draw of a replay must not make a tail shorter than what is before it
                last = (points[-1].ttft_seconds, points[-1].tpot_seconds, points[-1].e2e_seconds)
                seconds = [max(pair) for pair in zip(seconds, last, strict=True)]
            points.append(PercentilePoint(percentile, *seconds))
    return tuple(points)


def usd_per_million(
    price: float | None,
    devices: int,
    ends: tuple[int | None, int | None],
    tokens_per_second: float,
    basis: str,
) -> Estimate | None:
    """USD a million output tokens at the rate asked, with the devices at either ``ends`` of the
    interval of step times (None: those of the answer); None without a price."""
    if price is None:
        return None

    def usd(count: int) -> float:
        return price * count / SECONDS_AN_HOUR / tokens_per_second * 1e6

    low, high = (devices if end is None else end for end in ends)
    return Estimate(usd(devices), usd(min(low, devices)), usd(max(high, devices)), basis)


def format_notes(
    decision: PlanDecision, choices: CheapestFormats, stream: SizedRate
) -> list[tuple[str, SizedDeployable, OptionNote]]:
    """The other formats that were sized with their chance to be cheaper and the reason why they
    are not taken, and what 4-bit weights would do; the fewest devices first."""
    choice, answer = decision.choice, choices.answer
    ones = [one for one in choices.sized if one is not answer]
    draws = cost_draws(
        [answer.best, *(one.best for one in ones)],
        [answer.devices, *(one.devices for one in ones)],
        choices.growth,
    )
    out = []
    for one, drawn in zip(ones, draws[1:], strict=True):
        made = choice.options[one.place].simple.new_weights
        chance = chance_cheaper(drawn, draws[0])
        reason = _reason(decision, choices, one, chance)
        out.append((one.rival.name, one.best, OptionNote(made, chance, reason)))
    out.sort(key=lambda row: row[1].devices)
    lossy = four_bit(decision.spaces, allowed=allowed_loss(choice.exact)).uniform
    if lossy is not None and all(formats_of(lossy) != formats_of(o.rival) for o in choices.sized):
        sized = size_deployables(
            deployables(lossy, most=FORMAT_LAYOUTS), stream.rate, stream.router, stream.level
        )
        if sized:
            note = OptionNote(True, None, message("capacity.over_the_loss_limit"))
            out.append((lossy.name, sized[0], note))
    return out


def _reason(
    decision: PlanDecision, choices: CheapestFormats, one: SizedFormats, chance: float
) -> str:
    """Why ``one`` is not taken."""
    choice, answer = decision.choice, choices.answer
    if one.devices >= answer.devices:
        return dearer_reason(one.devices, answer.devices)
    if one.place in choice.remade:
        unwanted = answer.best.deployable.question.new_weights == "no"
        name = "reasons.no_new_weights_wanted" if unwanted else "reasons.release_in_more_bits"
        return message(name)
    gain, sure = choices.lacking[choices.sized.index(one)]
    made = choice.options[one.place].simple.new_weights
    return message(
        "capacity.new_weights_not_sure" if made else "capacity.cheaper_not_sure",
        gain=f"{gain:.0%}",
        sure=f"{sure:.0%}",
    )


def replica_plan(deployable: Deployable) -> Plan:
    """The plan of one replica, which admits as many requests as it is sized with, at most those
    that fit at their full length, which all that reads the plan asks for. Memory is that of the
    batch with the best rate within the limits."""
    result = deployable.rival.result
    space = deployable.space
    made = assemble(replace(result, space=space, candidate=deployable.candidate, grid=space))
    layout, held = deployable.layout, made.capacity.max_concurrency_at_requests
    slots = deployable.slots * layout.dp
    return replace(
        made,
        device=replace(made.device, count=layout.ranks),
        layout=replace(made.layout, replicas=1),
        workload=replace(made.workload, batch=min(slots, held or slots)),
    )
