"""Listing against enumeration: the same optimum, the same verdict, or no answer at all."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.planning.solver import enumeration as listing
from planner.planning.solver.enumeration import enumerate_choices
from planner.planning.solver.problem import Problem, Row, objective_of, violation


@st.composite
def problems(draw: st.DrawFn, *, limits: int) -> Problem:
    decisions, choices = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (decisions, choices)
    legal = rng.random(shape) < 0.8
    legal[np.arange(decisions), rng.integers(0, choices, decisions)] = True
    whole = draw(st.booleans())
    rows = []
    for r in range(limits):
        use = np.where(legal, rng.integers(0, 10**6, shape), 0)
        least = int(np.where(legal, use, 2**40).min(axis=1).sum())
        limit = int(least + (int(use.max(axis=1).sum()) - least) * draw(st.floats(-0.1, 0.9)))
        rows.append(
            Row(f"r{r}", use.astype(float), float(limit), use, limit)
            if whole
            else Row(f"r{r}", use / 1e6, limit / 1e6)
        )
    objective = (
        rng.random(shape) if draw(st.booleans()) else rng.integers(0, 3, shape).astype(float)
    )
    return Problem(
        objective,
        draw(st.sampled_from([0.0, 2.5])),
        legal,
        np.ones(decisions, dtype=np.int64),
        tuple(rows),
    )


def optimum(problem: Problem) -> float:
    """The least objective of all assignments that break no limit."""
    best = float("inf")
    for picks in product(*(np.nonzero(row)[0] for row in problem.legal)):
        counts = np.zeros(problem.legal.shape, dtype=np.int64)
        counts[np.arange(len(picks)), picks] = 1
        if violation(problem, counts) is None:
            best = min(best, objective_of(problem, counts))
    return best


@settings(max_examples=80)
@given(problems(limits=1), st.floats(-0.5, 0.5))
def test_a_cutoff_leaves_the_optimum_or_says_that_it_is_above(problem: Problem, by: float) -> None:
    best = optimum(problem)
    if not np.isfinite(best):
        return
    found = enumerate_choices(problem, best + by)
    if found is None:
        return
    assert found.status == "beaten" or found.value == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert found.has_assignment or by < 1e-6


def agrees(problem: Problem) -> bool:
    """Whether there is an answer; asserts that it is right."""
    found = enumerate_choices(problem)
    if found is None:
        return False
    best = optimum(problem)
    if not found.has_assignment:
        assert best == float("inf")
        return True
    assert violation(problem, found.counts) is None
    assert (found.counts.sum(axis=1) == 1).all()
    assert not found.counts[~problem.legal].any()
    assert found.value == objective_of(problem, found.counts)
    assert found.value == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert found.bound == found.value
    return True


@settings(max_examples=150)
@given(problems(limits=1))
def test_one_limit_is_always_answered(problem: Problem) -> None:
    assert agrees(problem)


@settings(max_examples=100)
@given(problems(limits=3))
def test_several_limits_are_answered_rightly_or_not_at_all(problem: Problem) -> None:
    agrees(problem)


def test_too_many_states_are_left_to_the_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    use = rng.integers(1, 10**6, (12, 6))
    problem = Problem(
        rng.random(use.shape),
        0.0,
        np.ones(use.shape, dtype=bool),
        np.ones(12, dtype=np.int64),
        (Row("memory", use.astype(float), 4e6, use, 4_000_000),),
    )
    assert enumerate_choices(problem) is not None
    monkeypatch.setattr(listing, "MAX_STATES", 0)
    assert enumerate_choices(problem) is None
