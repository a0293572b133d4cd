"""The search over paces against every assignment, and what it leaves to the solver."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.planning.solver.bottleneck import stagewise
from planner.planning.solver.problem import (
    BEATEN,
    PACE,
    Problem,
    Row,
    objective_of,
    of_all_stages,
    violation,
)
from planner.planning.solver.solve import solve

STAGES, EACH, CHOICES = 3, 2, 3
TIE = 1e-6


def made(
    seed: int,
    *,
    loss: float = 0.5,
    memory: float = 0.7,
    shared_again: bool = False,
) -> Problem:
    """Three stages of two decisions, with limits on memory of each and on loss of all."""
    rng = np.random.default_rng(seed)
    decisions = STAGES * EACH
    seconds = rng.uniform(1.0, 3.0, (decisions, CHOICES))
    lossy = np.sort(rng.uniform(0.0, 1.0, (decisions, CHOICES)))[:, ::-1].copy()
    order = np.argsort(seconds, axis=1)
    losses = np.empty_like(lossy)
    np.put_along_axis(losses, order, lossy, axis=1)  # the faster, the lossier
    size = rng.integers(1, 100, (decisions, CHOICES))
    legal = rng.random((decisions, CHOICES)) < 0.9
    legal[:, 0] = True
    layers = rng.integers(1, 4, decisions)
    owner = np.repeat(np.arange(STAGES), EACH)

    def pace(stage: int) -> np.ndarray:
        return np.where((owner == stage)[:, None], seconds, 0.0) + TIE * seconds

    rows = [Row(PACE, pace(s) - pace(0), 0.1 * s) for s in range(1, STAGES)]
    for s in range(STAGES):
        exact = np.where((owner == s)[:, None], size, 0).astype(np.int64)
        most = int(memory * (exact.max(axis=1) * layers).sum())
        rows.append(Row("memory", exact.astype(float), float(most), exact, most))
    worst = (losses.max(axis=1) * layers).sum()
    rows.append(Row("max-loss", losses, float(loss * worst)))
    if shared_again:
        rows.append(Row("ttft", seconds, float((seconds.max(axis=1) * layers).sum())))
    return Problem(pace(0), 0.3, legal, layers.astype(np.int64), tuple(rows))


def every(problem: Problem) -> float:
    """The least objective of all assignments within the limits; inf: there is none."""

    def splits(total: int, places: list[int]) -> list[dict[int, int]]:
        if len(places) == 1:
            return [{places[0]: total}]
        return [
            {places[0]: n, **rest}
            for n in range(total + 1)
            for rest in splits(total - n, places[1:])
        ]

    options = [
        splits(int(m), np.flatnonzero(legal).tolist())
        for m, legal in zip(problem.multiplicity, problem.legal, strict=True)
    ]
    best = np.inf
    for pick in itertools.product(*options):
        counts = np.zeros(problem.legal.shape, dtype=np.int64)
        for d, chosen in enumerate(pick):
            for s, n in chosen.items():
                counts[d, s] = n
        if violation(problem, counts) is None:
            best = min(best, objective_of(problem, counts))
    return best


def small(seed: int, **changed: float) -> Problem:
    """:func:`made` with at most two layers a decision, so that all assignments can be listed."""
    problem = made(seed, **changed)  # type: ignore[arg-type]
    layers = np.minimum(problem.multiplicity, 2)
    layers[1::2] = 1
    return Problem(problem.objective, problem.constant, problem.legal, layers, problem.rows)


@settings(deadline=None, max_examples=examples(8))
@given(st.integers(0, 10_000), st.floats(0.15, 0.8), st.floats(0.5, 1.0))
def test_the_least_pace_is_that_of_all_assignments(seed: int, loss: float, memory: float) -> None:
    problem = small(seed, loss=loss, memory=memory)
    best = every(problem)
    found = solve(problem, gap=1e-7)
    if not np.isfinite(best):
        assert not found.has_assignment
        return
    assert found.has_assignment
    assert violation(problem, found.counts) is None
    assert found.value == pytest.approx(objective_of(problem, found.counts))
    assert found.bound <= best * (1 + 1e-9)
    assert best * (1 - 1e-9) <= found.value <= best * (1 + 1e-5)  # TIE: which of equal paces


@settings(deadline=None, max_examples=examples(8))
@given(st.integers(0, 10_000))
def test_nothing_is_looked_for_above_the_cutoff(seed: int) -> None:
    problem = made(seed)
    found = solve(problem, gap=1e-7)
    if not found.has_assignment:
        return
    below = solve(problem, gap=1e-7, cutoff=found.bound * (1 - 1e-4))
    assert below.status == BEATEN
    above = solve(problem, gap=1e-7, cutoff=found.value * 1.01)
    assert above.value == pytest.approx(found.value, rel=1e-5)


def test_two_shared_limits_are_left_to_the_solver() -> None:
    problem = made(3, shared_again=True)

    def never(part: Problem, cutoff: float) -> None:
        raise AssertionError("a stage was solved")

    assert stagewise(problem, never, gap=1e-6, cutoff=np.inf) is None  # type: ignore[arg-type]
    assert solve(problem).has_assignment


def test_a_shared_limit_that_a_choice_gives_back_is_left_to_the_solver() -> None:
    """Were its part of the limit handed out by stages, one stage could spend another's gift."""
    problem = made(3)
    (loss,) = (row for row in problem.rows if row.name == "max-loss")
    gives = loss.coefficients.copy()
    gives[0, 0] = -0.1
    given_back = replace(
        problem,
        rows=(*(row for row in problem.rows if row is not loss), replace(loss, coefficients=gives)),
    )

    def never(part: Problem, cutoff: float) -> None:
        raise AssertionError("a stage was solved")

    assert given_back.legal[0, 0]
    assert stagewise(given_back, never, gap=1e-6, cutoff=np.inf) is None  # type: ignore[arg-type]


def test_the_mean_of_all_stages_is_that_of_their_sums() -> None:
    problem = made(5)
    rng = np.random.default_rng(1)
    mean = of_all_stages(problem)
    assert not any(row.name == PACE for row in mean.rows)
    for _ in range(5):
        counts = np.zeros(problem.legal.shape, dtype=np.int64)
        for d, layers in enumerate(problem.multiplicity):
            counts[d, rng.choice(np.flatnonzero(problem.legal[d]))] = layers
        first = float((problem.objective * counts).sum()) + problem.constant
        stages = [first] + [
            first + float((row.coefficients * counts).sum()) - row.limit
            for row in problem.rows
            if row.name == PACE
        ]
        assert len(stages) == STAGES
        assert objective_of(mean, counts) == pytest.approx(sum(stages) / STAGES)
        assert objective_of(problem, counts) == pytest.approx(max(stages))


def test_stages_that_are_alike_are_solved_once() -> None:
    """Sixteen stages of one kind cost as many small problems as one of them."""
    from planner.planning.solver import solve as module

    seconds = np.array([[1.0, 2.0, 3.0]])
    stages = 16
    full = np.zeros((stages, 3))

    def pace(stage: int) -> np.ndarray:
        out = full + TIE * seconds
        out[stage] += seconds[0]
        return out

    rows = [Row(PACE, pace(s) - pace(0), 0.0) for s in range(1, stages)]
    rows.append(Row("max-loss", np.repeat(np.array([[3.0, 1.0, 0.0]]), stages, axis=0), 70.0))
    problem = Problem(
        pace(0), 0.0, np.ones((stages, 3), dtype=bool), np.full(stages, 4), tuple(rows)
    )
    solved: list[float] = []

    def counting(part: Problem, cutoff: float) -> object:
        solved.append(cutoff)
        return module._one_stage(part, cutoff)

    found = stagewise(problem, counting, gap=1e-6, cutoff=np.inf)  # type: ignore[arg-type]
    assert found is not None
    assert found.has_assignment
    assert len(solved) <= 44  # two kinds of stage, not 16, in some twenty steps
