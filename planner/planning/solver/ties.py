"""Which of equal optima is taken: the same on every machine, whatever path the solver took.

Assignments within EQUAL of the optimum are equal. Of these the least by a second quantity is taken,
where there is one (within EQUAL again), and of those that are left the first in the catalogue's
order: decision by decision, the earliest choice that some equal assignment has. The relaxation's
reduced costs tell which choices no equal assignment can have; the solver is asked about the others.

Where layers are counted, or the optimum is proved to a wider gap, equal assignments are too many
to be told apart by proofs. Of them the least by a third quantity is taken; then layers move, choice
by choice, to the earliest one that keeps the assignment equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.planning.solver.duals import linear_relaxation
from planner.planning.solver.highs import GAP
from planner.planning.solver.problem import (
    EQUAL,
    PACE,
    Array,
    Problem,
    Row,
    Solution,
    limits_of,
    objective_of,
    violation,
)
from planner.planning.solver.solve import solve

Int = NDArray[np.int64]


def first_of_ties(
    problem: Problem,
    solution: Solution,
    second: Array | None,
    *,
    third: Array | None = None,
    gap: float = GAP,
) -> Solution:
    """The assignment to take of those that equal the optimum ``solution`` of ``problem``.

    ``second`` [D, S] decides first (the less the better), ``third`` where order cannot be proved,
    then the order of the choices. ``gap`` is the one to which the optimum is proved.
    """
    if (problem.legal.sum(axis=1) == 1).all() and (problem.multiplicity == 1).all():
        return replace(
            solution,
            bound=min(solution.bound, solution.value),
            gap=_gap(solution.value, min(solution.bound, solution.value)),
        )
    most = solution.value + EQUAL * abs(solution.value)
    exact = solution.gap <= EQUAL and bool((problem.multiplicity == 1).all())
    bars = [(problem, most)]
    if second is not None:
        by_second = _by_second(problem, second, most)
        solution = _least(by_second, solution, gap)
        used = float((second * solution.counts).sum())
        bars.append((by_second, used + EQUAL * abs(used)))
        problem = replace(problem, rows=(*problem.rows, Row("second", second, bars[1][1])))
    if third is not None and not exact:
        solution = _least(_by_second(problem, third, most), solution, gap)
    counts = (
        _first(problem, solution.counts, most, bars)
        if exact
        else _moved(problem, solution.counts, most)
    )
    value = objective_of(problem, counts)
    bound = min(solution.bound, value)
    return replace(solution, counts=counts, value=value, bound=bound, gap=_gap(value, bound))


def _gap(value: float, bound: float) -> float:
    return (value - bound) / abs(value) if value else 0.0


def _by_second(problem: Problem, second: Array, most: float) -> Problem:
    """The least of ``second`` with an objective of at most ``most``."""
    kept = [Row("objective", problem.objective, most - problem.constant)] + [
        Row("objective", problem.objective + row.coefficients, most - problem.constant + row.limit)
        for row in problem.rows
        if row.name == PACE
    ]
    return replace(problem, objective=second, constant=0.0, rows=(*limits_of(problem), *kept))


def _least(by_second: Problem, solution: Solution, gap: float) -> Solution:
    """``solution``, or what is the least of ``by_second``, to ``gap``."""
    solution_by_second = solve(by_second, gap=gap)
    if not solution_by_second.has_assignment or solution_by_second.value >= float(
        (by_second.objective * solution.counts).sum()
    ):
        return solution
    return replace(solution, counts=solution_by_second.counts)


def _first(
    problem: Problem, counts: Int, most: float, bars: Sequence[tuple[Problem, float]]
) -> Int:
    """The first assignment in the order of the choices with an objective of at most ``most``, from
    ``counts``, which is one. ``bars`` are relaxed: no choice is tried whose reduced cost exceeds
    what their most leaves."""
    orders = [
        (relaxed_optimum, bar)
        for relaxed_optimum, bar in ((linear_relaxation(part), bar) for part, bar in bars)
        if relaxed_optimum is not None
    ]
    reduced = np.array([relaxed_optimum.reduced for relaxed_optimum, _ in orders]).reshape(
        -1, *problem.legal.shape
    )
    spare = np.array(
        [bar + GAP * abs(bar) - relaxed_optimum.value for relaxed_optimum, bar in orders]
    )
    picks = counts.argmax(axis=1)
    legal = problem.legal.copy()
    for d in range(len(picks)):
        may = legal[d, : picks[d]] & (reduced[:, d, : picks[d]] <= spare[:, None]).all(axis=0)
        for s in np.flatnonzero(may):
            better = _with(problem, legal, picks, d, int(s), most)
            if better is not None:
                picks = better
                break
        legal[d] = np.arange(legal.shape[1]) == picks[d]
        spare -= reduced[:, d, picks[d]]
    return _one_each(problem, picks)


def _with(
    problem: Problem,
    legal: NDArray[np.bool_],
    picks: Int,
    d: int,
    s: int,
    most: float,
) -> Int | None:
    """Picks with choice ``s`` in decision ``d``, those before it as in ``legal``, and an objective
    of at most ``most``: the same with nothing else moved, else what the solver finds."""
    moved = picks.copy()
    moved[d] = s
    counts = _one_each(problem, moved)
    if objective_of(problem, counts) <= most and violation(problem, counts) is None:
        return moved
    only = legal.copy()
    only[d] = np.arange(legal.shape[1]) == s
    solution = solve(replace(problem, legal=only), cutoff=most)
    return (
        solution.counts.argmax(axis=1)
        if solution.has_assignment and solution.value <= most
        else None
    )


def _one_each(problem: Problem, picks: Int) -> Int:
    counts = np.zeros(problem.legal.shape, dtype=np.int64)
    counts[np.arange(len(picks)), picks] = 1
    return counts


def _moved(problem: Problem, counts: Int, most: float) -> Int:
    """``counts`` with the layers of each choice in the earliest one that keeps the objective at
    most ``most`` and breaks nothing."""
    counts = counts.copy()
    for d in range(counts.shape[0]):
        for now in np.flatnonzero(counts[d]):
            for other in np.flatnonzero(problem.legal[d, :now]):
                trial = counts.copy()
                trial[d, other] += trial[d, now]
                trial[d, now] = 0
                if objective_of(problem, trial) <= most and violation(problem, trial) is None:
                    counts = trial
                    break
    return counts
