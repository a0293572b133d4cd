"""The batch that is best where what it leaves of the memory keeps prefixes.

More sequences decode more tokens a step and leave less room, so that more of their prompts is
computed. An assignment on its layout is priced at some batches and hit rates; the hit rate of a
batch is the one that its own pace and room lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.price.price import Priced, fits, price
from planner.planning.question.question import RATES, Question
from planner.planning.reuse.hits import (
    OffloadRoom,
    PrefixHits,
    PrefixRoom,
    hits_of,
    request_rate,
    room_of,
)
from planner.planning.search.grid_search import SearchResult
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.candidates import build_space
from planner.planning.space.memory import tables_and_stages
from planner.reuse import Reuse

Array = NDArray[np.float64]
STEPS = 16
"""Batches that are tried, in equal steps, and again between the neighbours of the best."""
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Hit rates that are priced, as shares of the ideal one, beside the one that the question has."""
HALVINGS = 24
Tiers = Callable[[Question, PrefixRoom], OffloadRoom | None]
"""The tier beyond the devices of a question's engine."""


@record
class ReuseAtBatch:
    """An assignment at one batch with the hits that it comes to. ``ttft`` holds what is loaded;
    ``rate`` is output tokens/s of a replica."""

    priced: Priced
    room: PrefixRoom
    tier: OffloadRoom | None
    hits: PrefixHits
    tpot: float
    ttft: float
    rate: float

    @property
    def cost(self) -> float:
        """Device-seconds a token."""
        return self.priced.layout.ranks / self.rate


def best_batch(result: SearchResult, reuse: Reuse, tiers: Tiers) -> ReuseAtBatch | None:
    """The batch of ``result``'s assignment and layout that takes the least device-seconds a token
    within the limits on time, where rates are the objective and none is given; else its own. None
    where none keeps the limits."""
    question = result.space.model.question
    own = int(result.space.pts.slot[result.candidate])
    if question.is_batch_given or question.objective not in RATES:
        return _best(question, reuse_by_batch(result, reuse, tiers, [own]))
    slots = _steps(0, own)
    best = _best(question, reuse_by_batch(result, reuse, tiers, slots))
    if best is None:
        return None
    at = slots.index(best.priced.slot)
    between = _steps(slots[at - 1] if at else 0, slots[min(at + 1, len(slots) - 1)])
    return _best(question, [best, *reuse_by_batch(result, reuse, tiers, between)])


def _steps(first: int, last: int) -> list[int]:
    """Slots above ``first`` up to ``last`` in equal steps."""
    return sorted({first + max(1, round((last - first) * n / STEPS)) for n in range(1, STEPS + 1)})


def _best(question: Question, options: Sequence[ReuseAtBatch]) -> ReuseAtBatch | None:
    """The least device-seconds a token within the limits."""
    return min(
        (option for option in options if _within(question, option)),
        key=lambda at_batch: at_batch.cost,
        default=None,
    )


def reuse_by_batch(
    result: SearchResult, reuse: Reuse, tiers: Tiers, slots: Sequence[int]
) -> list[ReuseAtBatch]:
    """``result``'s assignment on its layout at every one of ``slots`` that fits."""
    question = result.space.model.question
    own = question.workload.prefix_hit_rate
    levels = sorted(
        {*(level * reuse.ideal for level in LEVELS), *([own] if own < reuse.ideal else [])}
    )
    table = [_prices(result, level, slots) for level in levels]
    out = []
    for column in zip(*table, strict=True):
        if column[0] is None:
            continue
        priced = [at_batch for at_batch in column if at_batch is not None]
        out.append(_at_own_hit_rate(question, reuse, tiers, np.array(levels), priced))
    return out


def _prices(result: SearchResult, level: float, slots: Sequence[int]) -> list[Priced | None]:
    """The assignment where ``level`` of every prompt is found; None where it does not fit."""
    before = result.space.model
    question = before.question
    work = replace(question.workload, prefix_hit_rate=level)
    model = before.with_question(replace(question, workload=work))
    tables, stages = tables_and_stages(model, [result.space.layout(result.candidate)])
    space = build_space(model, tables, stages, [(0, slot) for slot in slots])
    priced = [price(space, c, result.segments) for c in range(len(slots))]
    return [
        candidate_price if fits(space, c, candidate_price) else None
        for c, candidate_price in enumerate(priced)
    ]


def _at_own_hit_rate(
    question: Question, reuse: Reuse, tiers: Tiers, levels: Array, priced: Sequence[Priced]
) -> ReuseAtBatch:
    """The hit rate that leads to a pace at which it is found, by bisection: a higher one is a
    quicker pace, which leaves prefixes less time."""
    room = room_of(question, priced[0])
    tier = tiers(question, room)
    tpots = np.array([level_price.tpot for level_price in priced])
    ttfts = np.array([level_price.ttft for level_price in priced])
    rates = np.array([level_price.rate for level_price in priced])

    def hits_at(level: float) -> PrefixHits:
        rate = request_rate(priced[0], question.workload, float(np.interp(level, levels, tpots)))
        return hits_of(
            reuse,
            question.workload,
            room,
            tier,
            rate,
            lambda share: float(np.interp(share, levels, ttfts)),
        )

    low, high = 0.0, reuse.ideal
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if hits_at(middle).whole >= middle else (low, middle)
    hits = hits_at(low)
    load = hits.loads.seconds if hits.loads is not None and hits.loads.worth else 0.0
    return ReuseAtBatch(
        priced[0],
        room,
        tier,
        hits,
        float(np.interp(hits.whole, levels, tpots)),
        float(np.interp(hits.whole, levels, ttfts)) + load,
        float(np.interp(hits.whole, levels, rates)),
    )


def _within(question: Question, at_batch: ReuseAtBatch) -> bool:
    """Whether the limits on time are kept."""
    times = question.limited_times(at_batch.ttft, at_batch.tpot)
    return all(
        times[name] <= limit * (1 + TOLERANCE) for name, limit in question.time_limits.items()
    )
