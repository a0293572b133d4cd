"""Gains of plans over each other: their signs, their chances, and how people read an objective."""

from collections.abc import Callable
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.choices import experts, llama

from planner.placement.layout import Layout
from planner.planning.choose.calibrated import (
    Configuration,
    calibration,
    gain_distribution,
    probability_above,
)
from planner.planning.choose.gains import CalibratedGains, as_gain, calibrated_gains
from planner.planning.choose.selection import Selection
from planner.planning.question.question import RATES, TIMED

MODEL = "llama-3.1-8b"
LEVELS = ("measured", "recipe", "related", "none")
PLANS = [
    Configuration("vllm", "0.11.0", Layout(1, 1, 1, 1), 1, weights, cache, requests)
    for weights, cache, requests in (
        ("bf16", "bf16", 32.0),
        ("fp8-tensor", "bf16", 48.0),
        ("fp8-tensor", "fp8", 96.0),
    )
]
VALUES = st.lists(st.floats(0.1, 10.0), min_size=3, max_size=3)
THRESHOLDS = st.floats(0.0, 0.9)


def gains_of(
    values: list[float], objective: str = "throughput", level: str = "measured", spread: float = 0.0
) -> CalibratedGains:
    """Gains of PLANS by what each takes; their draws are apart by ``spread``."""
    draws = np.exp(spread * np.random.default_rng(1).normal(size=(len(values), 400)))
    return calibrated_gains(
        objective,
        PLANS,
        [[level] * 3] * 3,
        values,
        np.array(values)[:, None] * draws,
        MODEL,
    )


@given(VALUES, st.sampled_from(TIMED), st.sampled_from(LEVELS))
def test_what_one_gains_the_other_loses(values: list[float], objective: str, level: str) -> None:
    gains = gains_of(values, objective, level)
    assert gains.predicted == pytest.approx(-gains.predicted.T)
    assert gains.own == pytest.approx(gains.own.T)
    for i in range(3):
        assert gains.gain(i, i) == (0.0, 0.0, 0.0)
        for j in range(3):
            assert gains.predicted[i, j] == pytest.approx(log(values[j] / values[i]))
            assert gains.worth[i][j] == gains.worth[j][i]
            middle, low, high = gains.gain(i, j)
            assert low <= middle <= high
            if abs(gains.predicted[i, j]) > 1e-9:
                assert (middle > 0) == (values[i] < values[j]), "less is better"


@given(VALUES, THRESHOLDS, THRESHOLDS, st.sampled_from(TIMED), st.floats(0.0, 0.5))
def test_chances_fall_with_the_gain_and_sides_add_up(
    values: list[float], one: float, other: float, objective: str, spread: float
) -> None:
    gains = gains_of(values, objective, spread=spread)
    low, high = sorted((one, other))
    assert (gains.chances(high) <= gains.chances(low) + 1e-12).all()
    at_all = gains.chances(0.0)
    apart = ~np.eye(3, dtype=bool)
    assert (at_all + at_all.T)[apart] == pytest.approx(1.0)
    assert (at_all.diagonal() == 0).all()
    assert ((at_all > 0.5) == (gains.predicted > 0))[apart & (at_all != 0.5)].all()
    if high > low + 0.05:
        assert (gains.chances(high) < gains.chances(low))[apart].any()


def test_a_gain_is_more_tokens_or_less_time() -> None:
    """10 % more tokens are a log gain of log 1.1, 10 % less time one of −log 0.9: the more."""
    assert {"throughput", "cost"} <= set(RATES)
    assert "latency" not in RATES
    assert as_gain("throughput", log(1.1)) == pytest.approx(0.1)
    assert as_gain("latency", -log(0.9)) == pytest.approx(0.1)
    assert as_gain("latency", log(1.1)) == pytest.approx(1 - 1 / 1.1)
    for objective in TIMED:
        assert as_gain(objective, 0.0) == 0.0
        assert as_gain(objective, -0.1) < 0 < as_gain(objective, 0.1)


def test_chances_count_a_gain_as_people_read_the_objective() -> None:
    """A gain of ``share`` in time is the log gain −log(1 − share)."""
    values = [1.0, 0.8, 0.5]
    rates, times = gains_of(values), gains_of(values, "latency")
    for share in (0.05, 0.15, 0.4):
        assert times.chances(share) == pytest.approx(rates.chances(1 / (1 - share) - 1))
        assert (times.chances(share) < rates.chances(share))[~np.eye(3, dtype=bool)].all()
        worth = calibration(frozenset(("format", "batch")), "measured", MODEL)
        assert rates.chances(share)[1, 0] == pytest.approx(
            probability_above(log(1 / 0.8), share, worth)
        )


def test_a_gain_is_what_measured_pairs_make_of_the_predicted_one() -> None:
    gains = gains_of([1.0, 0.8, 0.5])
    worth = calibration(frozenset(("format", "batch")), "measured", MODEL)
    assert worth.beta < 1
    middle, _, _ = gains.gain(1, 0)
    assert middle == pytest.approx(exp(worth.beta * log(1 / 0.8)) - 1)
    assert 0 < middle < 1 / 0.8 - 1


def test_what_is_less_known_is_less_sure() -> None:
    values = [1.0, 0.8, 0.5]
    known, unknown = gains_of(values), gains_of(values, level="none")
    assert unknown.chances(0.0)[2, 0] < known.chances(0.0)[2, 0]
    for gains in (known, unknown):
        low, high = gains.gain(2, 0)[1:]
        assert low < high
    assert unknown.gain(2, 0)[1] < known.gain(2, 0)[1]
    assert gains_of(values, level="recipe").gain(2, 0) == gains_of(values, level="related").gain(
        2, 0
    )


def test_draws_widen_an_interval_where_they_say_more() -> None:
    values = [1.0, 0.8, 0.5]
    narrow, wide = gains_of(values), gains_of(values, spread=1.0)
    assert wide.gain(1, 0)[0] == narrow.gain(1, 0)[0]
    assert wide.gain(1, 0)[1] < narrow.gain(1, 0)[1]
    assert wide.gain(1, 0)[2] > narrow.gain(1, 0)[2]
    assert narrow.chances(0.0)[1, 0] > wide.chances(0.0)[1, 0] > 0.5


@pytest.mark.parametrize("make", [llama, experts], ids=["dense", "experts"])
def test_gains_of_a_choice_have_the_signs_of_its_prices(make: Callable[[], Selection]) -> None:
    choice = make()
    gains = choice.gains
    assert gains is not None
    values = np.array([one.weighed.value for one in choice.options])
    assert np.sign(gains.predicted) == pytest.approx(np.sign(values[None, :] - values[:, None]))
    assert choice.better == pytest.approx(gains.chances(0.0))
    faster = (gains.predicted > 0) & (choice.better != 0.5)
    assert faster.any()
    assert (choice.better[faster] > 0.5).all()
    for i in range(len(values)):
        middle, _ = gain_distribution(
            float(gains.predicted[i, choice.taken]), gains.worth[i][choice.taken]
        )
        told = gains.gain(i, choice.taken)[0]
        assert told == pytest.approx(as_gain(choice.objective, middle))
