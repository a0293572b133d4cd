"""Narrowing against enumeration: the same optimum where there is one within the cutoff."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.planning.solver.problem import PACE, Problem, Row, objective_of, violation
from planner.planning.solver.solve import reduced_problem, solve


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    decisions, choices = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (decisions, choices)
    legal = rng.random(shape) < 0.8
    legal[np.arange(decisions), rng.integers(0, choices, decisions)] = True
    rows = []
    for r in range(draw(st.integers(0, 3))):
        use = np.where(legal, rng.integers(0, 1000, shape), 0)
        limit = int(use.max(axis=1).sum() * draw(st.floats(0.05, 1.1)))
        rows.append(Row(f"r{r}", use.astype(float), float(limit), use, limit))
    for _ in range(draw(st.integers(0, 2))):
        rows.append(Row(PACE, rng.normal(size=shape), float(rng.normal())))
    return Problem(
        rng.random(shape),
        draw(st.sampled_from([0.0, 2.5])),
        legal,
        np.ones(decisions, dtype=np.int64),
        tuple(rows),
    )


def optimum(problem: Problem) -> float:
    """The least objective of all assignments that break no limit; inf where there is none."""
    best = float("inf")
    for picks in product(*(np.nonzero(row)[0] for row in problem.legal)):
        counts = np.zeros(problem.legal.shape, dtype=np.int64)
        counts[np.arange(len(picks)), picks] = 1
        if violation(problem, counts) is None:
            best = min(best, objective_of(problem, counts))
    return best


@settings(max_examples=150)
@given(problems())
def test_the_optimum_stays_without_a_cutoff(problem: Problem) -> None:
    fewer = reduced_problem(problem)
    best = optimum(problem)
    if fewer is None:
        assert best == float("inf")
        return
    assert not (fewer.legal & ~problem.legal).any()
    assert optimum(fewer) == pytest.approx(best, rel=1e-12)
    # Limits that were left out are kept by all that is left.
    assert optimum(replace(fewer, rows=problem.rows)) == pytest.approx(best, rel=1e-12)


@settings(max_examples=150)
@given(problems(), st.floats(-0.5, 1.0))
def test_an_optimum_within_the_cutoff_stays(problem: Problem, by: float) -> None:
    best = optimum(problem)
    cutoff = best + by if np.isfinite(best) else 1.0
    fewer = reduced_problem(problem, cutoff)
    if fewer is None:
        assert best > cutoff
    elif best <= cutoff:
        assert optimum(fewer) == pytest.approx(best, rel=1e-12)
    found = solve(problem, cutoff=cutoff)
    if best < cutoff - 1e-6:
        assert found.value == pytest.approx(best, rel=1e-9)
    elif best > cutoff + 1e-6:
        assert not found.has_assignment
        assert found.status == "beaten" or best == float("inf")


def test_a_cutoff_excludes_what_is_dearer_beside_the_least_of_the_others() -> None:
    problem = Problem(
        np.array([[1.0, 5.0], [1.0, 2.0]]),
        10.0,
        np.ones((2, 2), dtype=bool),
        np.ones(2, dtype=np.int64),
        (Row("memory", np.array([[9.0, 1.0], [9.0, 1.0]]), 12.0),),
    )
    fewer = reduced_problem(problem, 15.0)
    assert fewer is not None
    assert fewer.legal.tolist() == [[True, False], [False, True]]
    assert fewer.rows == ()
    assert reduced_problem(problem, 12.5) is None
