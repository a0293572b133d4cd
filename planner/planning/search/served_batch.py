"""What a search proposes, at the batch that keeps its limits in the closed loop of its requests.

The search adds seconds of kernels up as if all requests of a batch decoded all the time, on an
engine whose host takes no time: that orders layouts and formats. The loop
(:mod:`planner.planning.price.served`) says what is printed, so that the batch is settled by it: the
largest that keeps every limit on time, with room for its caches.
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.records import record
from planner.planning.price.price import Priced, fits, price
from planner.planning.question.question import RATES, Question
from planner.planning.search.grid_search import SearchResult
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.candidates import build_space

MOST_TRIES = 24
"""Batches that are tried, by halving."""
WORTH = 0.005
"""Share of its rate for which a plan's batch is raised."""


@record
class _Tried:
    slot: int
    result: SearchResult
    priced: Priced


def keeps_limits(question: Question, priced: Priced) -> bool:
    """Whether a priced assignment keeps every limit on time."""
    times = question.limited_times(priced.ttft, priced.tpot)
    return all(
        times[name] <= limit * (1 + TOLERANCE) for name, limit in question.time_limits.items()
    )


def at_served_batch(result: SearchResult) -> SearchResult | None:
    """``result`` at the batch that keeps its limits; None where none does."""
    question = result.space.model.question
    if not question.time_limits:
        return result
    own = _tried(result, int(result.space.pts.slot[result.candidate]))
    kept = keeps_limits(question, own.priced)
    if question.batch is not None or question.objective not in RATES:
        if kept or question.batch is not None:
            return result if kept else None
        return _largest(result, own)
    if not kept:
        return _largest(result, own)
    return _raised(result, own)


def _tried(result: SearchResult, slot: int) -> _Tried:
    """The assignment with ``slot`` sequences a rank and micro-batch."""
    if slot == int(result.space.pts.slot[result.candidate]):
        return _Tried(slot, result, price(result.space, result.candidate, result.segments))
    space = result.space
    layout = int(space.pts.layout[result.candidate])
    there = build_space(space.model, space.tables, space.stages, [(layout, slot)])
    moved = replace(result, space=there, candidate=0)
    return _Tried(slot, moved, price(there, 0, result.segments))


def _largest(result: SearchResult, own: _Tried) -> SearchResult | None:
    """The largest batch below its own that keeps the limits."""
    question = result.space.model.question
    first = _tried(result, 1)
    if not keeps_limits(question, first.priced):
        return None
    low, high = first, own.slot
    for _ in range(MOST_TRIES):
        if high - low.slot <= max(1, int(WORTH * low.slot)):
            break
        middle = _tried(result, _between(low.slot, high))
        if keeps_limits(question, middle.priced):
            low = middle
        else:
            high = middle.slot
    return low.result


def _between(low: int, high: int) -> int:
    """Nearer to the larger: what the search proposes is seldom far off."""
    return min(max(low + 1, (low + 3 * high) // 4), high - 1)


def _raised(result: SearchResult, own: _Tried) -> SearchResult:
    """A larger batch where limits and memory leave room for one that is worth it."""
    question = result.space.model.question
    low, high = own, 2 * own.slot
    for _ in range(MOST_TRIES):
        if high - low.slot <= max(1, int(WORTH * low.slot)):
            break
        middle = _tried(result, max(low.slot + 1, (3 * low.slot + high) // 4))
        room = fits(middle.result.space, middle.result.candidate, middle.priced)
        if room and keeps_limits(question, middle.priced) and middle.priced.rate > low.priced.rate:
            low = middle
        else:
            high = middle.slot
    return low.result if low.priced.rate > own.priced.rate * (1 + WORTH) else result
