"""Which of equal optima is taken depends on the problem alone, and not on how it was solved."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.planning.solver.problem import (
    EQUAL,
    PACE,
    Problem,
    Row,
    objective_of,
    relative_gap,
    violation,
)
from planner.planning.solver.solve import solve
from planner.planning.solver.ties import first_of_ties


def problem_of(objective: np.ndarray, *rows: Row) -> Problem:
    return Problem(
        objective,
        0.0,
        np.ones(objective.shape, dtype=bool),
        np.ones(len(objective), dtype=np.int64),
        rows,
    )


@st.composite
def alike(draw: st.DrawFn) -> Problem:
    """Few costs, and noise far below EQUAL: many assignments are equal."""
    decisions, choices = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (decisions, choices)
    noise = 1 + rng.normal(0, 1e-11, shape)
    use = rng.integers(0, 4, shape).astype(float)
    least, most = use.min(axis=1).sum(), use.max(axis=1).sum()
    rows = [Row("max-loss", use, float(least + draw(st.integers(0, 8)) / 8 * (most - least)))]
    if draw(st.booleans()):
        rows.append(Row(PACE, rng.integers(-2, 3, shape).astype(float), float(rng.integers(-1, 2))))
    return Problem(
        rng.integers(1, 4, shape) * noise,
        draw(st.sampled_from([0.0, 2.0])),
        np.ones(shape, dtype=bool),
        np.ones(decisions, dtype=np.int64),
        tuple(rows),
    )


def every(problem: Problem) -> list[np.ndarray]:
    """All assignments within the limits, in the order of the choices."""
    decisions, choices = problem.objective.shape
    out = []
    for picks in product(range(choices), repeat=decisions):
        counts = np.zeros((decisions, choices), dtype=np.int64)
        counts[np.arange(decisions), picks] = 1
        if violation(problem, counts) is None:
            out.append(counts)
    return out


@settings(max_examples=60)
@given(alike(), st.booleans(), st.integers(0, 2**32))
def test_the_first_of_all_equal_assignments_from_any_of_them(
    problem: Problem, with_second: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    second = rng.integers(1, 3, problem.objective.shape).astype(float) if with_second else None
    feasible = every(problem)
    best = min(objective_of(problem, counts) for counts in feasible)
    equal = [
        counts for counts in feasible if objective_of(problem, counts) <= best + EQUAL * abs(best)
    ]
    wanted = equal
    if second is not None:
        least = min(float((second * counts).sum()) for counts in equal)
        wanted = [c for c in equal if float((second * c).sum()) <= least * (1 + EQUAL)]
    solution = solve(problem)
    for start in (solution.counts, equal[-1], equal[int(rng.integers(len(equal)))]):
        begun = replace(solution, counts=start, value=objective_of(problem, start))
        taken = first_of_ties(problem, begun, second)
        assert taken.counts.tolist() == wanted[0].tolist()
        assert taken.value == objective_of(problem, taken.counts)
        assert taken.bound <= taken.value
        assert taken.gap <= 2 * EQUAL


def test_a_difference_above_the_tolerance_is_one() -> None:
    at = 1 + 3 * EQUAL
    assert first_of(np.array([[at, 1.0]])) == [1]
    assert first_of(np.array([[1 + EQUAL / 3, 1.0]])) == [0]


def first_of(objective: np.ndarray) -> list[int]:
    problem = problem_of(objective)
    return first_of_ties(problem, solve(problem), None).counts.argmax(axis=1).tolist()


def test_an_earlier_choice_may_need_two_moves() -> None:
    """The first decision's first choice is equal only with the second's second one."""
    problem = problem_of(
        np.array([[1.0, 2.0], [1.0, 2.0]]), Row("max-loss", np.array([[2.0, 0.0], [2.0, 0.0]]), 2.0)
    )
    begun = replace(solve(problem), counts=np.array([[0, 1], [1, 0]]))
    taken = first_of_ties(problem, begun, None)
    assert taken.counts.tolist() == [[1, 0], [0, 1]]


def test_among_equal_optima_the_second_objective_decides() -> None:
    problem = problem_of(np.array([[1.0, 1.0, 2.0]]))
    for second, wanted in (([2.0, 1.0, 0.0], [0, 1, 0]), ([1.0, 2.0, 0.0], [1, 0, 0])):
        taken = first_of_ties(problem, solve(problem), np.array([second]))
        assert taken.counts[0].tolist() == wanted


def test_counted_layers_move_to_the_earliest_equal_choice() -> None:
    problem = replace(
        problem_of(np.array([[1.0, 1.0, 2.0], [1.0, 2.0, 1.0]])), multiplicity=np.array([3, 2])
    )
    begun = replace(solve(problem), counts=np.array([[1, 2, 0], [0, 0, 2]]))
    assert first_of_ties(problem, begun, None).counts.tolist() == [[3, 0, 0], [2, 0, 0]]


def test_an_optimum_with_a_wider_gap_is_settled_by_moves_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Proofs about hundreds of layers took a minute where the optimum itself has a gap."""
    problem = problem_of(np.array([[1.0, 1.0], [1.0, 1.0]]))
    begun = replace(solve(problem), counts=np.array([[0, 1], [0, 1]]), gap=1e-4)
    monkeypatch.setattr("planner.planning.solver.ties.solve", None)
    monkeypatch.setattr("planner.planning.solver.ties.linear_relaxation", None)
    assert first_of_ties(problem, begun, None).counts.tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("difference", "share"),
    [(0.0, 0.0), (EQUAL, 0.0), (-EQUAL, 0.0), (0.5, 0.25), (-1 / 3, -0.166667)],
)
def test_what_is_told_of_a_difference(difference: float, share: float) -> None:
    assert relative_gap(difference, 2.0) == share
