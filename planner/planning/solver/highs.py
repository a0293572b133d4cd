"""One run of HiGHS on a problem: its options, its matrix, what its status means.

One thread, presolve off, a limit of nodes and of seconds; the banner that its C code prints is kept
off stdout.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import SolverError
from planner.base.records import cached_record
from planner.planning.solver.problem import (
    BEATEN,
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
)

Int = NDArray[np.int64]
GAP = 1e-9
MOST_NODES = 50_000
"""Nodes of a search tree. No question asked so far took 1,000; one that takes these is answered by
the best assignment met, with its gap."""
MOST_SECONDS = 600.0
"""A guard for a run that makes no nodes: simplex was seen to go round without end."""
# The problems are tiny with a tight relaxation: primal heuristics cost more than they save.
OPTIONS: dict[str, object] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "mip_rel_gap": GAP,
    "mip_abs_gap": 1e-12,
    "mip_feasibility_tolerance": 1e-9,
    "mip_max_nodes": MOST_NODES,
    "time_limit": MOST_SECONDS,
    # Seen never to end, beside a column of the excess and without one; and little is to be removed.
    "presolve": "off",
    # Costs are scaled to 1: with the default of 1e-7 a bound may miss the optimum by as much.
    "dual_feasibility_tolerance": 1e-10,
    "primal_feasibility_tolerance": 1e-9,
    "mip_heuristic_effort": 0.0,
    "mip_heuristic_run_feasibility_jump": False,
    # Problems inside the problem: at these tolerances their simplex was seen to go round for ever.
    "mip_heuristic_run_rins": False,
    "mip_heuristic_run_rens": False,
    "mip_heuristic_run_root_reduced_cost": False,
}
EFFORT = 0.3
"""Where stages share one loss and count their layers, the relaxation is far from any assignment."""
BESIDE: dict[str, object] = {
    "mip_heuristic_effort": 0.2,
    "mip_heuristic_run_rins": True,
    "mip_heuristic_run_rens": True,
    "dual_feasibility_tolerance": 1e-7,
}
"""Hundreds of layers that each decide, to a wide gap: without problems inside the problem a good
assignment is met after minutes, and with the dual tolerance above these do not end."""
LIMITS = ("kSolutionLimit", "kTimeLimit", "kIterationLimit", "kInterrupt", "kHighsInterrupt")
EXCLUDED = ("kInfeasible", "kUnboundedOrInfeasible", "kObjectiveBound")


@cached_record
class Repairs:
    """What keeps slips out: a share of each limit taken off [rows], assignments cut off; the
    relative gap to prove, the objective from which nothing is looked for, the most nodes of the
    search tree, and whether good assignments are looked for beside it (see BESIDE)."""

    tighten: Array
    cuts: list[Int]
    gap: float = GAP
    cutoff: float = np.inf
    nodes: int = MOST_NODES
    beside: bool = False


@contextlib.contextmanager
def stdout_silenced() -> Iterator[None]:
    """Send file descriptor 1 to the null device for the duration. It belongs to the whole process:
    what another thread prints meanwhile is lost, and two at once would not give it back."""
    if sys.stdout is not None:  # as it is where no console is, under pythonw
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


_first = threading.Lock()


@cache
def _banner_kept() -> None:
    """Make the first instance of this process, with which HiGHS prints its banner; later ones and
    their runs print nothing."""
    import highspy

    with stdout_silenced():
        highspy.Highs()  # type: ignore[no-untyped-call]


def run(problem: Problem, repairs: Repairs) -> Solution:
    """The optimum of ``problem`` with its ``repairs``, proved to their gap, unless it is above
    their cutoff.

    Raises:
        SolverError: HiGHS ended otherwise than with an answer, a proof that there is none, or at
            one of its limits.
    """
    if not problem.legal.any(axis=1).all():
        return Solution(INFEASIBLE, np.zeros(problem.legal.shape, np.int64), np.inf, np.inf, 0.0)
    options = OPTIONS | {"mip_rel_gap": repairs.gap, "mip_max_nodes": repairs.nodes}
    if is_minimax(problem) and (problem.multiplicity > 1).any():
        options["mip_heuristic_effort"] = EFFORT
    if repairs.beside:
        options |= BESIDE
    scale = scale_of(problem)
    if np.isfinite(repairs.cutoff):
        options["objective_bound"] = (repairs.cutoff - problem.constant) / scale + 1e-9
    solver = run_highs(model_of(problem, repairs, scale, integral=True), options)
    return _solution(problem, solver, scale, "objective_bound" in options)


def scale_of(problem: Problem) -> float:
    """The size of the objective's coefficients, to which they and the excess are scaled."""
    return float(np.abs(problem.objective[problem.legal]).max(initial=0.0)) or 1.0


def run_highs(model: Any, options: dict[str, object]) -> Any:
    """HiGHS after its run on ``model``.

    Raises:
        SolverError: HiGHS reported an error.
    """
    import highspy

    with _first:
        _banner_kept()
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in options.items():
        if solver.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise RuntimeError(f"HiGHS does not know the option {name}")
    solver.passModel(model)
    if solver.run() == highspy.HighsStatus.kError:
        raise SolverError("the solver HiGHS reported an error", hint=SolverError.NARROWER)
    return solver


def model_of(problem: Problem, repairs: Repairs, scale: float, *, integral: bool) -> Any:
    """``problem`` as HiGHS reads it, a column a legal choice; ``integral``: in whole layers."""
    import highspy

    decisions, choices = np.nonzero(problem.legal)
    rows, lower, upper = _matrix(problem, decisions, choices, repairs, scale)
    above = [1.0] if is_minimax(problem) else []  # the cost of the excess
    model = highspy.HighsLp()
    model.num_col_ = len(decisions) + len(above)
    model.num_row_ = len(upper)
    model.col_cost_ = np.concatenate([problem.objective[decisions, choices] / scale, above])
    model.col_lower_ = np.zeros(model.num_col_)
    layers = problem.multiplicity[decisions].astype(np.float64)
    model.col_upper_ = np.concatenate([layers, [np.inf] * len(above)])
    model.row_lower_ = lower
    model.row_upper_ = upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = rows
    if integral:
        model.integrality_ = [highspy.HighsVarType.kInteger] * len(decisions) + [
            highspy.HighsVarType.kContinuous
        ] * len(above)
    return model


def _matrix(
    problem: Problem,
    decisions: Int,
    choices: Int,
    repairs: Repairs,
    scale: float,
) -> tuple[tuple[NDArray[np.int32], NDArray[np.int32], Array], Array, Array]:
    """Row-wise sparse matrix with each limit scaled to 1, and the row bounds; the last column is
    the excess of slower stages, where the objective has any."""
    lines: list[tuple[Int, Array, float, float]] = []
    for d in range(problem.legal.shape[0]):
        own = np.nonzero(decisions == d)[0]
        layers = float(problem.multiplicity[d])
        lines.append((own, np.ones(len(own)), layers, layers))
    every, above, free = np.arange(len(decisions)), np.arange(len(decisions) + 1), -np.inf
    for row, less in zip(problem.rows, repairs.tighten, strict=True):
        used = row.coefficients[decisions, choices]
        if row.name == PACE:
            lines.append((above, np.append(used / scale, -1.0), free, row.limit / scale))
        else:
            size = abs(row.limit) or 1.0
            lines.append((every, used / size, free, row.limit / size - less))
    lines += [
        (every, counts[decisions, choices].astype(np.float64), free, float(counts.sum() - 1))
        for counts in repairs.cuts
    ]
    starts = np.concatenate([[0], np.cumsum([len(i) for i, *_ in lines])]).astype(np.int32)
    matrix = (
        starts,
        np.concatenate([i for i, *_ in lines]).astype(np.int32),
        np.concatenate([v for _, v, *_ in lines]),
    )
    return matrix, np.array([line[2] for line in lines]), np.array([line[3] for line in lines])


def _solution(problem: Problem, solver: Any, scale: float, cut: bool) -> Solution:
    """What the run says of ``problem``; ``cut``: nothing above a cutoff was looked for."""
    import highspy

    counts = np.zeros(problem.legal.shape, dtype=np.int64)
    status, info = solver.getModelStatus().name, solver.getInfo()
    if status in EXCLUDED:
        return Solution(BEATEN if cut else INFEASIBLE, counts, np.inf, np.inf, 0.0)
    if status != "kOptimal" and status not in LIMITS:
        raise SolverError(f"the solver HiGHS ended with {status}", hint=SolverError.NARROWER)
    least = float(info.mip_dual_bound) * scale + problem.constant
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return Solution(UNPROVED, counts, np.inf, least, np.inf)
    values = np.array(solver.getSolution().col_value)
    decisions, choices = np.nonzero(problem.legal)
    counts[decisions, choices] = np.rint(values[: len(decisions)]).astype(np.int64)
    value = objective_of(problem, counts)
    bound = min(value, least)
    gap = (value - bound) / abs(value) if value else 0.0
    return Solution(OPTIMAL if status == "kOptimal" else STOPPED, counts, value, bound, gap)
