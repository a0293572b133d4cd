"""The linear relaxation, by HiGHS: what a unit of each limit is worth, and of each choice.

The relaxation may split a decision between choices. Its optimum is the best Lagrangian bound

    max over λ ≥ 0 of  Σ_d min_s (objective + Σ_r λ_r·row_r)[d, s] − Σ_r λ_r·limit_r

and its dual values are such a λ. Where several λ reach the bound (an optimum at a corner), the one
of HiGHS's last basis is given. The prices of rows named PACE sum to at most 1, since the objective
pays for their excess instead of keeping it.

:func:`improved_counts` makes a good assignment of it by moving one layer after another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.planning.solver.highs import OPTIONS, Repairs, model_of, run_highs, scale_of
from planner.planning.solver.problem import PACE, Array, Problem, tolerant_limit, violation

MOST_STEPS = 200_000
"""Simplex iterations after which no relaxation is given; real questions take tens."""
Int = NDArray[np.int64]
MOST_MOVES = 60
PENALTY = 1e3
"""Objectives of the size of 1 that a limit broken by all of itself costs."""


@cached_record
class RelaxedOptimum:
    """The optimum ``value`` with split decisions; ``prices`` [R], by how much it falls with a unit
    more of each row's limit; ``reduced`` [D, S], by how much at least an assignment with one more
    layer of a choice is above it (0 where the optimum takes it, inf where it is illegal)."""

    value: float
    prices: Array
    reduced: Array


def row_prices(problem: Problem) -> Array | None:
    """By how much the objective falls with a unit more of each row's limit [R], at least 0, in the
    objective's unit by the row's; None where even split decisions cannot keep all limits."""
    relaxation = linear_relaxation(problem)
    return relaxation.prices if relaxation is not None else None


def linear_relaxation(problem: Problem) -> RelaxedOptimum | None:
    """The linear relaxation of ``problem``; None where it has no optimum."""
    if not problem.legal.any(axis=1).all():
        return None
    scale = scale_of(problem)
    solver = run_highs(
        model_of(problem, Repairs(np.zeros(len(problem.rows)), []), scale, integral=False),
        OPTIONS | {"simplex_iteration_limit": MOST_STEPS},
    )
    if solver.getModelStatus().name != "kOptimal":
        return None
    solution = solver.getSolution()
    sizes = np.array([scale if row.name == PACE else abs(row.limit) or 1.0 for row in problem.rows])
    duals = np.array(solution.row_dual)[len(problem.legal) :]
    decisions, choices = np.nonzero(problem.legal)
    reduced = np.full(problem.legal.shape, np.inf)
    reduced[decisions, choices] = (
        np.maximum(np.array(solution.col_dual)[: len(decisions)], 0.0) * scale
    )
    value = float(solver.getInfo().objective_function_value) * scale + problem.constant
    return RelaxedOptimum(value, np.maximum(-duals, 0.0) * scale / sizes, reduced)


def improved_counts(problem: Problem, start: RelaxedOptimum) -> Int | None:
    """Counts [D, S] of an assignment (every multiplicity 1) within all limits; None where none was
    met."""
    pick = np.where(problem.legal, start.reduced, np.inf).argmin(axis=1)
    every = np.arange(len(pick))
    decisions, choices = np.nonzero(problem.legal)
    table = _Table(problem, abs(start.value) or 1.0)
    sums = table.values[:, every, pick].sum(axis=1)
    best = float(table.merit(sums))
    for _ in range(MOST_MOVES):
        moves = table.values[:, decisions, choices] - table.values[:, decisions, pick[decisions]]
        merits = table.merit(sums[:, None] + moves)
        at = [int(merits.argmin())]
        if not merits[at[0]] < best:
            pairs = table.merit(sums[:, None, None] + moves[:, :, None] + moves[:, None, :])
            pairs[decisions[:, None] == decisions] = np.inf
            at = [int(i) for i in np.unravel_index(int(pairs.argmin()), pairs.shape)]
            if not pairs[at[0], at[1]] < best:
                break
        pick[decisions[at]] = choices[at]
        sums = table.values[:, every, pick].sum(axis=1)
        best = float(table.merit(sums))
    counts = np.zeros(problem.legal.shape, dtype=np.int64)
    counts[every, pick] = 1
    return counts if violation(problem, counts) is None else None


class _Table:
    """The objective, the limits and the paces of a problem as ``values`` [1 + R + Q, D, S]."""

    def __init__(self, problem: Problem, scale: float) -> None:
        limits = [row for row in problem.rows if row.name != PACE]
        paces = [row for row in problem.rows if row.name == PACE]
        rows = [row.coefficients for row in (*limits, *paces)]
        self.values = np.array([problem.objective, *rows])
        self.most = np.array([tolerant_limit(row) for row in limits])
        self.size = np.array([abs(row.limit) or 1.0 for row in limits])
        self.pace = np.array([row.limit for row in paces])
        self.scale = scale

    def merit(self, sums: Array) -> Array:
        """What is made less: the objective, and more than that what limits are broken by; ``sums``
        [1 + R + Q, ...]."""
        count, beside = len(self.most), (1,) * (sums.ndim - 1)
        over = np.maximum(sums[1 : 1 + count] - self.most.reshape(-1, *beside), 0.0)
        broken = (over / self.size.reshape(-1, *beside)).sum(axis=0)
        cost = sums[0]
        if len(self.pace):
            above = (sums[1 + count :] - self.pace.reshape(-1, *beside)).max(axis=0)
            cost = cost + np.maximum(above, 0.0)
        return np.asarray(cost / self.scale + PENALTY * broken)
