"""The solver against enumeration, its bounds against the optimum, limits in whole bytes."""

from collections.abc import Iterator
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.planning.solver import highs
from planner.planning.solver.duals import linear_relaxation
from planner.planning.solver.highs import stdout_silenced
from planner.planning.solver.problem import Problem, Row, lower_bounds, objective_of, violation
from planner.planning.solver.solve import LAYERS_GAP, solve


def assignments(problem: Problem) -> Iterator[np.ndarray]:
    """Every way to give each decision's layers to its legal choices, as counts [D, S]."""
    each = []
    for d, legal in enumerate(problem.legal):
        options = []
        for taken in combinations_with_replacement(
            np.nonzero(legal)[0].tolist(), int(problem.multiplicity[d])
        ):
            options.append(np.bincount(taken, minlength=len(legal)))
        each.append(options)
    for rows in product(*each):
        yield np.array(rows, dtype=np.int64)


def best(problem: Problem) -> float:
    """The optimum by enumeration, limits compared exactly; inf where nothing is feasible."""
    found = float("inf")
    for counts in assignments(problem):
        for row in problem.rows:
            if row.exact is not None and row.exact_limit is not None:
                if int((row.exact * counts).sum()) > row.exact_limit:
                    break
            elif float((row.coefficients * counts).sum()) > row.limit:
                break
        else:
            found = min(found, objective_of(problem, counts))
    return found


def bytes_row(exact: np.ndarray, limit: int) -> Row:
    return Row("memory", exact.astype(np.float64), float(limit), exact, limit)


@st.composite
def problems(draw: st.DrawFn, *, counted: bool) -> Problem:
    decisions, choices = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (decisions, choices)
    legal = rng.random(shape) < 0.8
    legal[np.arange(decisions), rng.integers(0, choices, decisions)] = True
    most = 4 if counted and choices < 4 else 2 if counted else 1
    multiplicity = rng.integers(1, most + 1, decisions)
    size = np.where(legal, rng.integers(1, 10**9, shape), 0)
    loss = np.where(legal, rng.random(shape), 0.0)
    slack = draw(st.floats(0.2, 0.9))
    least = int((np.where(legal, size, 2**40).min(axis=1) * multiplicity).sum())
    most_bytes = int((size.max(axis=1) * multiplicity).sum())
    limit = int(least + (most_bytes - least) * (slack - 0.25))
    rows = (
        bytes_row(size, limit),
        Row("max-loss", loss, float((loss.max(axis=1) * multiplicity).sum() * slack)),
    )
    objective = (
        rng.random(shape) if draw(st.booleans()) else rng.integers(0, 4, shape).astype(float)
    )
    return Problem(objective, draw(st.sampled_from([0.0, 3.5])), legal, multiplicity, rows)


@settings(max_examples=60)
@given(problems(counted=False))
def test_one_choice_each_equals_enumeration(problem: Problem) -> None:
    check(problem)


@settings(max_examples=40)
@given(problems(counted=False), st.sampled_from([LAYERS_GAP, 1e-2]))
def test_a_wider_gap_is_kept(problem: Problem, gap: float) -> None:
    expected = best(problem)
    solution = solve(problem, gap=gap)
    assert solution.has_assignment == np.isfinite(expected)
    if solution.has_assignment:
        assert violation(problem, solution.counts) is None
        assert solution.value == pytest.approx(objective_of(problem, solution.counts), rel=1e-9)
        assert solution.bound - 1e-9 <= expected <= solution.value + 1e-9
        assert solution.value - expected <= gap * abs(solution.value) + 1e-9


def test_hundreds_of_layers_end_within_their_nodes_with_the_gap_that_is_left() -> None:
    """Three limits that meet: the last digits would take minutes."""
    rng = np.random.default_rng(5)
    parts, choices = 240, 8
    size = np.sort(rng.integers(1, 10**6, (parts, choices)), axis=1)
    size[0] *= 40  # an embedding among matrices
    loss = np.sort(rng.random((parts, choices)), axis=1)[:, ::-1] * rng.lognormal(0, 1, (parts, 1))
    seconds = np.sort(rng.random((parts, choices)), axis=1)
    limit = int(size.mean(axis=1).sum())
    problem = Problem(
        loss,
        0.0,
        np.ones(size.shape, dtype=bool),
        np.ones(parts, dtype=np.int64),
        (bytes_row(size, limit), Row("tpot", seconds, seconds.mean(axis=1).sum())),
    )
    solution = solve(problem, gap=LAYERS_GAP)
    assert solution.has_assignment
    assert violation(problem, solution.counts) is None
    assert 0 <= solution.gap < 2e-3
    free = linear_relaxation(problem)
    assert free is not None
    assert free.value - 1e-9 <= solution.bound <= solution.value
    assert solution.gap == pytest.approx(1 - solution.bound / solution.value, abs=1e-12)


@settings(max_examples=40)
@given(problems(counted=True))
def test_counted_layers_equal_enumeration(problem: Problem) -> None:
    check(problem)


def check(problem: Problem) -> None:
    expected = best(problem)
    solution = solve(problem)
    assert solution.has_assignment == np.isfinite(expected)
    if solution.has_assignment:
        assert solution.value == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert violation(problem, solution.counts) is None
        assert (solution.counts[~problem.legal] == 0).all()
        assert (solution.counts.sum(axis=1) == problem.multiplicity).all()
        assert solution.bound <= expected + 1e-9 * max(1, abs(expected))
        assert solution.gap <= 1e-6


@settings(max_examples=30)
@given(problems(counted=False), st.floats(0.5, 1.0))
def test_a_tighter_limit_never_helps(problem: Problem, factor: float) -> None:
    row = problem.rows[0]
    assert row.exact is not None
    tight = bytes_row(row.exact, int(row.limit * factor))
    less = Problem(
        problem.objective,
        problem.constant,
        problem.legal,
        problem.multiplicity,
        (tight, problem.rows[1]),
    )
    a, b = solve(problem), solve(less)
    if b.has_assignment:
        assert a.has_assignment
        assert b.value >= a.value - 1e-9


@settings(max_examples=30)
@given(problems(counted=True), st.integers(0, 2**32))
def test_one_more_scheme_never_hurts(problem: Problem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    extra = (problem.legal.shape[0], 1)
    row, loss = problem.rows
    assert row.exact is not None
    wide = bytes_row(np.hstack([row.exact, rng.integers(1, 10**9, extra)]), int(row.limit))
    more = Problem(
        np.hstack([problem.objective, rng.random(extra)]),
        problem.constant,
        np.hstack([problem.legal, np.ones(extra, dtype=bool)]),
        problem.multiplicity,
        (wide, Row("max-loss", np.hstack([loss.coefficients, rng.random(extra)]), loss.limit)),
    )
    a, b = solve(problem), solve(more)
    if a.has_assignment:
        assert b.has_assignment
        assert b.value <= a.value + 1e-9


@settings(max_examples=60)
@given(st.lists(problems(counted=False), min_size=1, max_size=1), st.booleans())
def test_lower_bounds_never_exceed_the_optimum(found: list[Problem], both: bool) -> None:
    problem = found[0]
    rows = problem.rows if both else problem.rows[:1]
    alone = Problem(problem.objective, problem.constant, problem.legal, problem.multiplicity, rows)
    weight = problem.multiplicity[:, None]
    bound = lower_bounds(
        (problem.objective * weight)[None],
        np.array([problem.constant]),
        problem.legal[None],
        [((r.coefficients * weight)[None], np.array([r.limit])) for r in rows],
    )[0]
    expected = best(alone)
    free = problem.constant + float(
        (
            np.where(problem.legal, problem.objective, np.inf).min(axis=1) * problem.multiplicity
        ).sum()
    )
    assert bound >= free - 1e-9
    if np.isfinite(expected):
        assert bound <= expected + 1e-9 * max(1.0, abs(expected))


def test_a_bound_helps_where_the_limit_binds() -> None:
    objective = np.array([[[1.0, 4.0], [1.0, 4.0]]])
    size = np.array([[[10.0, 1.0], [10.0, 1.0]]])
    bound = lower_bounds(
        objective, np.zeros(1), np.ones((1, 2, 2), dtype=bool), [(size, np.array([2.0]))]
    )
    assert 5.0 < bound[0] <= 8.0


def test_a_decision_without_choice_is_infeasible_not_free() -> None:
    legal = np.array([[True, True], [False, False]])
    ones = np.ones((2, 2))
    assert (
        lower_bounds(ones[None], np.zeros(1), legal[None], [(ones[None], np.array([9.0]))])[0]
        == np.inf
    )
    problem = Problem(ones, 0.0, legal, np.ones(2, dtype=np.int64), ())
    assert not solve(problem).has_assignment


@pytest.mark.parametrize("over", [1, 3, 40, 79, 81])
def test_bytes_over_the_limit_are_refused_whatever_the_tolerance(over: int) -> None:
    """At 80 GB a relative tolerance of 1e-9 is 80 bytes: the cheapest choice is over by fewer,
    the second fills the limit to the byte, the third is far below it."""
    limit = 80_000_000_000
    exact = np.array(
        [[limit - 1000 + over, limit - 1000, limit // 2], [1000, 1000, 1000]], dtype=np.int64
    )
    objective = np.array([[1.0, 2.0, 30.0], [1.0, 1.0, 1.0]])
    problem = Problem(
        objective,
        0.0,
        np.ones((2, 3), dtype=bool),
        np.ones(2, dtype=np.int64),
        (bytes_row(exact, limit),),
    )
    solution = solve(problem)
    assert solution.has_assignment
    assert solution.counts[0].tolist() == [0, 1, 0]
    assert solution.value == 3.0


def test_a_whole_ladder_of_near_misses() -> None:
    limit = 80_000_000_000
    steps = np.arange(30, -1, -1)
    exact = (limit + steps)[None, :].astype(np.int64)
    objective = np.arange(31, dtype=float)[None, :] + 1.0
    problem = Problem(
        objective,
        0.0,
        np.ones((1, 31), dtype=bool),
        np.ones(1, dtype=np.int64),
        (bytes_row(exact, limit),),
    )
    solution = solve(problem)
    assert solution.has_assignment
    assert solution.counts[0].argmax() == 30


@pytest.mark.parametrize("layers", [1, 3])
def test_a_slip_over_the_second_of_two_like_limits_is_repaired(layers: int) -> None:
    """Two pipeline stages have a limit of the same name; layers may be counted."""
    limit = 80_000_000_000
    over = np.array([[limit // layers + 5, limit // layers - 1000]], dtype=np.int64)
    none = np.zeros((1, 2), dtype=np.int64)
    problem = Problem(
        np.array([[1.0, 2.0]]),
        0.0,
        np.ones((1, 2), dtype=bool),
        np.array([layers]),
        (bytes_row(none, limit), bytes_row(over, limit)),
    )
    solution = solve(problem)
    assert solution.has_assignment
    assert violation(problem, solution.counts) is None
    assert solution.value == pytest.approx(best(problem))
    assert solution.bound <= solution.value


def test_the_solver_prints_nothing_on_the_descriptor(capfd: pytest.CaptureFixture[str]) -> None:
    problem = Problem(
        np.ones((2, 2)), 0.0, np.ones((2, 2), dtype=bool), np.ones(2, dtype=np.int64), ()
    )
    solve(problem)
    assert capfd.readouterr().out == ""


def test_only_the_first_solve_of_a_process_touches_the_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It belongs to all threads: two at once left the process without standard output."""
    problem = Problem(
        np.ones((2, 2)), 0.0, np.ones((2, 2), dtype=bool), np.ones(2, dtype=np.int64), ()
    )
    highs.run(problem, highs.Repairs(np.zeros(0), []))
    touched: list[int] = []
    monkeypatch.setattr(highs.os, "dup2", lambda *_: touched.append(1))
    assert highs.run(problem, highs.Repairs(np.zeros(0), [])).has_assignment
    assert not touched


def test_standard_output_works_again_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), stdout_silenced():
        raise ValueError("inside")
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_a_program_without_standard_output_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    with stdout_silenced():
        pass
