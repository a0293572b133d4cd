"""The proved optimum of a problem: by listing where one limit binds, else by HiGHS, with limits
checked again in integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.planning.solver.duals import improved_counts, linear_relaxation
from planner.planning.solver.enumeration import enumerate_choices, exceeds_enumeration
from planner.planning.solver.highs import GAP, MOST_NODES, Repairs, run
from planner.planning.solver.problem import (
    BEATEN,
    EQUAL,
    INFEASIBLE,
    OPTIMAL,
    PACE,
    STOPPED,
    UNPROVED,
    Array,
    Problem,
    Solution,
    is_minimax,
    objective_of,
    of_all_stages,
    proved,
    tolerant_limit,
    violation,
    without_dominated,
)

# Hundreds of layers that all differ: proving the last digits takes minutes, and losses of single
# layers are known to tens of percent. The gap that is left is in the plan.
LAYERS_GAP = 1e-4
LAYERS_NODES = 300
"""Nodes of the search tree of such layers: where three limits meet, halving a gap of a thousandth
takes minutes. The gap that is left is in the plan."""
STAGES_GAP = 5e-7
"""Of pipelines whose stages share a loss and count their layers, which are searched by pace
(:mod:`planner.planning.solver.bottleneck`). The gap that is left is in the plan."""
STAGE_NODES = 400
"""Nodes of the search tree of one stage at one pace: where its limits meet, the last digits of a
loss can take thousands."""
LOOSE = 1e-3
"""The gap from which HiGHS is quicker than a listing, which proves every digit or gives up."""
SLACK = 1e-9
"""Share of a limit by which a sum may exceed it here: rounding must exclude nothing."""
ROUNDS = 6
_MAX_REPAIRS = 20
_MAX_CUTS = 10


def solve(problem: Problem, *, gap: float = GAP, cutoff: float = np.inf) -> Solution:
    """Prove the optimum of ``problem``, to a relative ``gap``: by
    :mod:`planner.planning.solver.enumeration` where one limit binds, decisions are few and ``gap``
    is below LOOSE, else by HiGHS; what no answer can take is left out first
    (:mod:`planner.planning.solver.solve`). Where every decision takes one choice and ``gap`` is
    above EQUAL, HiGHS ends at LAYERS_NODES: the status is ``stopped`` and the gap what is left.

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
    single = bool((problem.multiplicity == 1).all())
    if single:
        return (_narrowly if gap <= EQUAL else _layered)(problem, gap, cutoff)
    counted, solution = is_minimax(problem), None
    if counted:
        from planner.planning.solver.bottleneck import stagewise  # few questions come here

        solution = stagewise(problem, _one_stage, gap=gap, cutoff=cutoff)
    if solution is not None:
        return solution
    return _by_highs(problem, gap, cutoff, counted=counted)


def _by_highs(problem: Problem, gap: float, cutoff: float, *, counted: bool) -> Solution:
    layered = gap > EQUAL and not counted and bool((problem.multiplicity == 1).all())
    repairs = Repairs(
        np.zeros(len(problem.rows)),
        [],
        gap,
        cutoff,
        LAYERS_NODES if layered else MOST_NODES,
        layered,
    )
    solution, bound = (
        _of_counted_stages(problem, repairs) if counted else _repaired(problem, repairs)
    )
    if not solution.has_assignment:
        return solution
    if solution.value > cutoff + SLACK * abs(cutoff):
        # A better one may have been cut with what is above the cutoff: it is no optimum.
        return replace(solution, status=BEATEN, value=np.inf, bound=np.inf)
    left = (solution.value - bound) / abs(solution.value) if solution.value else 0.0
    return replace(solution, bound=bound, gap=left)


def _narrowly(problem: Problem, gap: float, cutoff: float) -> Solution:
    """The optimum where every decision takes one choice: narrowed, listed, and where that says
    nothing searched by HiGHS below a good assignment near the relaxation's."""
    beaten = Solution(BEATEN, np.zeros(problem.legal.shape, np.int64), np.inf, np.inf, 0.0)
    fewer = reduced_problem(problem, cutoff)
    if fewer is None:
        return _none(problem, cutoff)
    solution = _only(fewer, cutoff) or enumerate_choices(fewer, cutoff)
    start = None if solution is not None else linear_relaxation(fewer)
    if start is None:  # the relaxation has no optimum: HiGHS says why
        return solution or _by_highs(fewer, gap, cutoff, counted=False)
    if start.value > cutoff + SLACK * abs(cutoff):
        return beaten
    counts = improved_counts(fewer, start)
    value = np.inf if counts is None else objective_of(fewer, counts)
    most = min(cutoff, value + SLACK * abs(value)) if counts is not None else cutoff
    spare = most - start.value + SLACK * abs(most) if np.isfinite(most) else np.inf
    least = reduced_problem(replace(fewer, legal=fewer.legal & (start.reduced <= spare)), most)
    solution = beaten if least is None else _by_highs(least, gap, most, counted=False)
    if counts is None or solution.has_assignment or value > cutoff:
        return solution
    if solution.status == UNPROVED:
        low = min(solution.bound, value)
        return Solution(STOPPED, counts, value, low, (value - low) / abs(value) if value else 0.0)
    return Solution(OPTIMAL, counts, value, value, 0.0)


def _layered(problem: Problem, gap: float, cutoff: float) -> Solution:
    """The optimum to a wider ``gap`` where every decision takes one choice: narrowed, listed below
    LOOSE, else searched by HiGHS within LAYERS_NODES."""
    fewer = reduced_problem(problem, cutoff)
    if fewer is None:
        return _none(problem, cutoff)
    solution = _only(fewer, cutoff) or (enumerate_choices(fewer, cutoff) if gap < LOOSE else None)
    return solution or _by_highs(fewer, gap, cutoff, counted=False)


def _none(problem: Problem, cutoff: float) -> Solution:
    """What a problem without an assignment within its limits and the ``cutoff`` is."""
    status = INFEASIBLE if not np.isfinite(cutoff) or exceeds_enumeration(problem) else BEATEN
    return Solution(status, np.zeros(problem.legal.shape, np.int64), np.inf, np.inf, 0.0)


def _only(problem: Problem, cutoff: float) -> Solution | None:
    """The one assignment of a narrowed problem; None where there are several, or where it breaks a
    limit or the cutoff, which is for the others to say."""
    if (problem.legal.sum(axis=1) != 1).any():
        return None
    counts = problem.legal.astype(np.int64)
    value = objective_of(problem, counts)
    if value > cutoff or violation(problem, counts) is not None:
        return None
    return Solution(OPTIMAL, counts, value, value, 0.0)


def bound_of(problem: Problem, *, gap: float = GAP, cutoff: float = np.inf) -> float:
    """A lower bound of the objective of every assignment within the limits, looked for up to
    ``cutoff``: of a listing, else of the linear relaxation, which takes a tenth of HiGHS's search;
    of :func:`solve` where layers are counted."""
    if not _narrows(problem, gap):
        return proved(solve(problem, gap=gap, cutoff=cutoff), cutoff)
    fewer = reduced_problem(problem, cutoff)
    if fewer is None:
        return np.inf
    solution = enumerate_choices(fewer, cutoff)
    if solution is not None:
        return proved(solution, cutoff)
    start = linear_relaxation(fewer)
    if start is None:
        return proved(_by_highs(fewer, gap, cutoff, counted=False), cutoff)
    return start.value


def _narrows(problem: Problem, gap: float) -> bool:
    """Whether every decision takes one choice and the last digits are proved."""
    return gap <= EQUAL and bool((problem.multiplicity == 1).all())


def _one_stage(problem: Problem, cutoff: float) -> Solution:
    """The problem of one stage, within STAGE_NODES: what is left open then is between value and
    bound."""
    solution, bound = _repaired(
        problem, Repairs(np.zeros(len(problem.rows)), [], STAGES_GAP, cutoff, STAGE_NODES)
    )
    return replace(solution, bound=bound) if solution.has_assignment else solution


def _repaired(problem: Problem, repairs: Repairs) -> tuple[Solution, float]:
    """(a solution within every limit, a bound that holds for all); ``repairs`` is filled."""
    single = bool((problem.multiplicity == 1).all())
    bound = np.inf
    for attempt in range(_MAX_REPAIRS):
        solution = run(problem, repairs)
        if not repairs.tighten.any():
            bound = solution.bound
        broken = violation(problem, solution.counts) if solution.has_assignment else None
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
    easier, bound = _repaired(
        mean, Repairs(np.zeros(len(mean.rows)), [], repairs.gap, repairs.cutoff)
    )
    if not easier.has_assignment:
        return easier, bound
    known = objective_of(problem, easier.counts)
    solution, bound = _repaired(problem, replace(repairs, cutoff=min(repairs.cutoff, known)))
    if solution.has_assignment or known > repairs.cutoff:
        return solution, bound
    if solution.status == UNPROVED:
        return replace(easier, status=STOPPED, value=known), max(bound, easier.bound)
    return replace(easier, value=known, bound=known, gap=0.0), known


def reduced_problem(problem: Problem, cutoff: float = np.inf) -> Problem | None:
    """``problem`` (every multiplicity 1) with fewer choices and rows and the same optimum, where
    that is at most ``cutoff``; None where no assignment is within the limits and the cutoff."""
    legal = (
        _able(problem.legal, *_sums(problem, cutoff)) if problem.legal.any(axis=1).all() else None
    )
    if legal is None:
        return None
    rows = tuple(
        row
        for row in problem.rows
        if row.name == PACE
        or np.where(legal, row.coefficients, -np.inf).max(axis=1).sum() > row.limit
    )
    fewer = replace(problem, legal=legal, rows=rows)
    return without_dominated(fewer, np.zeros(legal.shape))


def _sums(problem: Problem, cutoff: float) -> tuple[Array, Array]:
    """(coefficients [R, D, S], the most that their sum may be [R]) of all limits."""
    values = [problem.objective]
    limits = [cutoff - problem.constant]
    for row in problem.rows:
        paced = row.name == PACE
        values.append(problem.objective + row.coefficients if paced else row.coefficients)
        limits.append(cutoff - problem.constant + row.limit if paced else tolerant_limit(row))
    most = np.array(limits)
    kept = np.isfinite(most)
    size = np.maximum(np.abs(most), abs(cutoff) if np.isfinite(cutoff) else 0.0)
    return np.array(values)[kept], (most + SLACK * size)[kept]


def _able(legal: NDArray[np.bool_], values: Array, most: Array) -> NDArray[np.bool_] | None:
    """The choices that no sum excludes; None where a decision has none left."""
    for _ in range(ROUNDS):
        use = np.where(legal, values, np.inf)
        least = use.min(axis=2)
        spare = most - least.sum(axis=1)
        if (spare < 0).any():
            return None
        fewer = legal & (use - least[:, :, None] <= spare[:, None, None]).all(axis=0)
        if (fewer == legal).all():
            break
        legal = fewer
    return legal
