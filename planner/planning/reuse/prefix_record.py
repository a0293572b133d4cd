"""The part of a plan on its prefixes, and the plan with the times that it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.units import format_seconds
from planner.messages.message import Note, Text, message
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


def cache_worth(question: Question, kv: str, at_batch: ReuseAtBatch) -> CacheWorth:
    """What the cache format ``kv`` comes to."""
    replicas = question.replicas(at_batch.priced.layout.ranks)
    return CacheWorth(
        kv,
        at_batch.priced.layout.ranks * replicas,
        at_batch.priced.batch,
        int(at_batch.room.tokens) * at_batch.priced.layout.dp,
        at_batch.hits.whole,
        at_batch.ttft,
        at_batch.tpot,
        replicas * at_batch.rate,
    )


def with_prefixes(
    plan: Plan,
    reuse: Reuse,
    at_batch: ReuseAtBatch,
    by_cache: Sequence[CacheWorth],
    *,
    difference: float,
    tried: Sequence[str],
) -> Plan:
    """``plan``, whose prompts are read as ``at_batch`` finds them, with its prefixes and what was
    assumed of them. ``difference``: of the hit rate that its times assume from the one that its own
    pace leads to; ``tried``: cache formats that no plan keeps the limits with."""
    loads = at_batch.hits.loads
    waits = loads.seconds if loads is not None and loads.worth else 0.0
    used = DEVICE if not waits or at_batch.tier is None else at_batch.tier.tier.kind
    dp = at_batch.priced.layout.dp
    prefix_cache = PrefixCache(
        ReuseInfo(reuse.name, reuse.source, reuse.ideal),
        int(at_batch.room.tokens) * dp,
        at_batch.hits.lifetime,
        at_batch.hits.rate * dp,
        at_batch.hits.device,
        plan.workload.prefix_hit_rate,
        used,
        waits,
        tuple(by_cache),
        _offloaded(at_batch),
    )
    perf = replace(plan.performance, ttft_seconds=_later(plan.performance.ttft_seconds, waits))
    return with_notes(
        replace(plan, performance=perf, prefix_cache=prefix_cache),
        *_notes(reuse, at_batch, difference, tried),
    )


def _offloaded(at_batch: ReuseAtBatch) -> OffloadedPrefixes | None:
    """The tier beyond the devices, used or not."""
    tier, loads = at_batch.tier, at_batch.hits.loads
    if tier is None or loads is None:
        return None
    link = tier.tier.link
    return OffloadedPrefixes(
        tier.tier.kind,
        tier.tier.bytes_per_device,
        int(tier.tokens) * at_batch.priced.layout.dp,
        tier.includes,
        at_batch.hits.whole - at_batch.hits.device,
        int(loads.tokens),
        loads.seconds,
        max(loads.compute_seconds, 0.0),
        link.id,
        link.bytes_per_s,
        loads.busy,
        loads.worth,
        "" if loads.worth else _why_not(at_batch),
        "; ".join(filter(None, (link.source, tier.source))),
    )


def _why_not(at_batch: ReuseAtBatch) -> Text:
    """Why nothing is loaded from the tier."""
    tier, loads = at_batch.tier, at_batch.hits.loads
    assert tier is not None
    assert loads is not None
    if tier.includes and tier.tokens <= at_batch.room.tokens:
        return message("assumptions.it_is_no_larger_than")
    if loads.tokens < 1:
        return message("assumptions.devices_keep_all_that_comes")
    return message(
        "assumptions.loading_takes_computing_same",
        seconds=format_seconds(loads.seconds),
        compute_seconds=format_seconds(loads.compute_seconds),
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


def _notes(
    reuse: Reuse, at_batch: ReuseAtBatch, difference: float, tried: Sequence[str]
) -> list[Note]:
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
    loads = at_batch.hits.loads
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
