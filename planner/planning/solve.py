"""The exact solver: HiGHS through highspy, one thread, its C-level printing kept off stdout."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.planning.listing import listed
from planner.planning.problem import (
    BEATEN,
    PACE,
    Array,
    Problem,
    Solution,
    objective_of,
    of_all_stages,
    violation,
)
from planner.planning.stagewise import stagewise
from planner.records import cached_record

GAP = 1e-9
# Hundreds of layers that all differ: proving the last digits takes minutes, and losses of single
# layers are known to tens of percent. The gap that is left is in the plan.
LAYERS_GAP = 1e-4
STAGES_GAP = 5e-7
"""Of pipelines whose stages share a loss and count their layers, which are searched by pace
(:mod:`planner.planning.stagewise`). The gap that is left is in the plan."""
NODES = 400
"""Nodes of the search tree of one stage at one pace: where its limits meet, the last digits of a
loss can take thousands."""
LOOSE = 1e-3
"""The gap from which HiGHS is quicker than a listing, which proves every digit or gives up."""
# The problems are tiny with a tight relaxation: primal heuristics cost more than they save.
OPTIONS: dict[str, object] = {
    "output_flag": False, "threads": 1, "random_seed": 0, "mip_rel_gap": GAP,
    "mip_abs_gap": 1e-12, "mip_feasibility_tolerance": 1e-9,
    # Costs are scaled to 1: with the default of 1e-7 a bound may miss the optimum by as much.
    "dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-9,
    "mip_heuristic_effort": 0.0, "mip_heuristic_run_feasibility_jump": False,
    # Problems inside the problem: at these tolerances their simplex was seen to go round for ever.
    "mip_heuristic_run_rins": False, "mip_heuristic_run_rens": False,
    "mip_heuristic_run_root_reduced_cost": False,
}
EFFORT = 0.3
"""Where stages share one loss and count their layers, the relaxation is far from any assignment."""
_MAX_REPAIRS = 20
_MAX_CUTS = 10


@contextlib.contextmanager
def stdout_kept() -> Iterator[None]:
    """Send file descriptor 1 to the null device for the duration: HiGHS prints a banner from C."""
    sys.stdout.flush()
    try:
        saved = os.dup(1)
    except OSError:
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(null)


def solve(problem: Problem, *, tie_break: Array | None = None, gap: float = GAP,
          cutoff: float = np.inf) -> Solution:
    """Prove the optimum of ``problem``, to a relative ``gap``: by :mod:`planner.planning.listing`
    where one limit binds, decisions are few and ``gap`` is below LOOSE, else by HiGHS.

    Budgets are checked again in integers. Where the solver's tolerance let an assignment slip over
    a limit, that very assignment is cut off and the problem solved again; where layers are counted,
    or slips do not end, the limit is tightened instead and the bound stays that of the untightened
    problem. Among equal optima the one with the least ``tie_break`` [D, S] wins. An optimum above
    ``cutoff`` need not be looked for: the status is ``beaten`` where it was not. Where layers are
    counted and the pace of a pipeline is the objective, the mean of its stages, which is less, says
    so sooner.
    """
    exact = gap < LOOSE and (problem.multiplicity == 1).all()
    solution = listed(problem, cutoff) if exact else None
    if solution is not None and (tie_break is None or not solution.found):
        return solution
    with stdout_kept():
        if solution is None and not exact and is_paced(problem):
            staged = stagewise(problem, _one_stage, gap=gap, cutoff=cutoff)
            if staged is not None and (tie_break is None or not staged.found):
                return staged
        repairs = Repairs(np.zeros(len(problem.rows)), [], gap, cutoff)
        if solution is None:
            solution, bound = _of_counted_stages(problem, repairs) \
                if not exact and is_paced(problem) else _repaired(problem, repairs)
            if not solution.found:
                return solution
            if solution.value > cutoff + 1e-9 * abs(cutoff):
                # A better one may have been cut with what is above the cutoff: it is no optimum.
                return replace(solution, status=BEATEN, value=np.inf, bound=np.inf)
            left = (solution.value - bound) / abs(solution.value) if solution.value else 0.0
            solution = replace(solution, bound=bound, gap=left)
        if tie_break is not None:
            second = _run(problem, tie_break, repairs, solution.value - problem.constant)
            if second.found and violation(problem, second.counts) is None:
                value = objective_of(problem, second.counts)
                solution = replace(solution, counts=second.counts, value=value)
        return solution


def _one_stage(problem: Problem, cutoff: float) -> Solution:
    """The problem of one stage, within NODES: what is left open then is between value and bound."""
    solution, bound = _repaired(problem, Repairs(np.zeros(len(problem.rows)), [], STAGES_GAP,
                                                 cutoff, NODES))
    return replace(solution, bound=bound) if solution.found else solution


@cached_record
class Repairs:
    """What keeps slips out: a share of each limit taken off [rows], assignments cut off; the
    relative gap to prove, the objective from which nothing is looked for, and the most nodes of the
    search tree (0: no limit)."""

    tighten: Array
    cuts: list[NDArray[np.int64]]
    gap: float = GAP
    cutoff: float = np.inf
    nodes: int = 0


def _repaired(problem: Problem, repairs: Repairs) -> tuple[Solution, float]:
    """(a solution within every limit, a bound that holds for all); ``repairs`` is filled."""
    single = bool((problem.multiplicity == 1).all())
    bound = np.inf
    for attempt in range(_MAX_REPAIRS):
        solution = _run(problem, problem.objective, repairs, None)
        if not repairs.tighten.any():
            bound = solution.bound
        broken = violation(problem, solution.counts) if solution.found else None
        if broken is None:
            return solution, bound
        if single and attempt < _MAX_CUTS:
            repairs.cuts.append(solution.counts)
        else:
            repairs.tighten[[row is broken for row in problem.rows]] += 1e-9
    return replace(solution, status="unproved"), bound


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
    if not solution.found and known <= repairs.cutoff:
        return replace(easier, value=known, bound=known, gap=0.0), known
    return solution, bound


def _run(problem: Problem, objective: Array, repairs: Repairs, cap: float | None) -> Solution:
    import highspy

    decisions, choices = np.nonzero(problem.legal)
    empty = np.zeros(problem.legal.shape, dtype=np.int64)
    if not problem.legal.any(axis=1).all():
        return Solution("infeasible", empty, np.inf, np.inf, 0.0)
    cost = objective[decisions, choices]
    scale = float(np.abs(cost).max()) or 1.0
    rows, lower, upper = _matrix(problem, decisions, choices, repairs, cap)
    above = [float(cap is None)] if is_paced(problem) else []  # the cost of the excess
    model = highspy.HighsLp()
    model.num_col_ = len(decisions) + len(above)
    model.num_row_ = len(upper)
    model.col_cost_ = np.concatenate([cost / scale, above])
    model.col_lower_ = np.zeros(model.num_col_)
    model.col_upper_ = np.concatenate([problem.multiplicity[decisions].astype(np.float64),
                                       [np.inf] * len(above)])
    model.row_lower_ = lower
    model.row_upper_ = upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    starts, index, value = rows
    model.a_matrix_.start_ = starts
    model.a_matrix_.index_ = index
    model.a_matrix_.value_ = value
    model.integrality_ = [highspy.HighsVarType.kInteger] * len(decisions) \
        + [highspy.HighsVarType.kContinuous] * len(above)
    options = OPTIONS | {"mip_rel_gap": repairs.gap}
    if above:  # beside the column of the excess, presolve was seen never to end
        options["presolve"] = "off"
    if above and (problem.multiplicity > 1).any():
        options["mip_heuristic_effort"] = EFFORT
    if repairs.nodes:
        options["mip_max_nodes"] = repairs.nodes
    if cap is None and np.isfinite(repairs.cutoff):
        options["objective_bound"] = (repairs.cutoff - problem.constant) / scale + 1e-9
    return _optimise(highspy, model, problem, decisions, choices, scale, cap is None, options)


def _matrix(problem: Problem, decisions: NDArray[np.int64], choices: NDArray[np.int64],
            repairs: Repairs, cap: float | None,
            ) -> tuple[tuple[NDArray[np.int32], NDArray[np.int32], Array], Array, Array]:
    """Row-wise sparse matrix with each limit scaled to 1, and the row bounds; the last column is
    the excess of slower stages, where the objective has any."""
    lines: list[tuple[NDArray[np.int64], Array, float, float]] = []
    for d in range(problem.legal.shape[0]):
        own = np.nonzero(decisions == d)[0]
        layers = float(problem.multiplicity[d])
        lines.append((own, np.ones(len(own)), layers, layers))
    every, free = np.arange(len(decisions)), -np.inf
    above = np.arange(len(decisions) + 1) if is_paced(problem) else every
    unit = _unit(problem)
    for row, less in zip(problem.rows, repairs.tighten, strict=True):
        used = row.coefficients[decisions, choices]
        if row.name == PACE:
            lines.append((above, np.append(used / unit, -1.0), free, row.limit / unit))
        else:
            size = abs(row.limit) or 1.0
            lines.append((every, used / size, free, row.limit / size - less))
    lines += [(every, counts[decisions, choices].astype(np.float64), free,
               float(counts.sum() - 1)) for counts in repairs.cuts]
    if cap is not None:
        size = abs(cap) or 1.0
        cost = problem.objective[decisions, choices] / size
        lines.append((above, cost if above is every else np.append(cost, unit / size), free,
                      cap / size + 1e-9))
    starts = np.concatenate([[0], np.cumsum([len(i) for i, *_ in lines])]).astype(np.int32)
    matrix = (starts, np.concatenate([i for i, *_ in lines]).astype(np.int32),
              np.concatenate([v for _, v, *_ in lines]))
    return matrix, np.array([one[2] for one in lines]), np.array([one[3] for one in lines])


def is_paced(problem: Problem) -> bool:
    """Whether the objective is the largest of several sums: a column holds the excess."""
    return any(row.name == PACE for row in problem.rows)


def _unit(problem: Problem) -> float:
    """The size of the objective's coefficients, to which they and the excess are scaled."""
    return float(np.abs(problem.objective[problem.legal]).max(initial=0.0)) or 1.0


def _optimise(highspy: Any, model: Any, problem: Problem, decisions: NDArray[np.int64],
              choices: NDArray[np.int64], scale: float, primary: bool,
              options: dict[str, object]) -> Solution:
    solver = highspy.Highs()
    for name, value in options.items():
        if solver.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise RuntimeError(f"HiGHS does not know the option {name}")
    solver.passModel(model)
    solver.run()
    counts = np.zeros(problem.legal.shape, dtype=np.int64)
    status, info = solver.getModelStatus(), solver.getInfo()
    stopped = status == highspy.HighsModelStatus.kSolutionLimit
    if stopped and info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        least = float(info.mip_dual_bound) * scale + problem.constant
        return Solution("unproved", counts, np.inf, least, np.inf)
    if not stopped and status != highspy.HighsModelStatus.kOptimal:
        if "objective_bound" in options:
            return Solution(BEATEN, counts, np.inf, np.inf, 0.0)
        return Solution("infeasible", counts, np.inf, np.inf, 0.0)
    values = np.array(solver.getSolution().col_value)
    counts[decisions, choices] = np.rint(values[:len(decisions)]).astype(np.int64)
    value = objective_of(problem, counts)
    bound = min(value, float(info.mip_dual_bound) * scale + problem.constant) if primary else value
    gap = (value - bound) / abs(value) if value else 0.0
    return Solution("optimal", counts, value, bound, gap)
