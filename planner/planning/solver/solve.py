"""The proved optimum of a problem: by listing where one limit binds, else by HiGHS, with limits
checked again in integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planner.planning.solver.enumeration import beyond, listed
from planner.planning.solver.highs import GAP, Repairs, run
from planner.planning.solver.narrowing import narrowed
from planner.planning.solver.problem import (
    BEATEN,
    EQUAL,
    INFEASIBLE,
    STOPPED,
    UNPROVED,
    Problem,
    Solution,
    is_minimax,
    objective_of,
    of_all_stages,
    violation,
)

# Hundreds of layers that all differ: proving the last digits takes minutes, and losses of single
# layers are known to tens of percent. The gap that is left is in the plan.
LAYERS_GAP = 1e-4
STAGES_GAP = 5e-7
"""Of pipelines whose stages share a loss and count their layers, which are searched by pace
(:mod:`planner.planning.solver.bottleneck`). The gap that is left is in the plan."""
STAGE_NODES = 400
"""Nodes of the search tree of one stage at one pace: where its limits meet, the last digits of a
loss can take thousands."""
LOOSE = 1e-3
"""The gap from which HiGHS is quicker than a listing, which proves every digit or gives up."""
_MAX_REPAIRS = 20
_MAX_CUTS = 10


def solve(problem: Problem, *, gap: float = GAP, cutoff: float = np.inf) -> Solution:
    """Prove the optimum of ``problem``, to a relative ``gap``: by
    :mod:`planner.planning.solver.enumeration` where one limit binds, decisions are few and ``gap``
    is below LOOSE, else by HiGHS; what no answer can take is left out first
    (:mod:`planner.planning.solver.narrowing`).

    Budgets are checked again in integers. Where the solver's tolerance let an assignment slip over
    a limit, that very assignment is cut off and the problem solved again; where layers are counted,
    or slips do not end, the limit is tightened instead and the bound stays that of the untightened
    problem. An optimum above ``cutoff`` need not be looked for: the status is ``beaten`` where it
    was not. Where layers are counted and the pace of a pipeline is the objective, the mean of its
    stages, which is less, says so sooner. Which of equal optima is found is left to chance:
    :mod:`planner.planning.solver.ties` settles it.

    Raises:
        SolverError: HiGHS ended without an answer.
    """
    exact = gap < LOOSE and bool((problem.multiplicity == 1).all())
    counted = not exact and is_minimax(problem)
    if exact and gap <= EQUAL:
        fewer = narrowed(problem, cutoff)
        if fewer is None:
            none = not np.isfinite(cutoff) or beyond(problem)
            return Solution(INFEASIBLE if none else BEATEN,
                            np.zeros(problem.legal.shape, np.int64), np.inf, np.inf, 0.0)
        problem = fewer
    solution = listed(problem, cutoff) if exact else None
    if solution is None and counted:
        from planner.planning.solver.bottleneck import stagewise  # few questions come here

        solution = stagewise(problem, _one_stage, gap=gap, cutoff=cutoff)
    if solution is not None:
        return solution
    repairs = Repairs(np.zeros(len(problem.rows)), [], gap, cutoff)
    solution, bound = _of_counted_stages(problem, repairs) if counted \
        else _repaired(problem, repairs)
    if not solution.found:
        return solution
    if solution.value > cutoff + 1e-9 * abs(cutoff):
        # A better one may have been cut with what is above the cutoff: it is no optimum.
        return replace(solution, status=BEATEN, value=np.inf, bound=np.inf)
    left = (solution.value - bound) / abs(solution.value) if solution.value else 0.0
    return replace(solution, bound=bound, gap=left)


def _one_stage(problem: Problem, cutoff: float) -> Solution:
    """The problem of one stage, within STAGE_NODES: what is left open then is between value and
    bound."""
    solution, bound = _repaired(problem, Repairs(np.zeros(len(problem.rows)), [], STAGES_GAP,
                                                 cutoff, STAGE_NODES))
    return replace(solution, bound=bound) if solution.found else solution


def _repaired(problem: Problem, repairs: Repairs) -> tuple[Solution, float]:
    """(a solution within every limit, a bound that holds for all); ``repairs`` is filled."""
    single = bool((problem.multiplicity == 1).all())
    bound = np.inf
    for attempt in range(_MAX_REPAIRS):
        solution = run(problem, repairs)
        if not repairs.tighten.any():
            bound = solution.bound
        broken = violation(problem, solution.counts) if solution.found else None
        if broken is None:
            return solution, bound
        if single and attempt < _MAX_CUTS:
            repairs.cuts.append(solution.counts)
        else:
            repairs.tighten[[row is broken for row in problem.rows]] += 1e-9
    return replace(solution, status=UNPROVED, value=np.inf, bound=bound), bound


def _of_counted_stages(problem: Problem, repairs: Repairs) -> tuple[Solution, float]:
    """:func:`_repaired`, after the mean of all stages: where that is infeasible or beaten so is the
    slowest, and else nothing worse than what it found need be looked for."""
    mean = of_all_stages(problem)
    easier, bound = _repaired(mean, Repairs(np.zeros(len(mean.rows)), [], repairs.gap,
                                            repairs.cutoff))
    if not easier.found:
        return easier, bound
    known = objective_of(problem, easier.counts)
    solution, bound = _repaired(problem, replace(repairs, cutoff=min(repairs.cutoff, known)))
    if solution.found or known > repairs.cutoff:
        return solution, bound
    if solution.status == UNPROVED:
        return replace(easier, status=STOPPED, value=known), max(bound, easier.bound)
    return replace(easier, value=known, bound=known, gap=0.0), known
