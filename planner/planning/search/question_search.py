"""One question: every way to serve it with every batch, best first.

:func:`branch_and_bound` solves the grids (:mod:`planner.planning.search.grid_search`), then what
may be better between their slots (:mod:`planner.planning.search.batch_intervals`), under one
incumbent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.base.errors import SolverError
from planner.planning.question.question import Question
from planner.planning.search.batch_intervals import (
    Pieces,
    dense_spaces,
    finer_candidates,
    over_intervals,
    single_slots,
    split_intervals,
)
from planner.planning.search.candidate_problem import (
    CandidateProblem,
    candidate_problem,
    error_context,
)
from planner.planning.search.first_token import solve_with_ttft
from planner.planning.search.formulate import bounds
from planner.planning.search.grid_search import (
    BATCH_GAP,
    PROVED,
    SearchResult,
    break_ties,
    solve_grid,
)
from planner.planning.search.spaces import grid_space
from planner.planning.solver.problem import EQUAL, Array, proved
from planner.planning.solver.solve import LAYERS_GAP
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Slots, Space
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior

FEWEST = ("latency", "memory")
"""Objectives that are never better with more sequences."""
PATIENCE = ((EQUAL, 40_000), (PROVED, 40_000), (LAYERS_GAP, 40_000), (BATCH_GAP, math.inf))
"""(what is better by less than this share is not looked for, candidates between the grid's slots up
to which it is): a small model with room for a million sequences is as fast with most of them."""


def search(model: CostModel) -> SearchResult | None:
    """The best plan over all layouts and batches, or None where nothing is feasible."""
    return branch_and_bound(list(filter(None, [grid_space(model)])))


def solve_questions(questions: Sequence[Question], *, settle: bool = True) -> SearchResult | None:
    """The best answer of several questions, the first of equals; None where none has any.
    ``settle`` as in :func:`branch_and_bound`."""
    return branch_and_bound(spaces_of(questions), settle=settle)


def branch_and_bound(
    spaces: Sequence[Space], *, settle: bool = True, incumbent: SearchResult | None = None
) -> SearchResult | None:
    """The best plan of several spaces, one for every way to serve: of their grids first, then of
    every slot between. All share one incumbent: what cannot beat it is never solved. ``settle``:
    which of equal plans is taken does not depend on the solver's path. ``incumbent`` is known
    already: it is the answer where nothing is as good."""
    free = bool(spaces) and not spaces[0].model.question.is_batch_given
    spans = [over_intervals(space) if free else space for space in spaces]
    lower = [bounds(space) for space in spans]
    best = solve_grid(spans, lower, incumbent)
    if best is not None:
        full_space = spaces[next(i for i, span in enumerate(spans) if span is best.space)]
        best = replace(best, space=full_space, grid=full_space)
    if incumbent is not None:
        best = _with_incumbent(incumbent, best, sum(map(len, spans)))
    if free:
        best = IntervalRefinement(spaces, best).refined(spans, lower)
    return best if best is None or not settle else break_ties(best)


def _with_incumbent(
    incumbent: SearchResult, best: SearchResult | None, candidates: int
) -> SearchResult:
    """``best`` of some candidates, or the ``incumbent`` where none is as good, told of both."""
    seen = incumbent.candidates + candidates
    if best is None:
        return replace(incumbent, candidates=seen)
    return replace(
        best,
        candidates=seen,
        solved=incumbent.solved + best.solved,
        bound=min(incumbent.bound, best.bound),
    )


class IntervalRefinement:
    """The best of the grids, or what is better between their slots: intervals are cut until none
    may be. Where that would take too many candidates, differences below a larger ``gap`` are not
    looked for."""

    def __init__(self, grids: Sequence[Space], best: SearchResult | None) -> None:
        self.grids, self.best = grids, best
        self.looked = 0
        self.patience = list(PATIENCE)

    @property
    def most(self) -> float:
        """What is better is below this."""
        return np.inf if self.best is None else self.best.value * (1 - self.patience[0][0])

    def refined(self, spans: Sequence[Space], lower: Sequence[Array]) -> SearchResult | None:
        """The answer; ``spans`` are the grids, in which ``lower`` holds."""
        place = list(range(len(spans)))
        while spans:
            cuts = self._cuts(spans, lower)
            for at, space, (_, runs) in zip(place, spans, cuts, strict=True):
                for run in dense_spaces(space, runs):
                    self._run(self.grids[at], run)
            place = [at for at, (further, _) in zip(place, cuts, strict=True) if further]
            spans = [
                finer_candidates(space, further)
                for space, (further, _) in zip(spans, cuts, strict=True)
                if further
            ]
            lower = [bounds(space) for space in spans]
            better = solve_grid(spans, lower, self.best)
            if better is not None:
                at = next(i for i, space in enumerate(spans) if space is better.space)
                self._take(replace(better, grid=self.grids[place[at]]))
            self._count(sum(map(len, spans)), 0 if better is None else better.solved)
        if self.best is None:
            return None
        return replace(self.best, bound=min(self.best.bound, self.most))

    def _cuts(self, spans: Sequence[Space], lower: Sequence[Array]) -> list[tuple[Pieces, Pieces]]:
        """What is open, cut, at the smallest gap that leaves no more candidates than it may."""
        while True:
            cuts = [
                split_intervals(space, low, self.most)
                for space, low in zip(spans, lower, strict=True)
            ]
            work = sum(
                len(further) + sum(last - first + 1 for (_, first), last in runs.items())
                for further, runs in cuts
            )
            if self.looked + work <= self.patience[0][1]:
                return cuts
            del self.patience[0]

    def _take(self, other: SearchResult) -> None:
        """``other`` where it is better; its bound holds for what it was chosen from."""
        if other.value < self.most:
            bound = other.bound if self.best is None else min(self.best.bound, other.bound)
            before = self.best
            self.best = (
                replace(other, bound=bound)
                if before is None
                else replace(other, bound=bound, candidates=before.candidates, solved=before.solved)
            )

    def _count(self, candidates: int, solved: int) -> None:
        self.looked += candidates
        if self.best is not None:
            self.best = replace(
                self.best,
                candidates=self.best.candidates + candidates,
                solved=self.best.solved + solved,
            )

    def _run(self, grid: Space, run: Space) -> None:
        """What is better in a run of slots."""
        slots, solved = single_slots(run, self.most), 0
        sent: float | None = None
        while True:
            try:
                c, bound = slots.send(sent)
            except StopIteration:
                self._count(len(run), solved)
                return
            candidate = candidate_problem(run, c)
            solution, cutoff = solve_with_ttft(candidate, cutoff=self.most), self.most
            solved += 1
            if solution.has_assignment:
                self._take(
                    SearchResult(
                        run, c, solution, candidate.segments(solution), solution.bound, 0, 0, grid
                    )
                )
            left = max(bound, proved(solution, cutoff))
            if left < self.most:  # a limit of the solver was reached
                self.best = _left_open(self.best, candidate, left)
            sent = self.most


def _left_open(
    best: SearchResult | None, candidate: CandidateProblem, bound: float
) -> SearchResult:
    """``best`` with the bound of a candidate that the solver left open.

    Raises:
        SolverError: there is none.
    """
    if best is None:
        with error_context(candidate.space, candidate.c):
            raise SolverError(
                "no candidate was answered within the solver's limits", hint=SolverError.NARROWER
            )
    return replace(best, bound=min(best.bound, bound))


def spaces_of(questions: Sequence[Question]) -> list[Space]:
    """The candidates of those questions that have any, in order. Where more sequences never help,
    the fewest stand for all."""
    return list(
        filter(
            None,
            [
                grid_space(
                    build_model(question, load_prior()),
                    slots=slots_of(question),
                )
                for question in questions
            ],
        )
    )


def slots_of(question: Question) -> Slots:
    """Which slots are candidates: the ends where more sequences never help."""
    return "ends" if question.objective in FEWEST else "grid"


def differences(old: SearchResult, new: SearchResult) -> tuple[str, ...]:
    """What another plan has otherwise: layout, then schemes by kind and layers; empty for the same
    plan. A batch alone is no other plan."""
    from planner.planning.plan.diff import scheme_runs

    layouts = [_layout(result) for result in (old, new)]
    changes = [f"{layouts[0]} → {layouts[1]}"] if layouts[0] != layouts[1] else []
    runs = scheme_runs(by_layer(old.space, old.segments), by_layer(new.space, new.segments))
    return (*changes, *(f"{run.unit}: {run.old or 'none'} → {run.new or 'none'}" for run in runs))


def by_layer(space: Space, segments: Sequence[Segment]) -> dict[tuple[str, int], str]:
    """The choice of every decided kind (its parts apart) and layer."""
    model = space.model
    return {
        (model.units[s.unit].matrix, layer): model.choices[s.choice]
        for s in segments
        if s.choice >= 0
        for layer in s.layers
    }


def _layout(result: SearchResult) -> str:
    la = result.space.tables.layouts[result.space.pts.layout[result.candidate]]
    return f"tp{la.tp} dp{la.dp} pp{la.pp} ep{la.ep}"


def batch_of(result: SearchResult) -> int:
    """Sequences decoded together in one replica."""
    return int(result.space.pts.batch[result.candidate])
