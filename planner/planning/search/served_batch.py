"""What a search proposes, at the batch that keeps its limits in the closed loop of its requests.

The search adds seconds of kernels up as if all requests of a batch decoded all the time, on an
engine whose host takes no time: that orders layouts and formats. The loop
(:mod:`planner.planning.price.served`) says what is printed, so that the batch is settled by it: the
largest that keeps every limit on time, with room for its caches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from planner.base.records import record
from planner.planning.price.price import Priced, fits, price
from planner.planning.price.served import ServedLoop, served_loop
from planner.planning.price.step import Assignment
from planner.planning.price.step_prices import step_prices
from planner.planning.question.question import RATES, TIMED, LoopExcess, Question
from planner.planning.search.formulate import score_scale
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.paces import limited_step
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import MOST_SLOTS, Space, build_space
from planner.planning.space.memory import activations, budget, overhead_rates

MOST_PROPOSALS = 6
"""Answers of a search that may break a limit in their loop before there is said to be none."""
MOST_TRIES = 24
"""Batches that are tried on the way to the largest."""
WORTH = 0.005
"""Share of its rate for which a plan's batch is raised, and to which the largest is looked for."""


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

    @property
    def over(self) -> float:
        """By how much of itself the limit on time that is broken most is exceeded; negative where
        all are kept."""
        return self._over(self.priced.ttft, self.priced.tpot)

    def over_at(self, slot: int) -> float:
        """:attr:`over` with another number of sequences."""
        state = self.loop_at(slot).state
        return self._over(state.ttft, state.tpot)

    def loop_at(self, slot: int) -> ServedLoop:
        """Its closed loop with another number of sequences."""
        layout = int(self.space.pts.layout[self.c])
        plan = Assignment(self.space.model, self.space.tables, layout, self.segments)
        lies = self.space.layout(self.c)
        return served_loop(plan, self.space.model.question.requests(lies, slot))

    def _over(self, ttft: float, tpot: float) -> float:
        question = self.space.model.question
        times = question.limited_times(ttft, tpot)
        shares = (
            times[name] / (limit * (1 + TOLERANCE)) - 1.0
            for name, limit in question.time_limits.items()
        )
        return max(shares, default=-1.0)

    def at(self, slot: int) -> ServedCandidate:
        """The same with another number of sequences, priced."""
        space = self.space
        pairs = [(int(space.pts.layout[self.c]), slot)]
        there = build_space(space.model, space.tables, space.stages, pairs)
        return ServedCandidate(there, 0, self.segments, price(there, 0, self.segments))

    def most_slots(self) -> int:
        """The most sequences whose caches and activations the fullest rank has room for."""
        model, pp = self.space.model, self.priced.layout.pp
        layout = self.space.pts.layout[[self.c]]
        rates = overhead_rates(model, self.space.tables, layout)
        prompt, room = np.array([model.question.workload.isl]), budget(model.question)

        def holds(slot: int) -> bool:
            beside = int(activations(model, rates, np.array([slot]), prompt)[0])
            return all(
                stage.weights + stage.runtime + beside + cached.resident(slot * pp) <= room
                for stage, cached in zip(self.priced.stages, self.priced.caches, strict=True)
            )

        low, high = self.slot, 2 * self.slot
        while high < MOST_SLOTS and holds(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if holds(middle) else (low, middle)
        return low


def at_served_batch(result: SearchResult) -> SearchResult | None:
    """``result`` at the batch that keeps its limits; None where none does. Its value is that of the
    batch; what was proved of the search's sums, the share that is left open, stays."""
    served = served_candidate(result.space, result.candidate, result.segments)
    return None if served is None else result_at(result, served)


def result_at(result: SearchResult, served: ServedCandidate) -> SearchResult:
    """``result`` at the batch of ``served``, which is its assignment and layout."""
    if served.slot == int(result.space.pts.slot[result.candidate]):
        return result
    if result.space.model.question.objective not in TIMED:
        return replace(result, space=served.space, candidate=served.c)
    value = served.priced.added * float(score_scale(served.space)[served.c])
    by = value / result.value
    solution = replace(result.solution, value=value, bound=result.solution.bound * by)
    return replace(
        result,
        space=served.space,
        candidate=served.c,
        solution=solution,
        bound=result.bound * by,
    )


class Proposal(Protocol):
    """What a search found: an assignment on a candidate of a space."""

    @property
    def space(self) -> Space: ...
    @property
    def candidate(self) -> int: ...
    @property
    def segments(self) -> tuple[Segment, ...]: ...


def loop_excess(proposal: Proposal) -> LoopExcess:
    """By how much the loop of ``proposal`` takes longer than its search has it, at the fewest
    sequences where the batch is free: what the search needs to know to propose another."""
    space, c = proposal.space, proposal.candidate
    if not space.model.question.is_batch_given:
        pair = (int(space.pts.layout[c]), 1)
        space, c = build_space(space.model, space.tables, space.stages, [pair]), 0
    plan = price(space, c, proposal.segments)
    here = space.pts.take(np.array([c]))
    sums = step_prices(space.model, space.times, here, proposal.segments, space.rows[[c]])
    step = limited_step(space, c, proposal.segments)
    return LoopExcess(
        plan.layout,
        max(plan.tpot / (step * float(space.tpot_pace[c])), 1.0),
        max(plan.ttft / (sums.ttft.item() * float(space.ttft_pace[c])), 1.0),
    )


P = TypeVar("P", bound=Proposal)


def first_kept(
    questions: Sequence[Question], search: Callable[[tuple[Question, ...]], P | None]
) -> tuple[P, ServedCandidate] | None:
    """What ``search`` finds for ``questions``, at the batch whose loop keeps the limits. Where none
    does, what was proposed is known by its loop from then on, and the search goes on; None where
    nothing is found, or MOST_PROPOSALS broke a limit."""
    asked = tuple(questions)
    for _ in range(MOST_PROPOSALS):
        found = search(asked)
        if found is None:
            return None
        served = served_candidate(found.space, found.candidate, found.segments)
        if served is not None:
            return found, served
        asked = learned(asked, found)
    return None


def learned(questions: Sequence[Question], proposal: Proposal) -> tuple[Question, ...]:
    """The questions of the engine of ``proposal`` with what its loop took longer."""
    engine, excess = proposal.space.model.question.engine, loop_excess(proposal)
    return tuple(
        replace(q, loop_excess=(*q.loop_excess, excess)) if q.engine == engine else q
        for q in questions
    )


def served_candidate(space: Space, c: int, segments: Sequence[Segment]) -> ServedCandidate | None:
    """``segments`` on the layout of candidate ``c`` at the batch that keeps the limits on time: its
    own where there are none; None where no batch does."""
    question = space.model.question
    own = ServedCandidate(space, c, tuple(segments), price(space, c, segments))
    if not space.times.in_loop:
        return own
    over = own.over
    if question.is_batch_given:
        return own if over <= 0 else None
    if over > 0:
        first = own.over_at(1)
        if first > 0:
            return None
        own = own.at(_largest(own, (1, first), (own.slot, over)))
        return _lowered(own) if question.objective in RATES else own
    if question.objective not in RATES:
        return own
    return _lowered(_raised(own, over) if question.time_limits else own)


def _lowered(own: ServedCandidate) -> ServedCandidate:
    """Half as many sequences as long as they are answered at a higher rate: prompts that wait for
    nothing but each other."""
    while own.slot > 1 and own.loop_at(own.slot // 2).rate > own.priced.rate * (1 + WORTH):
        own = own.at(own.slot // 2)
    return own


def _raised(own: ServedCandidate, over: float) -> ServedCandidate:
    """A larger batch where limits and memory leave room for one that is worth it."""
    most = min(own.most_slots(), 2 * own.slot)
    if most <= own.slot:
        return own
    past = own.over_at(most)
    slot = most if past <= 0 else _largest(own, (own.slot, over), (most, past))
    if own.loop_at(slot).rate <= own.priced.rate * (1 + WORTH):
        return own
    raised = own.at(slot)
    return raised if fits(raised.space, raised.c, raised.priced) else own


def _largest(own: ServedCandidate, low: tuple[int, float], high: tuple[int, float]) -> int:
    """The most sequences, to about WORTH of them, between those that keep the limits and those that
    do not; each with :attr:`ServedCandidate.over`."""
    for turn in range(MOST_TRIES):
        (few, under), (many, past) = low, high
        if many - few <= max(1, int(WORTH * few)):
            break
        share = 0.5 if turn % 3 == 2 else -under / max(past - under, 1e-12)
        middle = min(max(few + 1, round(few + share * (many - few))), many - 1)
        over = own.over_at(middle)
        low, high = ((middle, over), high) if over <= 0 else (low, (middle, over))
    return low[0]
