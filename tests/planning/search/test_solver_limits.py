"""HiGHS never runs without end: what it met by its limit is told with its gap, or refused."""

import numpy as np
import pytest

from planner.base.errors import SolverError
from planner.planning.solver import highs, solve
from planner.planning.solver.problem import (
    INFEASIBLE,
    OPTIMAL,
    STOPPED,
    UNPROVED,
    Problem,
    Row,
    proved,
    violation,
)
from tests.support import theory


def knapsacks(seed: int, limits: int = 4, decisions: int = 24) -> Problem:
    """Limits that all pull: the relaxation is far from every assignment."""
    rng = np.random.default_rng(seed)
    shape = (decisions, 3)
    rows = tuple(
        Row(
            f"limit {r}",
            (use := rng.integers(1, 1000, shape).astype(float)),
            float(use.mean(axis=1).sum()),
        )
        for r in range(limits)
    )
    return Problem(
        rng.integers(1, 1000, shape).astype(float),
        0.0,
        np.ones(shape, dtype=bool),
        np.ones(decisions, dtype=np.int64),
        rows,
    )


def of_nodes(problem: Problem, nodes: int) -> highs.Solution:
    return highs.run(problem, highs.Repairs(np.zeros(len(problem.rows)), [], nodes=nodes))


def test_a_limit_of_nodes_leaves_a_gap_that_holds() -> None:
    seen = set()
    for seed in range(6):
        problem = knapsacks(seed)
        best = solve.solve(problem)
        assert best.status == OPTIMAL
        for nodes in (1, 20, 100):
            found = of_nodes(problem, nodes)
            seen.add(found.status)
            assert found.bound <= best.value * (1 + 1e-9)
            assert proved(found, np.inf) == found.bound
            if found.status == STOPPED:
                assert found.has_assignment
                assert violation(problem, found.counts) is None
                assert best.value <= found.value
                assert found.gap == pytest.approx((found.value - found.bound) / found.value)
    assert {UNPROVED, STOPPED} & seen
    assert seen <= {UNPROVED, STOPPED, OPTIMAL}


def test_what_no_limit_reached_is_a_proof() -> None:
    problem = knapsacks(1)
    assert of_nodes(problem, highs.MOST_NODES).status == OPTIMAL
    tight = Problem(
        problem.objective,
        0.0,
        problem.legal,
        problem.multiplicity,
        (*problem.rows, Row("none", problem.rows[0].coefficients, 1.0)),
    )
    assert of_nodes(tight, highs.MOST_NODES).status == INFEASIBLE


def test_presolve_is_off_and_every_run_is_limited() -> None:
    assert highs.OPTIONS["presolve"] == "off"
    assert highs.OPTIONS["mip_max_nodes"] == highs.MOST_NODES
    assert highs.OPTIONS["time_limit"] == highs.MOST_SECONDS


def test_a_solver_that_answers_nothing_is_an_error_with_the_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(solve, "enumerate_choices", lambda problem, cutoff: None)
    monkeypatch.setitem(highs.OPTIONS, "time_limit", 0.0)
    with pytest.raises(SolverError) as told:
        theory.plan("llama-3.1-8b", "l40s", devices=1, tpot_seconds=0.05)
    for part in ("llama-3.1-8b l40s --tp 1", "--batch", "--tpot-ms 50", "--objective throughput"):
        assert part in told.value.message
    assert "--batch" in told.value.hint


def test_a_status_that_is_no_answer_is_not_taken_for_infeasible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two threads asked for where the process has one: HiGHS reports an error."""
    problem = knapsacks(2)
    assert of_nodes(problem, 1000).status in (OPTIMAL, STOPPED)
    monkeypatch.setitem(highs.OPTIONS, "threads", 2)
    with pytest.raises(SolverError, match="HiGHS"):
        of_nodes(problem, 1000)


def test_a_plan_that_the_solver_left_open_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every candidate had been stopped: the gap, the status and the reason are told."""
    whole = solve.solve

    def stopped(problem: Problem, **asked: object) -> highs.Solution:
        found = whole(problem, **asked)  # type: ignore[arg-type]
        if not found.has_assignment:
            return found
        return highs.Solution(STOPPED, found.counts, found.value, found.value * 0.97, 0.03)

    monkeypatch.setattr("planner.planning.search.first_token.solve", stopped)
    plan = theory.plan("llama-3.2-1b", "l40s", devices=1, batch=8)
    assert (plan.solver.status, plan.solver.proved) == (STOPPED, False)
    assert plan.solver.gap == pytest.approx(0.03)
    (note,) = (a for a in plan.assumptions if a.key == "solver")
    assert "within 0.03 of the bound" in note.value
    assert "within 3.0% of the optimum" in " ".join(str(plan).split())
