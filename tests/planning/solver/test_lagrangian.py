"""The Lagrangian against brute force and the exact solver: bounds, gaps, laws of limits."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.planning.solver import duals
from planner.planning.solver.lagrangian import closed, lagrange, row_prices, sweep_budgets
from planner.planning.solver.problem import Problem, Row, objective_of, violation
from planner.planning.solver.solve import solve


def instance(decisions: int, choices: int, rows: int, seed: int, tight: float = 0.4) -> Problem:
    """Losses that fall with the bits, sizes that rise with them; limits between the extremes."""
    rng = np.random.default_rng(seed)
    bits = np.linspace(16.0, 4.0, choices)[None, :]
    loss = rng.lognormal(0, 1.5, (decisions, 1)) * 4.0 ** (-bits / 2) \
        * rng.lognormal(0, 0.3, (decisions, choices))
    size = rng.lognormal(0, 0.5, (decisions, 1)) * bits
    limits = []
    for _ in range(rows):
        use = size * rng.lognormal(0, 0.2, (decisions, choices))
        least, most = use.min(axis=1).sum(), use[:, 0].sum()
        limits.append(Row("r", use, float(least + tight * (most - least))))
    return Problem(loss, 0.25, np.ones(loss.shape, dtype=bool),
                   np.ones(decisions, dtype=np.int64), tuple(limits))


def brute(problem: Problem) -> float:
    """The least objective within all limits; inf where there is none."""
    best = np.inf
    for pick in product(*(np.nonzero(legal)[0] for legal in problem.legal)):
        counts = np.zeros(problem.legal.shape, dtype=np.int64)
        counts[np.arange(len(pick)), pick] = problem.multiplicity
        if violation(problem, counts) is None:
            best = min(best, objective_of(problem, counts))
    return best


@settings(max_examples=60, deadline=None)
@given(decisions=st.integers(1, 5), choices=st.integers(1, 4), rows=st.integers(0, 3),
       seed=st.integers(0, 10_000), tight=st.floats(-0.1, 1.1))
def test_brute_force_lies_between_bound_and_value(decisions: int, choices: int, rows: int,
                                                  seed: int, tight: float) -> None:
    problem = instance(decisions, choices, rows, seed, tight)
    best, found = brute(problem), lagrange(problem)
    if not np.isfinite(best):
        assert not found.found
        return
    assert found.bound <= best + 1e-9 * abs(best)
    if found.found:
        assert violation(problem, found.counts) is None
        assert found.value >= best - 1e-12
        assert found.value == pytest.approx(objective_of(problem, found.counts))
    exact = closed(problem, found, np.zeros(rows), 1e-9)
    assert exact.value == pytest.approx(best, rel=1e-7)


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 3), seed=st.integers(0, 10_000), tight=st.floats(0.05, 0.95))
def test_the_two_solvers_agree_within_their_gaps(rows: int, seed: int, tight: float) -> None:
    problem = instance(25, 5, rows, seed, tight)
    exact, ours = solve(problem, gap=1e-6), lagrange(problem)
    if not ours.found:
        assert ours.status == "unproved"
        return
    assert ours.bound <= exact.value * (1 + 1e-9)
    assert exact.bound <= ours.value * (1 + 1e-9)
    assert ours.value <= exact.value * (1 + ours.gap + 1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_tighter_limits_and_fewer_schemes_never_help(seed: int, data: st.DataObject) -> None:
    problem = instance(6, 4, 2, seed)
    free = solve(problem)
    row = data.draw(st.integers(0, 1))
    old = problem.rows[row]
    tighter = Row(old.name, old.coefficients, old.limit * data.draw(st.floats(0.8, 1.0)))
    rows = tuple(tighter if i == row else r for i, r in enumerate(problem.rows))
    tight = solve(Problem(problem.objective, problem.constant, problem.legal,
                          problem.multiplicity, rows))
    assert not tight.found or tight.value >= free.value * (1 - 1e-9)
    legal = problem.legal.copy()
    legal[:, data.draw(st.integers(0, 3))] = False
    fewer = solve(Problem(problem.objective, problem.constant, legal, problem.multiplicity,
                          problem.rows))
    assert not fewer.found or fewer.value >= free.value * (1 - 1e-9)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 3), seed=st.integers(0, 10_000), tight=st.floats(0.1, 0.9),
       more=st.floats(0.0, 0.5))
def test_row_prices_bound_what_more_room_can_win(rows: int, seed: int, tight: float, more: float,
                                                 ) -> None:
    """Weak duality: with room Δ more, nothing is better than bound − Σ λ·Δ."""
    problem = instance(8, 4, rows, seed, tight)
    found, worth = lagrange(problem), row_prices(problem)
    assert (worth >= 0).all()
    wider = tuple(Row(r.name, r.coefficients, r.limit * (1 + more)) for r in problem.rows)
    best = solve(Problem(problem.objective, problem.constant, problem.legal, problem.multiplicity,
                         wider)).value
    given_way = sum(float(w) * r.limit * more for w, r in zip(worth, problem.rows, strict=True))
    assert best >= found.bound - given_way - 1e-9 * abs(found.bound)


@settings(max_examples=60, deadline=None)
@given(decisions=st.integers(1, 25), rows=st.integers(0, 3), seed=st.integers(0, 10_000),
       tight=st.floats(0.02, 1.1))
def test_duals_of_the_relaxation_reach_no_lower_bound(decisions: int, rows: int, seed: int,
                                                      tight: float) -> None:
    problem = instance(decisions, 4, rows, seed, tight)
    found, prices = lagrange(problem), duals.row_prices(problem)
    if prices is None:
        assert found.status != "optimal"
        return
    priced = problem.objective + sum((p * r.coefficients for p, r in
                                      zip(prices, problem.rows, strict=True)),
                                     np.zeros(problem.objective.shape))
    bound = float(priced.min(axis=1).sum() + problem.constant
                  - sum(float(p) * r.limit for p, r in zip(prices, problem.rows, strict=True)))
    if found.found:
        assert -1e-9 <= (bound - found.bound) / abs(bound) <= 2e-5


@pytest.mark.parametrize(("rows", "gap"), [(1, 1e-4), (2, 1e-4), (3, 5e-4)])
def test_many_units_have_a_small_certified_gap(rows: int, gap: float) -> None:
    found = lagrange(instance(15_000, 8, rows, 1))
    assert found.found
    assert 0 <= found.gap < gap


def test_a_sweep_of_budgets_falls_and_keeps_its_gap() -> None:
    problem = instance(60, 6, 2, 5)
    use = problem.rows[0].coefficients
    limits = np.linspace(use.min(axis=1).sum() * 1.02, use[:, 0].sum(), 20)
    found = sweep_budgets(problem, 0, list(limits), gap=1e-3)
    kept = [s for s in found if s.found]
    assert len(kept) >= 18
    assert all(s.gap < 1e-3 for s in kept)
    for before, after in pairwise(kept):
        assert after.bound <= before.value * (1 + 1e-9)
        assert after.value <= before.value * (1 + 1e-3)
    for limit, one in zip(limits, found, strict=True):
        assert not one.found or (use * one.counts).sum() <= limit * (1 + 1e-9)


def test_exact_rows_are_kept_to_the_byte() -> None:
    problem = instance(200, 4, 0, 3)
    exact = np.rint(np.random.default_rng(3).uniform(1e8, 9e8, problem.legal.shape)).astype(
        np.int64)
    limit = int(exact.min(axis=1).sum() * 1.3)
    row = Row("memory", exact.astype(np.float64), float(limit), exact, limit)
    problem = Problem(problem.objective, 0.0, problem.legal, problem.multiplicity, (row,))
    for one in sweep_budgets(problem, 0, [limit + 0.9, limit * 1.5]):
        assert one.found
    found = sweep_budgets(problem, 0, [limit + 0.9])[0]
    assert int((exact * found.counts).sum()) <= limit


def test_what_no_assignment_keeps_is_infeasible() -> None:
    problem = instance(5, 3, 1, 1)
    none = Row("r", problem.rows[0].coefficients, 1e-3)
    found = lagrange(Problem(problem.objective, 0.0, problem.legal, problem.multiplicity, (none,)))
    assert found.status == "infeasible"
    legal = problem.legal.copy()
    legal[2] = False
    assert lagrange(Problem(problem.objective, 0.0, legal, problem.multiplicity, ())).status \
        == "infeasible"


def test_layers_that_are_counted_apart_are_split_by_the_exact_solver() -> None:
    problem = Problem(np.array([[0.0, 1.0]]), 0.0, np.ones((1, 2), dtype=bool), np.array([10]),
                      (Row("r", np.array([[2.0, 1.0]]), 15.0),))
    found = sweep_budgets(problem, 0, [15.0])[0]
    assert found.counts.tolist() == [[5, 5]]
    assert lagrange(problem).bound <= 5.0
