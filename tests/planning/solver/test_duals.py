"""Prices of limits: the bound that they reach, laws of duality, units, paces, what has no price."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from support.examples import examples

from planner.planning.solver.duals import row_prices
from planner.planning.solver.problem import PACE, Array, Problem, Row
from planner.planning.solver.solve import solve

SEEDS = st.integers(0, 100_000)


def problem_of(
    seed: int,
    *,
    decisions: int = 6,
    choices: int = 4,
    limits: int = 2,
    paces: int = 0,
    tight: float = 0.4,
    layers: int = 1,
) -> Problem:
    """Losses that fall with the bits, sizes that rise with them; some choices are illegal. A pace
    counts how much longer another stage takes than the one in the objective."""
    rng = np.random.default_rng(seed)
    shape = (decisions, choices)
    bits = np.linspace(16.0, 4.0, choices)[None, :]
    cost = rng.lognormal(0, 1.5, (decisions, 1)) * 4.0 ** (-bits / 2) * rng.lognormal(0, 0.3, shape)
    legal = rng.random(shape) < 0.8
    legal[np.arange(decisions), rng.integers(0, choices, decisions)] = True
    multiplicity = rng.integers(1, layers + 1, decisions)
    rows = []
    for r in range(limits):
        use = np.where(
            legal, rng.lognormal(0, 0.5, (decisions, 1)) * bits * rng.lognormal(0, 0.2, shape), 0.0
        )
        total = multiplicity[:, None] * use
        least = np.where(legal, total, np.inf).min(axis=1).sum()
        most = total.max(axis=1).sum()
        rows.append(Row(f"limit {r}", use, float(least + tight * (most - least))))
    for _ in range(paces):
        other = np.where(legal, cost * rng.lognormal(0, 1.0, shape) - cost, 0.0)
        rows.append(Row(PACE, other, float(rng.normal(0, 0.1) * cost.sum())))
    return Problem(np.where(legal, cost, 0.0), 0.25, legal, multiplicity, tuple(rows))


def bound_at(problem: Problem, prices: Array) -> float:
    """The Lagrangian at ``prices``: never more than the optimum, whatever they are."""
    priced = problem.objective + sum(
        (p * row.coefficients for p, row in zip(prices, problem.rows, strict=True)),
        np.zeros(problem.legal.shape),
    )
    least = np.where(problem.legal, priced, np.inf).min(axis=1) * problem.multiplicity
    room = sum(float(p) * row.limit for p, row in zip(prices, problem.rows, strict=True))
    return float(least.sum() + problem.constant - room)


def relaxed(problem: Problem) -> float | None:
    """The optimum of the relaxation by scipy, written anew and not scaled; None: infeasible."""
    d, s = np.nonzero(problem.legal)
    paced = [row.name == PACE for row in problem.rows]
    each = (np.arange(len(problem.legal))[:, None] == d[None, :]).astype(float)
    use = np.array(
        [
            [*row.coefficients[d, s], -float(pace)]
            for row, pace in zip(problem.rows, paced, strict=True)
        ]
    )
    found = linprog(
        np.append(problem.objective[d, s], float(any(paced))),
        use if len(use) else None,
        [row.limit for row in problem.rows] or None,
        np.hstack([each, np.zeros((len(each), 1))]),
        problem.multiplicity,
    )
    return float(found.fun) + problem.constant if found.status == 0 else None


def with_limit(problem: Problem, r: int, limit: float) -> Problem:
    changed = replace(problem.rows[r], limit=limit)
    return replace(problem, rows=(*problem.rows[:r], changed, *problem.rows[r + 1 :]))


@settings(max_examples=examples(60), deadline=None)
@given(
    seed=SEEDS,
    decisions=st.integers(1, 12),
    choices=st.integers(1, 5),
    limits=st.integers(0, 3),
    paces=st.integers(0, 3),
    tight=st.floats(-0.1, 1.1),
    layers=st.integers(1, 4),
)
def test_the_prices_reach_the_bound_of_the_relaxation(
    seed: int, decisions: int, choices: int, limits: int, paces: int, tight: float, layers: int
) -> None:
    problem = problem_of(
        seed,
        decisions=decisions,
        choices=choices,
        limits=limits,
        paces=paces,
        tight=tight,
        layers=layers,
    )
    prices, best = row_prices(problem), relaxed(problem)
    if best is None:
        assert prices is None
        return
    assert prices is not None
    assert prices.shape == (len(problem.rows),)
    assert (prices >= 0).all()
    paced = [row.name == PACE for row in problem.rows]
    assert prices[paced].sum() <= 1 + 1e-9
    assert bound_at(problem, prices) == pytest.approx(best, rel=1e-7)


@settings(max_examples=examples(25), deadline=None)
@given(
    seed=SEEDS,
    limits=st.integers(1, 3),
    paces=st.integers(0, 2),
    tight=st.floats(0.05, 0.9),
    more=st.floats(0.0, 0.5),
    data=st.data(),
)
def test_no_room_wins_more_than_its_price(
    seed: int, limits: int, paces: int, tight: float, more: float, data: st.DataObject
) -> None:
    """Weak duality, against the exact solver: with Δ more, none is below bound − price·Δ."""
    problem = problem_of(seed, limits=limits, paces=paces, tight=tight)
    prices = row_prices(problem)
    assume(prices is not None)
    assert prices is not None
    r = data.draw(st.integers(0, limits - 1))
    wider = with_limit(problem, r, problem.rows[r].limit * (1 + more))
    best = solve(wider)
    assume(best.has_assignment)
    given_way = float(prices[r]) * problem.rows[r].limit * more
    assert best.value >= bound_at(problem, prices) - given_way - 1e-9 * abs(best.value)


@settings(max_examples=examples(25), deadline=None)
@given(seed=SEEDS, limits=st.integers(1, 3), paces=st.integers(0, 2), tight=st.floats(0.05, 0.9))
def test_a_price_is_the_slope_of_the_relaxation_where_there_is_one(
    seed: int, limits: int, paces: int, tight: float
) -> None:
    problem = problem_of(seed, decisions=8, limits=limits, paces=paces, tight=tight)
    prices, here = row_prices(problem), relaxed(problem)
    assume(prices is not None)
    assert prices is not None
    for r, row in enumerate(problem.rows):
        step = 1e-5 * (abs(row.limit) or 1.0)
        less, more = (relaxed(with_limit(problem, r, row.limit + d)) for d in (-step, step))
        if here is None or less is None or more is None:
            continue
        slopes = (here - more) / step, (less - here) / step
        size = 1e-6 * (1 + max(slopes)) + 1e-9 / step
        assert slopes[0] - size <= prices[r] <= slopes[1] + size


@settings(max_examples=examples(20), deadline=None)
@given(seed=SEEDS, paces=st.integers(0, 2), factor=st.floats(1e-6, 1e9), r=st.integers(0, 1))
def test_prices_are_in_the_units_of_objective_and_row(
    seed: int, paces: int, factor: float, r: int
) -> None:
    problem = problem_of(seed, paces=paces)
    prices, here = row_prices(problem), relaxed(problem)
    assert prices is not None
    assert here is not None
    row = problem.rows[r]
    scaled = replace(
        problem,
        rows=tuple(
            Row(o.name, o.coefficients * factor, o.limit * factor) if o is row else o
            for o in problem.rows
        ),
    )
    other = row_prices(scaled)
    assert other is not None
    assert bound_at(scaled, other) == pytest.approx(here, rel=1e-7)
    dearer = replace(
        problem,
        objective=problem.objective * factor,
        constant=0.0,
        rows=tuple(
            Row(o.name, o.coefficients * factor, o.limit * factor) if o.name == PACE else o
            for o in problem.rows
        ),
    )
    third = row_prices(dearer)
    assert third is not None
    assert bound_at(dearer, third) == pytest.approx((here - problem.constant) * factor, rel=1e-7)


def test_one_knapsack_by_hand() -> None:
    """Two layers, each 0 or 5 dearer for 10 bytes less; 15 of 20 bytes: half a layer is split, and
    a byte is worth 5/10. In a limit of 2⁴⁰ of the same, a unit is worth as much less."""
    cost, use = np.array([[0.0, 5.0]] * 2), np.array([[10.0, 0.0]] * 2)
    problem = Problem(
        cost,
        1.0,
        np.ones((2, 2), dtype=bool),
        np.ones(2, dtype=np.int64),
        (Row("bytes", use, 15.0), Row("loose", use, 1e3)),
    )
    prices = row_prices(problem)
    assert prices is not None
    assert prices.tolist() == pytest.approx([0.5, 0.0])
    large = row_prices(replace(problem, rows=(Row("bytes", use * 2**40, 15.0 * 2**40),)))
    assert large is not None
    assert large.tolist() == pytest.approx([0.5 / 2**40])


def test_limits_that_are_not_reached_cost_nothing() -> None:
    problem = problem_of(3, limits=3, tight=1.5)
    prices = row_prices(problem)
    assert prices is not None
    assert prices.tolist() == [0.0, 0.0, 0.0]


def test_a_pace_costs_what_it_adds_and_no_more() -> None:
    """The other stage is always 3 above its room: the objective pays, and a second of room is worth
    one. As a limit that forbids there would be no assignment at all."""
    ones = np.ones((1, 2), dtype=bool)
    late = Row(PACE, np.array([[4.0, 4.0]]), 1.0)
    problem = Problem(np.array([[2.0, 3.0]]), 0.0, ones, np.ones(1, dtype=np.int64), (late,))
    prices = row_prices(problem)
    assert prices is not None
    assert prices.tolist() == pytest.approx([1.0])
    early = row_prices(with_limit(problem, 0, 5.0))
    assert early is not None
    assert early.tolist() == [0.0]


def test_what_no_assignment_keeps_has_no_price() -> None:
    problem = problem_of(1, limits=1)
    assert row_prices(with_limit(problem, 0, 1e-3)) is None
    legal = problem.legal.copy()
    legal[2] = False
    assert row_prices(replace(problem, legal=legal)) is None


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    row_prices(problem_of(5))
    assert capfd.readouterr() == ("", "")
