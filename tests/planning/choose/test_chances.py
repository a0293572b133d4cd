"""Chances from common draws: what is shared cancels, what is not moves a chance to one half."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.planning.choose.chances import (
    gain_draws,
    interval,
    objective_draws,
    quantiles,
    share_of_draws_better,
)
from planner.planning.choose.error_classes import ErrorClass
from planner.planning.choose.uncertainty import CommonError, TimePart, UncertainObjective

OBJECTIVES = ("throughput", "latency", "memory", "quality", "cost")
CLASSES = [ErrorClass(name, "x") for name in ("gemm", "moe", "attention decode", "collective")]
MARGIN = 0.03


def timed(
    value: float,
    *parts: tuple[ErrorClass, float, float],
    wholes: tuple[tuple[ErrorClass, float], ...] = (),
) -> UncertainObjective:
    return UncertainObjective(
        value,
        tuple(TimePart(((error, sigma),), seconds) for error, sigma, seconds in parts),
        tuple(CommonError(*one) for one in wholes),
    )


part = st.tuples(st.sampled_from(CLASSES), st.floats(0.01, 0.6), st.floats(1e-4, 1.0))
plans = st.builds(
    lambda parts, scale, layout: timed(
        scale * math.fsum(p[2] for p in parts),
        *parts,
        wholes=((ErrorClass("layout", layout), 0.06),),
    ),
    st.lists(part, min_size=1, max_size=6),
    st.floats(0.1, 10.0),
    st.sampled_from("abc"),
)


@given(
    st.lists(plans, min_size=2, max_size=5),
    st.sampled_from(OBJECTIVES),
    st.sampled_from([0.0, MARGIN]),
)
def test_two_plans_are_never_both_better(
    some: list[UncertainObjective], objective: str, by: float
) -> None:
    chance = share_of_draws_better(objective, objective_draws(some), by)
    assert np.all(chance >= 0)
    assert np.all(chance + chance.T <= 1)
    assert np.all(np.diag(chance) == 0)


@given(plans, st.sampled_from(OBJECTIVES))
def test_the_same_plan_is_never_better(one: UncertainObjective, objective: str) -> None:
    assert not share_of_draws_better(objective, objective_draws([one, one])).any()


@given(st.floats(0.01, 0.6), st.floats(0.5, 2.0))
def test_a_shared_class_cancels(sigma: float, ratio: float) -> None:
    """Two plans of one kernel alone: the faster one is faster, whatever the kernel is off by."""
    shared = CLASSES[0]
    ours, theirs = timed(1.0, (shared, sigma, 1.0)), timed(ratio, (shared, sigma, ratio))
    chance = share_of_draws_better("throughput", objective_draws([ours, theirs]))
    assert chance[0, 1] == float(ratio > 1 + 1e-8)
    assert chance[1, 0] == float(ratio < 1 - 1e-8)


@given(st.floats(1.02, 2.0))
def test_more_error_of_its_own_moves_the_chance_to_one_half(ratio: float) -> None:
    found = []
    for sigma in (0.02, 0.1, 0.3, 0.9):
        ours = timed(1.0, (CLASSES[0], sigma, 1.0))
        theirs = timed(ratio, (CLASSES[1], 0.0, ratio))
        found.append(
            float(share_of_draws_better("throughput", objective_draws([ours, theirs]))[0, 1])
        )
    assert found == sorted(found, reverse=True)
    assert min(found) >= 0.5


def test_the_chance_is_that_of_the_normal_distribution() -> None:
    """Of two independent errors σ₁, σ₂ and a ratio r: Φ(ln r / √(σ₁² + σ₂²))."""
    ours, theirs = timed(1.0, (CLASSES[0], 0.1, 1.0)), timed(1.1, (CLASSES[1], 0.2, 1.1))
    chance = share_of_draws_better("throughput", objective_draws([ours, theirs]))
    expected = 0.5 * (1 + math.erf(math.log(1.1) / math.hypot(0.1, 0.2) / math.sqrt(2)))
    assert chance[0, 1] == pytest.approx(expected, abs=0.03)
    assert chance[1, 0] == pytest.approx(1 - expected, abs=0.03)


def test_draws_have_the_value_in_their_middle_and_its_spread() -> None:
    one = timed(2.0, (CLASSES[0], 0.25, 0.02))
    drawn = objective_draws([one])[0]
    assert np.median(drawn) == pytest.approx(2.0, rel=1e-3)
    assert np.allclose(np.sort(drawn), 2.0 * np.exp(0.25 * quantiles()))


@given(st.lists(plans, min_size=2, max_size=4), st.permutations(range(4)))
def test_draws_do_not_depend_on_what_stands_beside(
    some: list[UncertainObjective], order: list[int]
) -> None:
    alone = [objective_draws([one])[0] for one in some]
    mixed = objective_draws([some[i] for i in order if i < len(some)])
    for row, i in zip(mixed, [i for i in order if i < len(some)], strict=True):
        assert np.allclose(row, alone[i], rtol=1e-12)


def test_bytes_are_exact() -> None:
    """What does not err is better always or never."""
    chance = share_of_draws_better(
        "memory",
        objective_draws([UncertainObjective(1.0, (), ()), UncertainObjective(1.02, (), ())]),
    )
    assert (chance[0, 1], chance[1, 0]) == (1.0, 0.0)
    by = share_of_draws_better(
        "memory",
        objective_draws([UncertainObjective(1.0, (), ()), UncertainObjective(1.02, (), ())]),
        MARGIN,
    )
    assert not by.any()


def test_a_margin_is_one_of_the_objective_as_people_read_it() -> None:
    """3 % more tokens a second is 1/1.03 of the time; 3 % less time is 0.97 of it."""
    values = [UncertainObjective(x, (), ()) for x in (1.0, 1.0302, 1.0308)]
    rate, time = (
        share_of_draws_better(name, objective_draws(values), MARGIN)
        for name in ("throughput", "latency")
    )
    assert rate[0, 1] == 1.0
    assert (time[0, 1], time[0, 2]) == (0.0, 0.0)
    assert gain_draws("throughput", np.array([1.0]), np.array([1.03]))[0] == pytest.approx(0.03)
    assert gain_draws("latency", np.array([0.97]), np.array([1.0]))[0] == pytest.approx(0.03)
    assert gain_draws("memory", np.array([0.0]), np.array([0.0]))[0] == 0.0


def test_the_interval_holds_four_fifths_of_the_draws() -> None:
    low, high = interval(quantiles())
    assert (low, high) == pytest.approx((-1.2816, 1.2816), abs=5e-3)
    inside = (quantiles() >= low) & (quantiles() <= high)
    assert inside.mean() == pytest.approx(0.8, abs=0.002)


def test_gains_are_read_as_rates_or_as_savings_of_whatever_size() -> None:
    ours, theirs = np.array([0.01, 3.0, 0.5]), np.array([0.02, 2.0, 0.0])
    assert gain_draws("latency", ours, theirs) == pytest.approx([0.5, -0.5, 0.0])
    assert gain_draws("quality", 1e-3 * ours, 1e-3 * theirs) == pytest.approx([0.5, -0.5, 0.0])
    assert gain_draws("throughput", ours[:2], theirs[:2]) == pytest.approx([1.0, -1 / 3])
