"""The pace of the slowest pipeline stage as an objective: against enumeration, and full prices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.lookup import load_device, load_model
from planner.planning.price.price import price
from planner.planning.question.given_values import GivenValues
from planner.planning.question.resolve import build_question
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.formulate import bounds, score_scale
from planner.planning.search.spaces import grid_space
from planner.planning.solver.problem import (
    BEATEN,
    PACE,
    Problem,
    Row,
    Solution,
    objective_of,
    of_all_stages,
    violation,
    without_dominated,
)
from planner.planning.solver.solve import solve
from planner.planning.space.candidates import Space
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

from ..solver.test_solver_exact import assignments


@st.composite
def paced(draw: st.DrawFn, *, counted: bool) -> Problem:
    """Up to three stages: rows say by how much each is above the first."""
    decisions, choices = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (decisions, choices)
    legal = rng.random(shape) < 0.8
    legal[np.arange(decisions), rng.integers(0, choices, decisions)] = True
    multiplicity = rng.integers(1, 4 if counted else 2, decisions)
    stages = [np.where(legal, rng.random(shape), 0.0) for _ in range(draw(st.integers(2, 3)))]
    loss = np.where(legal, rng.random(shape), 0.0)
    room = float((loss.max(axis=1) * multiplicity).sum() * draw(st.floats(0.3, 1.0)))
    rows = [Row(PACE, other - stages[0], float(rng.normal())) for other in stages[1:]]
    return Problem(
        stages[0],
        draw(st.sampled_from([0.0, 3.5])),
        legal,
        multiplicity,
        (Row("max-loss", loss, room), *rows),
    )


def optimum(problem: Problem) -> float:
    return min(
        (
            objective_of(problem, counts)
            for counts in assignments(problem)
            if violation(problem, counts) is None
        ),
        default=float("inf"),
    )


def check(problem: Problem) -> None:
    best, found = optimum(problem), solve(problem)
    assert found.has_assignment == np.isfinite(best)
    if not found.has_assignment:
        return
    assert found.value == pytest.approx(best, rel=1e-7)
    assert found.bound <= best * (1 + 1e-7)
    assert violation(problem, found.counts) is None
    assert optimum(of_all_stages(problem)) <= best + 1e-9
    assert optimum(without_dominated(problem, problem.rows[0].coefficients)) == pytest.approx(
        best, rel=1e-12
    )
    assert solve(problem, cutoff=best * (1 + 1e-6)).value == pytest.approx(best, rel=1e-7)
    beaten = solve(problem, cutoff=best - 1e-3)
    assert beaten.status == BEATEN or beaten.value == pytest.approx(best, rel=1e-7)


@settings(max_examples=60)
@given(paced(counted=False))
def test_the_slowest_stage_is_minimised(problem: Problem) -> None:
    check(problem)


@settings(max_examples=40)
@given(paced(counted=True))
def test_the_slowest_stage_of_counted_layers_is_minimised(problem: Problem) -> None:
    check(problem)


def space_of(model: str, device: str, *, untie: bool = False) -> Space:
    question = build_question(
        load_model(model),
        load_device(device),
        GivenValues(devices=8, batch=64, untie=untie),
        None,
        uniform=None,
        given=None,
    )
    space = grid_space(build_model(question, load_prior()))
    assert space is not None
    return space


@pytest.mark.sample(1)
@pytest.mark.parametrize("untie", [False, True])
@pytest.mark.parametrize(
    ("model", "device"), [("deepseek-v3", "b200-sxm"), ("llama-3.1-8b", "h100-sxm")]
)
def test_the_objective_is_the_pace_that_is_priced(model: str, device: str, untie: bool) -> None:
    """For any choices: what the solver minimises is the slowest stage of the plan as it is priced;
    and the bounds that order candidates are below it."""
    space, rng = space_of(model, device, untie=untie), np.random.default_rng(5)
    lower, piped = bounds(space), 0
    for c in range(len(space)):
        one = candidate_problem(space, c)
        problem = one.problem
        counts = np.zeros(problem.legal.shape, dtype=np.int64)
        for d, legal in enumerate(problem.legal):
            for _ in range(int(problem.multiplicity[d])):
                counts[d, rng.choice(np.nonzero(legal)[0])] += 1
        segments = one.segments(Solution("optimal", counts, 0.0, 0.0, 0.0))
        tpot = price(space, c, segments).added
        assert one.tpot(counts) == pytest.approx(tpot, rel=1e-12)
        pace = tpot * float(score_scale(space)[c])
        assert objective_of(problem, counts) == pytest.approx(pace, rel=1e-9)
        if violation(problem, counts) is None:
            assert lower[c] <= pace * (1 + 1e-9)
        piped += space.pts.pp[c] > 1
    assert piped >= 3
