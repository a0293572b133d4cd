"""The linear relaxation, by HiGHS: what a unit of each limit is worth, and of each choice.

The relaxation may split a decision between choices. Its optimum is the best Lagrangian bound

    max over λ ≥ 0 of  Σ_d min_s (objective + Σ_r λ_r·row_r)[d, s] − Σ_r λ_r·limit_r

and its dual values are such a λ. Where several λ reach the bound (an optimum at a corner), the one
of HiGHS's last basis is given. The prices of rows named PACE sum to at most 1, since the objective
pays for their excess instead of keeping it.
"""

from __future__ import annotations

import numpy as np

from planner.planning.solver.highs import OPTIONS, Repairs, ended, model_of, scale_of
from planner.planning.solver.problem import PACE, Array, Problem
from planner.records import cached_record

MOST_STEPS = 200_000
"""Simplex iterations after which no relaxation is given; real questions take tens."""


@cached_record
class Relaxed:
    """The optimum ``value`` with split decisions; ``prices`` [R], by how much it falls with a unit
    more of each row's limit; ``reduced`` [D, S], by how much at least an assignment with one more
    layer of a choice is above it (0 where the optimum takes it, inf where it is illegal)."""

    value: float
    prices: Array
    reduced: Array


def row_prices(problem: Problem) -> Array | None:
    """By how much the objective falls with a unit more of each row's limit [R], at least 0, in the
    objective's unit by the row's; None where even split decisions cannot keep all limits."""
    found = relaxed(problem)
    return found.prices if found is not None else None


def relaxed(problem: Problem) -> Relaxed | None:
    """The linear relaxation of ``problem``; None where it has no optimum."""
    if not problem.legal.any(axis=1).all():
        return None
    scale = scale_of(problem)
    solver = ended(
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
    return Relaxed(value, np.maximum(-duals, 0.0) * scale / sizes, reduced)
