"""The part of a plan on its prefixes, and the plan with the times that it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.units import format_seconds
from planner.messages.message import Note, message
from planner.planning.plan.notes import with_notes
from planner.planning.plan.prefix_cache import (
    CacheWorth,
    OffloadedPrefixes,
    PrefixCache,
    ReuseInfo,
)
from planner.planning.plan.record import Estimate, Plan
from planner.planning.question.question import Question
from planner.planning.reuse.batches import ReuseAtBatch
from planner.planning.reuse.hits import MOST_BUSY
from planner.reuse import Reuse

KEY = "prefix reuse"
DEVICE = "device"


def cache_worth(question: Question, kv: str, one: ReuseAtBatch) -> CacheWorth:
    """What the cache format ``kv`` comes to."""
    replicas = question.replicas(one.priced.layout.ranks)
    return CacheWorth(
        kv,
        one.priced.layout.ranks * replicas,
        one.priced.batch,
        int(one.room.tokens) * one.priced.layout.dp,
        one.hits.whole,
        one.ttft,
        one.tpot,
        replicas * one.priced.batch / one.tpot,
    )


def with_prefixes(
    plan: Plan,
    reuse: Reuse,
    one: ReuseAtBatch,
    by_cache: Sequence[CacheWorth],
    *,
    difference: float,
    tried: Sequence[str],
) -> Plan:
    """``plan``, whose prompts are read as ``one`` finds them, with its prefixes and what was
    assumed of them. ``difference``: of the hit rate that its times assume from the one that its own
    pace leads to; ``tried``: cache formats that no plan keeps the limits with."""
    loads = one.hits.loads
    waits = loads.seconds if loads is not None and loads.worth else 0.0
    used = DEVICE if not waits or one.tier is None else one.tier.tier.kind
    dp = one.priced.layout.dp
    found = PrefixCache(
        ReuseInfo(reuse.name, reuse.source, reuse.ideal),
        int(one.room.tokens) * dp,
        one.hits.lifetime,
        one.hits.rate * dp,
        one.hits.device,
        plan.workload.prefix_hit_rate,
        used,
        waits,
        tuple(by_cache),
        _offloaded(one),
    )
    perf = replace(plan.performance, ttft_seconds=_later(plan.performance.ttft_seconds, waits))
    return with_notes(
        replace(plan, performance=perf, prefix_cache=found), *_notes(reuse, one, difference, tried)
    )


def _offloaded(one: ReuseAtBatch) -> OffloadedPrefixes | None:
    """The tier beyond the devices, used or not."""
    tier, loads = one.tier, one.hits.loads
    if tier is None or loads is None:
        return None
    link = tier.tier.link
    return OffloadedPrefixes(
        tier.tier.kind,
        tier.tier.bytes_per_device,
        int(tier.tokens) * one.priced.layout.dp,
        tier.includes,
        one.hits.whole - one.hits.device,
        int(loads.tokens),
        loads.seconds,
        max(loads.compute_seconds, 0.0),
        link.id,
        link.bytes_per_s,
        loads.busy,
        loads.worth,
        "" if loads.worth else _why_not(one),
        "; ".join(filter(None, (link.source, tier.source))),
    )


def _why_not(one: ReuseAtBatch) -> str:
    """Why nothing is loaded from the tier."""
    tier, loads = one.tier, one.hits.loads
    assert tier is not None
    assert loads is not None
    if tier.includes and tier.tokens <= one.room.tokens:
        return "it is no larger than the room on the devices, whose prefixes it keeps as well"
    if loads.tokens < 1:
        return "the devices keep all that comes back"
    return (
        f"loading takes {format_seconds(loads.seconds)}, computing the same "
        f"{format_seconds(loads.compute_seconds)}"
    )


def _later(first: Estimate, seconds: float) -> Estimate:
    """The time to the first token, after ``seconds`` more."""
    return (
        replace(
            first, value=first.value + seconds, low=first.low + seconds, high=first.high + seconds
        )
        if seconds
        else first
    )


def _notes(reuse: Reuse, one: ReuseAtBatch, difference: float, tried: Sequence[str]) -> list[Note]:
    """What was taken for granted of prefixes."""
    out = [
        Note(
            KEY,
            message(
                "assumptions.of_prompt_comes_back_at", n=reuse.name, ideal=f"{reuse.ideal:.1%}"
            ),
            reuse.source,
        ),
        Note(
            "prefix room",
            message("assumptions.least_recently_used_whole_requests"),
            message("assumptions.hits_follow_from_time_that"),
        ),
        Note(
            "prefix search",
            message("assumptions.batch_cache_format_and_hit"),
            message("assumptions.each_is_solved_again_with", difference=f"{abs(difference):.2%}"),
        ),
    ]
    loads = one.hits.loads
    if loads is not None and loads.busy >= MOST_BUSY:
        out.append(
            Note(
                "prefix link",
                message("assumptions.loads_for_of_time", busy=f"{loads.busy:.0%}"),
                message("assumptions.what_it_cannot_carry_is"),
            )
        )
    if tried:
        out.append(
            Note(
                "prefix formats",
                message("assumptions.no_plan_within_limits_with", formats=", ".join(tried)),
                message("assumptions.left_out_of_caches_that"),
            )
        )
    return out
