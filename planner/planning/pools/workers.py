"""Workers of a pool as the search sees them: bounds first, then the formats that are shortest.

A bound holds for all ways of an engine, and of decode workers for an interval of batches; it is
made sharper step by step (``refined``), until an assignment is proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.planning.pools.candidates import (
    allowed_for,
    decode_space_at,
    prompt_counts,
    prompts_per_pass,
)
from planner.planning.pools.stages import seconds_after_slowest, step_seconds
from planner.planning.price.price import price
from planner.planning.question.question import Question
from planner.planning.search.batch_intervals import over_intervals
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.first_token import solve_with_ttft
from planner.planning.search.formulate import bounds, loss_limit
from planner.planning.search.uniform import uniform_loss
from planner.planning.solver.problem import TOLERANCE, Solution
from planner.planning.space.assignment import Segment, rank_bytes
from planner.planning.space.candidates import Space, by_stage
from planner.planning.space.file_bytes import rooms_kept
from planner.planning.space.memory import budget

Array = NDArray[np.float64]
Int = NDArray[np.int64]
PIECES = 12
"""Pieces that an interval of batches is cut into at once."""


@cached_record
class PoolSpace:
    """Candidates of one pool whose caches are all in ``kv``; ``ways`` of serving them that share
    their times, one of which a worker takes. ``choice`` [U] is the one assignment that counts,
    None: any that is legal."""

    space: Space
    ways: tuple[Question, ...]
    kv: str
    choice: Int | None = None

    @property
    def question(self) -> Question:
        return self.space.model.question

    def by_way(self, space: Space) -> list[PoolSpace]:
        """``space`` for each way alone."""
        return [
            replace(
                self,
                space=replace(space, legal=space.legal & allowed_for(space, way, self.kv).legal),
                ways=(way,),
            )
            for way in self.ways
        ]

    def lower(self) -> Array:
        """Seconds that no pass at the first slot of each candidate is below [C]; inf where nothing
        is feasible."""
        return bounds(self.space) if self.choice is None else seconds_of(self.space, self.choice)


@cached_record
class WorkerAssignment:
    """The formats of a worker: segments on candidate ``candidate`` of ``space``."""

    space: Space
    candidate: int
    solution: Solution
    segments: tuple[Segment, ...]


def seconds_of(space: Space, choice: Int) -> Array:
    """Seconds of a pass under one choice for every unit [U] (-1: as released) [C]; inf where it
    breaks a limit."""
    model, decided, question = space.model, space.model.decided, space.model.question
    columns = np.zeros(len(decided.kernels), dtype=np.int64)
    for k, kernel in enumerate(decided.kernels):
        if kernel.decision >= 0:
            units = decided.decisions[kernel.decision].units
            option = decided.option(kernel.decision, tuple(int(choice[u]) for u in units))
            if option is None:
                return np.full(len(space), np.inf)
            columns[k] = option
    every = np.arange(len(columns))
    seconds = space.decode[:, every, columns]
    limit = loss_limit(model)
    if limit is not None and uniform_loss(model, choice) > limit * (1 + TOLERANCE) + 1e-15:
        return np.full(len(space), np.inf)
    able = space.legal[:, every, columns].all(axis=1) & np.isfinite(seconds).all(axis=1)
    able &= rank_bytes(space, choice) <= budget(question)
    able &= rooms_kept(model, space.tables, choice)
    finite = np.where(np.isfinite(seconds), seconds, 0.0)
    total = finite @ decided.layers
    if (space.pts.pp > 1).any():
        total = np.rint(space.pts.pp) * by_stage(space, finite).max(axis=1)
    if question.tpot_seconds is not None:
        able &= total <= question.tpot_seconds * (1 + TOLERANCE)
    return np.where(able, total, np.inf)


def fastest_assignment(space: Space, c: int) -> WorkerAssignment | None:
    """The assignment whose pass is shortest, proved; None where none keeps the limits."""
    problem = candidate_problem(space, c)
    solution = solve_with_ttft(problem)
    return (
        WorkerAssignment(space, c, solution, problem.segments(solution))
        if solution.has_assignment
        else None
    )


class DecodeWorkers:
    """Decode workers on one layout with ``low`` to ``high`` sequences a rank and micro-batch: a
    token takes at least ``seconds``; exactly where ``assignment`` is there. ``slack``: by what
    factor it may take less in other formats (1 without pipeline stages)."""

    def __init__(
        self, pool: PoolSpace, c: int, seconds: float, assignment: WorkerAssignment | None = None
    ) -> None:
        self.pool, self.c, self.seconds, self.assignment = pool, c, seconds, assignment
        space, self.slack = pool.space, 1.0
        layout = space.layout(c)
        self.devices, self.ranks, self.tp, self.pp = layout.ranks, layout.dp, layout.tp, layout.pp
        self.low, self.high = int(space.slots[c]), int(space.upper[c])

    def rate(self, osl: int) -> float:
        """Requests/s that one worker finishes at most."""
        return self.high * self.ranks * self.pp / (osl * self.seconds)

    def refined(self) -> list[DecodeWorkers]:
        """Workers that this one stands for, with sharper bounds; none where none is feasible."""
        space, c = self.pool.space, self.c
        if self.high > self.low:
            layout = int(space.pts.layout[c])
            starts = equal_ratio_pieces(self.low, self.high)
            pairs = [(layout, start) for start in starts]
            ends = [following - 1 for following in (*starts[1:], self.high + 1)]
            finer = decode_space_at(space, pairs, ends)
            way = self.pool.ways[0] if len(self.pool.ways) == 1 else None
            return list(
                decode_candidates(
                    replace(self.pool, space=_alike(space, allowed_for(finer, way, self.pool.kv)))
                )
            )
        here = space.take(np.array([c], dtype=np.int64))
        if len(self.pool.ways) > 1:
            return [
                candidate
                for pool in self.pool.by_way(here)
                for candidate in decode_candidates(pool)
            ]
        assignment = fastest_assignment(here, 0)
        if assignment is None:
            return []
        least = seconds = assignment.solution.value
        if self.pp > 1:
            seconds = step_seconds(here, 0, assignment.segments)
            limit = self.pool.question.tpot_seconds
            if limit is not None and seconds > limit * (1 + TOLERANCE):
                return []
        worker = DecodeWorkers(replace(self.pool, space=here), 0, seconds, assignment)
        worker.slack = max(seconds / least, 1.0)
        return [worker]


def _alike(old: Space, new: Space) -> Space:
    """``new`` under what of its legality ``old`` has beside layouts and ways (see
    :func:`planner.planning.pools.candidates.with_choice`): options that ``old`` takes nowhere."""
    taken = np.asarray(np.logical_or.reduce(old.legal, axis=0))
    return replace(new, legal=new.legal & taken[None])


def equal_ratio_pieces(first: int, last: int) -> list[int]:
    """Slots from ``first`` on that cut up to ``last`` into pieces of equal ratio."""
    if last - first < PIECES:
        return list(range(first, last + 1))
    return sorted({round(first * (last / first) ** (i / PIECES)) for i in range(PIECES)})


def decode_candidates(pool: PoolSpace) -> Iterator[DecodeWorkers]:
    """The candidates of a pool of decode workers that may be feasible."""
    lower = pool.lower()
    for c in np.flatnonzero(np.isfinite(lower)).tolist():
        yield DecodeWorkers(pool, c, float(lower[c]))


def over_batches(pool: PoolSpace) -> PoolSpace:
    """``pool`` whose candidates stand for all batches up to the next."""
    if pool.question.batch is not None:
        return pool
    return replace(pool, space=over_intervals(pool.space))


class PrefillWorkers:
    """Prefill workers on one layout: passes of ``counts`` prompts a rank take at least ``seconds``
    [N]; ``assignment`` is the one whose fullest pass is shortest, and takes just these. With
    pipeline stages they are stages × those of the slowest, after which a prompt takes ``later`` in
    the others; ``group`` [Q] is the slowest stage's."""

    def __init__(
        self,
        pool: PoolSpace,
        first: int,
        seconds: Array,
        assignment: WorkerAssignment | None = None,
    ) -> None:
        self.pool, self.first, self.assignment = pool, first, assignment
        layout, question = pool.space.layout(first), pool.question
        self.devices, self.ranks, self.tp, self.pp = layout.ranks, layout.dp, layout.tp, layout.pp
        self.seconds = np.maximum(seconds, question.prompt_floor_seconds)
        most = prompts_per_pass(question)
        self.group = np.interp(np.arange(1, most + 1), prompt_counts(most), self.seconds) / self.pp
        self.later = (
            0.0
            if assignment is None
            else seconds_after_slowest(assignment.space, assignment.candidate, assignment.segments)
        )

    def refined(self) -> list[PrefillWorkers]:
        """Workers that this one stands for, with sharper bounds; none where none is feasible."""
        space, count = self.pool.space, len(self.seconds)
        here = space.take(np.arange(self.first, self.first + count))
        if len(self.pool.ways) > 1:
            return [
                candidate
                for pool in self.pool.by_way(here)
                for candidate in prefill_candidates(pool)
            ]
        assignment = fastest_assignment(here, count - 1)
        if assignment is None:
            return []
        seconds = np.array([price(here, c, assignment.segments).tpot for c in range(count)])
        return [PrefillWorkers(replace(self.pool, space=here), 0, seconds, assignment)]


def prefill_candidates(pool: PoolSpace) -> Iterator[PrefillWorkers]:
    """The layouts of a pool of prefill workers that may be feasible."""
    count = len(prompt_counts(prompts_per_pass(pool.question)))
    lower = pool.lower().reshape(-1, count)
    for i in np.flatnonzero(np.isfinite(lower).all(axis=1)).tolist():
        yield PrefillWorkers(pool, i * count, np.maximum.accumulate(lower[i]))
