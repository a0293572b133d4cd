"""Formats on layouts, with their step times: what replicas are made of."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import UnsupportedError
from planner.base.records import cached_record
from planner.placement.layout import Layout
from planner.planning.answer.capacity import most_at_requests
from planner.planning.price.measured_errors import Z80
from planner.planning.price.plan_kinds import kind_of
from planner.planning.price.price import Priced, price
from planner.planning.price.served import serving_policy
from planner.planning.price.served_sigmas import Shares, Sigmas
from planner.planning.price.step import Assignment, Serving, step_times
from planner.planning.price.step_intervals import StepSpread, step_spread
from planner.planning.question.question import Question
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.rivals import Rival, shown_schemes
from planner.planning.search.spaces import grid_space
from planner.planning.search.uniform import choice_scores
from planner.planning.space.candidates import Space
from planner.planning.space.losses import saturated_loss
from planner.sizing.rank import ServedRank, served_rank
from planner.sizing.replicas import ReplicaGroup
from planner.throughput.scheduling import Scheduling, StepTimes

MOST_SLOTS = 4096
"""Requests of a rank beyond which no engine decodes together."""
BEST_LAYOUTS = 3
"""Layouts of the best rate a device that are looked at beside the best of each size."""
SPARE = 2.5
"""A larger replica than the smallest is looked at where a device of it is at most so much slower
than of the best."""


@cached_record
class Deployable:
    """A rival's formats on one layout, that of ``candidate`` in ``space``: ``rank`` is one of its
    attention ranks, in a pipeline one micro-batch of it, ``priced`` its price at the batch with the
    best rate a device that keeps the limits on average; an attention rank holds ``slots`` requests
    in all micro-batches."""

    rival: Rival
    space: Space
    candidate: int
    assignment: Assignment
    priced: Priced
    slots: int
    rank: ServedRank

    @property
    def layout(self) -> Layout:
        """The layout of one replica."""
        return self.priced.layout

    @property
    def question(self) -> Question:
        """What it answers."""
        return self.assignment.model.question

    @property
    def schemes(self) -> tuple[str, ...]:
        """Formats as people are told them."""
        return shown_schemes(self.rival)

    @property
    def loss(self) -> float:
        """The loss in the question's unit."""
        return saturated_loss(self.assignment.model, self.priced.loss)

    def spread(self, sequences: float) -> StepSpread:
        """How sure its steps are at so many sequences a rank."""
        work = self.question.workload
        return step_spread(
            self.assignment, max(sequences, 1.0), work.isl + work.osl / 2, float(work.isl)
        )

    def sigmas(self, sequences: float) -> Sigmas:
        """Of TPOT, TTFT and throughput at so many sequences a rank."""
        kind = kind_of(self.assignment.model, self.priced, requests=sequences * self.rank.ranks)
        return self.spread(sequences).sigmas(sequences, Shares(), kind)

    def group(self, rate: float, router: str, *, off: float = 0.0) -> ReplicaGroup:
        """Its replicas at ``rate`` requests a second over all of them; with steps that are longer
        by ``off`` (in log space)."""
        rank = self.rank
        if off:
            rank = replace(rank, times=scaled_times(rank.times, exp(off)))
        return ReplicaGroup(rank, rate, router)


def scaled_times(times: StepTimes, by: float) -> StepTimes:
    """Steps that last ``by`` times as long."""
    return replace(
        times,
        decode=times.decode * by,
        mixed=times.mixed * by,
        group=times.group * by,
        everywhere=None if times.everywhere is None else times.everywhere * by,
    )


def interval_factor(sigma: float) -> float:
    """The end of an 80 % interval in log space."""
    return Z80 * sigma


def deployables(rival: Rival, *, most: int | None = None) -> list[Deployable]:
    """The formats of ``rival`` on the layouts that are worth a look, those of the best rate a
    device first: the best of each number of devices, and the best of all; ``most`` of them."""
    space = grid_space(rival.result.space.model)
    if space is None:
        return []
    choice = _choices(rival.result)
    scores = choice_scores(space, np.array(choice, dtype=np.int64))
    chosen = _worth(space, scores)[:most]
    candidates_found = [_deployable(rival, space, c, choice) for c in chosen]
    return [deployable for deployable in candidates_found if deployable is not None]


def _choices(result: SearchResult) -> tuple[int, ...]:
    """One choice for every unit."""
    model = result.space.model
    choice: dict[int, int] = {}
    for segment in result.segments:
        if choice.setdefault(segment.unit, segment.choice) != segment.choice:
            raise UnsupportedError(
                f"{model.units[segment.unit].id} takes several schemes",
                hint="ask without a profile that decides single layers",
            )
    return tuple(choice[i] for i in range(len(model.units)))


def _worth(space: Space, scores: NDArray[np.float64]) -> list[int]:
    """Candidates to look at, the best rate a device first: one of each layout."""
    best: dict[int, int] = {}
    for c in np.flatnonzero(np.isfinite(scores)).tolist():
        layout = int(space.pts.layout[c])
        if layout not in best or scores[c] < scores[best[layout]]:
            best[layout] = c
    order = sorted(
        best.values(), key=lambda c: (float(f"{scores[c]:.9e}"), space.layout(c).ranks, c)
    )
    if not order:
        return []
    least, fastest = min(space.layout(c).ranks for c in order), scores[order[0]]
    sizes: set[int] = set()
    out = []
    for i, c in enumerate(order):
        ranks = space.layout(c).ranks
        wanted = ranks not in sizes and (scores[c] <= SPARE * fastest or ranks == least)
        if i < BEST_LAYOUTS or wanted:
            out.append(c)
        sizes.add(ranks)
    return out


def _deployable(rival: Rival, space: Space, c: int, choice: tuple[int, ...]) -> Deployable | None:
    """The formats on the layout of candidate ``c``; None where a rank holds no request."""
    model, question = space.model, space.model.question
    priced = price(space, c, rival.result.segments)
    policy = serving_policy(question)
    slots = _slots(question, policy, most_at_requests(model, priced) // priced.layout.dp)
    if slots < 1:
        return None
    work = question.workload
    assignment = Assignment(model, space.tables, int(space.pts.layout[c]), rival.result.segments)
    times = step_times(
        assignment,
        Serving(
            work.isl, work.osl, float(slots), question.chunk_tokens, hit_rate=work.prefix_hit_rate
        ),
    )
    return Deployable(
        rival,
        space,
        c,
        assignment,
        priced,
        slots,
        served_rank(times, policy, work.osl, priced.layout.dp, slots),
    )


def _slots(question: Question, policy: Scheduling, ended: int) -> int:
    """Requests that are admitted to a rank with room for so many that have ``ended``: what is set
    aside for each may be less than a whole answer."""
    work = question.workload
    tokens, each = work.isl + work.osl, work.isl + policy.reserve * work.osl
    return min(ended if work.cached_tokens > tokens else int(ended * tokens / each), MOST_SLOTS)
