"""Polishing: within all limits, never below the optimum, and often it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from planning.solver.test_narrowing import optimum, problems

from planner.planning.solver.duals import improved_counts, linear_relaxation
from planner.planning.solver.problem import Problem, Row, objective_of, violation
from planner.planning.solver.solve import bound_of, solve


@settings(max_examples=100)
@given(problems())
def test_what_is_met_keeps_all_limits_and_is_no_better_than_the_optimum(problem: Problem) -> None:
    start = linear_relaxation(problem)
    counts = None if start is None else improved_counts(problem, start)
    if counts is None:
        return
    assert violation(problem, counts) is None
    assert (counts.sum(axis=1) == 1).all()
    assert not counts[~problem.legal].any()
    best = optimum(problem)
    assert objective_of(problem, counts) >= best - 1e-9 * abs(best)


@settings(max_examples=100)
@given(problems(), st.floats(-0.5, 1.0))
def test_a_bound_is_never_above_the_optimum_that_is_looked_for(problem: Problem, by: float) -> None:
    best = optimum(problem)
    cutoff = best + by if np.isfinite(best) else np.inf
    if best <= cutoff and np.isfinite(best):
        assert bound_of(problem, cutoff=cutoff) <= best + 1e-7


def test_two_limits_that_pull_apart_are_met_by_a_pair_of_changes() -> None:
    use = np.array([[4.0, 1.0], [1.0, 4.0]])
    problem = Problem(
        np.array([[1.0, 2.0], [2.0, 1.0]]),
        0.0,
        np.ones((2, 2), dtype=bool),
        np.ones(2, dtype=np.int64),
        (Row("a", use, 5.0), Row("b", 5.0 - use, 5.0)),
    )
    found = solve(problem)
    start = linear_relaxation(problem)
    assert start is not None
    counts = improved_counts(problem, start)
    assert counts is not None
    assert objective_of(problem, counts) == found.value == optimum(problem)
