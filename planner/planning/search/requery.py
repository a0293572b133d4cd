"""The best assignment in a space whose limits or objective are moved: many questions, one space.

Times of units are computed once; each question solves the candidates in order of bound until none
can win. Only those whose known bound could still win are bounded anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import fsum

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import SolverError
from planner.base.records import cached_record
from planner.planning.price.price import Priced
from planner.planning.search.candidate_problem import (
    CandidateProblem,
    candidate_problem,
    error_context,
)
from planner.planning.search.first_token import solve_with_ttft
from planner.planning.search.formulate import bounds
from planner.planning.search.grid_search import ANY
from planner.planning.search.served_batch import served_candidate
from planner.planning.solver.exclusion import has_excluding_pair
from planner.planning.solver.problem import Array, proved, without_dominated
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space

Int = NDArray[np.int64]
GAP = 2e-3
"""Relative gap to which a question is answered; bands of times are far wider."""

AT_ONCE = 64
"""Candidates that are bounded together, in order of what is known of them."""


@cached_record
class Optimum:
    """The winner of one question: a candidate of ``space``, its choices, the solver's sum."""

    space: Space
    candidate: int
    segments: tuple[Segment, ...]
    value: float
    bound: float


def best_in(
    space: Space,
    known: Array | None = None,
    start: int | None = None,
) -> tuple[Optimum | None, Array]:
    """The best candidate of ``space`` or None, and lower bounds of the objective [C].

    ``known`` [C] are lower bounds that hold already (inf: not to be tried), such as those of the
    same question with looser limits; ``start`` is solved first. A candidate is left out where its
    bound is no better than the best by more than GAP. What a solved candidate proves (it is
    infeasible, or no better than so much) stays in the bounds, for the next question.
    """
    lower = np.full(len(space), -np.inf) if known is None else known.copy()
    if start is not None and lower[start] == np.inf:
        start = None
    best = None if start is None else _answer(space, start, None, lower)
    ranks = [space.tables.layouts[i].ranks for i in space.pts.layout]
    bounded, done = np.zeros(len(space), dtype=bool), np.zeros(len(space), dtype=bool)
    if start is not None:
        done[start] = True
    while True:
        cap = np.inf if best is None else best.value * (1 - GAP)
        order = sorted(
            np.nonzero((lower < cap) & ~done)[0].tolist(),
            key=lambda c: (float(f"{lower[c]:.9e}"), ranks[c], c),
        )
        if not order:
            return best, lower
        if not bounded[order[0]]:
            fresh = [c for c in order if not bounded[c]]
            some = np.array(fresh[: max(AT_ONCE, int(np.isneginf(lower[fresh]).sum()))])
            lower[some] = np.maximum(lower[some], bounds(space.take(some)))
            bounded[some] = True
            continue
        done[order[0]] = True
        answer = _answer(space, order[0], best, lower)
        if answer is not None and (best is None or answer.value < best.value):
            best = answer


def _answer(space: Space, c: int, best: Optimum | None, lower: Array) -> Optimum | None:
    """Candidate ``c`` solved, its bound raised in ``lower`` [C]; None where it is infeasible or no
    better than ``best``."""
    candidate = candidate_problem(space, c)
    problem = without_dominated(candidate.problem, candidate.total(space.model.decided.loss))
    candidate = replace(candidate, problem=problem)
    if has_excluding_pair(problem):
        lower[c] = np.inf
        return None
    most = np.inf if best is None else best.value
    solution = solve_with_ttft(candidate, gap=GAP, cutoff=most)
    lower[c] = max(lower[c], proved(solution, most))
    if not solution.has_assignment or (best is not None and solution.value >= best.value):
        return None
    return Optimum(space, c, candidate.segments(solution), solution.value, solution.bound)


def priced(answers: Iterable[Optimum]) -> list[Priced | None]:
    """Full prices of answers at the batch that keeps their limits; None where none does."""
    out = []
    for a in answers:
        served = served_candidate(a.space, a.candidate, a.segments)
        out.append(None if served is None else served.priced)
    return out


def loss_of(answer: Optimum) -> float:
    """Loss of an answer's assignment, in the question's unit."""
    table = answer.space.model.layer_loss
    return fsum(float(table[s.unit, s.choice]) * s.count for s in answer.segments if s.choice >= 0)


def first_feasible(spaces: Sequence[Space]) -> Optimum | None:
    """An assignment within all limits on some candidate, the first that is found; None where none
    has any.

    Raises:
        SolverError: none was found, and some candidate was left without an answer.
    """
    unanswered: CandidateProblem | None = None
    order = sorted(
        (float(low), i, c)
        for i, space in enumerate(spaces)
        for c, low in enumerate(bounds(space).tolist())
        if np.isfinite(low)
    )
    for _, i, c in order:
        candidate = candidate_problem(spaces[i], c)
        solution = solve_with_ttft(candidate, gap=ANY)
        if solution.has_assignment:
            segments = candidate.segments(solution)
            return Optimum(spaces[i], c, segments, solution.value, solution.bound)
        if proved(solution, np.inf) < np.inf:
            unanswered = candidate
    if unanswered is not None:
        with error_context(unanswered.space, unanswered.c):
            raise SolverError(
                "no candidate was answered within the solver's limits", hint=SolverError.NARROWER
            )
    return None
