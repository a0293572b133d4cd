"""What a search proposes, at the batch that keeps its limits in the closed loop of its requests.

The search adds seconds of kernels up as if all requests of a batch decoded all the time, on an
engine whose host takes no time: that orders layouts and formats. The loop
(:mod:`planner.planning.price.served`) says what is printed, so that the batch is settled by it: the
largest that keeps every limit on time, with room for its caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.records import record
from planner.planning.price.price import Priced, fits, price
from planner.planning.question.question import RATES
from planner.planning.search.grid_search import SearchResult
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space, build_space

MOST_TRIES = 24
"""Batches that are tried, by halving."""
WORTH = 0.005
"""Share of its rate for which a plan's batch is raised."""


@record
class ServedCandidate:
    """An assignment on candidate ``c`` of ``space`` with its price."""

    space: Space
    c: int
    segments: tuple[Segment, ...]
    priced: Priced

    @property
    def slot(self) -> int:
        """Sequences of a rank and micro-batch."""
        return int(self.space.pts.slot[self.c])

    def at(self, slot: int) -> ServedCandidate:
        """The same with another number of sequences."""
        space = self.space
        pairs = [(int(space.pts.layout[self.c]), slot)]
        there = build_space(space.model, space.tables, space.stages, pairs)
        return ServedCandidate(there, 0, self.segments, price(there, 0, self.segments))

    @property
    def keeps_limits(self) -> bool:
        """Whether it keeps every limit on time."""
        question = self.space.model.question
        times = question.limited_times(self.priced.ttft, self.priced.tpot)
        return all(
            times[name] <= limit * (1 + TOLERANCE) for name, limit in question.time_limits.items()
        )


def at_served_batch(result: SearchResult) -> SearchResult | None:
    """``result`` at the batch that keeps its limits; None where none does."""
    served = served_candidate(result.space, result.candidate, result.segments)
    if served is None:
        return None
    return replace(result, space=served.space, candidate=served.c)


def served_candidate(space: Space, c: int, segments: Sequence[Segment]) -> ServedCandidate | None:
    """``segments`` on the layout of candidate ``c`` at the batch that keeps the limits on time: its
    own where there are none; None where no batch does."""
    question = space.model.question
    own = ServedCandidate(space, c, tuple(segments), price(space, c, segments))
    if not question.time_limits:
        return own
    kept = own.keeps_limits
    if question.batch is not None:
        return own if kept else None
    if not kept:
        return _largest(own)
    return _raised(own) if question.objective in RATES else own


def _largest(own: ServedCandidate) -> ServedCandidate | None:
    """The largest batch below its own that keeps the limits."""
    low, high = own.at(1), own.slot
    if not low.keeps_limits:
        return None
    for _ in range(MOST_TRIES):
        if high - low.slot <= max(1, int(WORTH * low.slot)):
            break
        middle = own.at(min(max(low.slot + 1, (low.slot + 3 * high) // 4), high - 1))
        if middle.keeps_limits:
            low = middle
        else:
            high = middle.slot
    return low


def _raised(own: ServedCandidate) -> ServedCandidate:
    """A larger batch where limits and memory leave room for one that is worth it."""
    low, high = own, 2 * own.slot
    for _ in range(MOST_TRIES):
        if high - low.slot <= max(1, int(WORTH * low.slot)):
            break
        middle = own.at(max(low.slot + 1, (3 * low.slot + high) // 4))
        room = fits(middle.space, middle.c, middle.priced)
        if room and middle.keeps_limits and middle.priced.rate > low.priced.rate:
            low = middle
        else:
            high = middle.slot
    return low if low.priced.rate > own.priced.rate * (1 + WORTH) else own
