"""What a predicted gain is worth: the laws of the claims, and whose rows they rest on."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from math import inf, log1p

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from planner.placement.layout import Layout
from planner.planning.choose.calibrated import (
    DIFFERENCES,
    LEVELS,
    SAME,
    Configuration,
    GainCalibration,
    calibration,
    differences,
    gain_distribution,
    interval,
    probability_above,
    student_below,
    student_reach,
)
from planner.planning.price.evidence import CLOSED_LOOPS, served_residuals

GAINS = st.floats(0.0, 4.0)
THRESHOLDS = st.floats(0.0, 1.0)
WORTHS = st.builds(
    GainCalibration,
    beta=st.floats(0.1, 1.0),
    sd=st.floats(0.02, 1.0),
    nu=st.sampled_from((1.0, 2.0, 3.0, 4.0, 5.0, inf)),
    slope=st.floats(0.0, 1.0),
    pairs=st.just(9),
    models=st.just(3),
)
HERE = Configuration("vllm", "0.11.0", Layout(8, 1, 1, 8), 8, "fp8-block", "bf16", 64.0)


@given(GAINS, GAINS, THRESHOLDS, WORTHS)
def test_a_larger_gain_is_surer(
    one: float, other: float, threshold: float, worth: GainCalibration
) -> None:
    low, high = sorted((one, other))
    lower, higher = (probability_above(gain, threshold, worth) for gain in (low, high))
    assert lower <= higher + 1e-12
    if high > low + 0.05 and worth.slope < 0.1 and lower < 0.95:
        assert lower < higher


@given(GAINS, THRESHOLDS, THRESHOLDS, WORTHS)
def test_more_is_asked_and_less_is_sure(
    gain: float, one: float, other: float, worth: GainCalibration
) -> None:
    low, high = sorted((one, other))
    assert probability_above(gain, high, worth) <= probability_above(gain, low, worth)
    if high > low + 0.1 and gain < low:
        assert probability_above(gain, high, worth) < probability_above(gain, low, worth)


@given(GAINS, WORTHS)
def test_sides_of_a_pair_add_up(gain: float, worth: GainCalibration) -> None:
    assert probability_above(0.0, 0.0, worth) == pytest.approx(0.5)
    both = probability_above(gain, 0.0, worth) + probability_above(-gain, 0.0, worth)
    assert both == pytest.approx(1.0)


@given(GAINS, THRESHOLDS, WORTHS, st.floats(1.01, 5.0))
def test_a_wider_spread_is_nearer_to_a_coin(
    gain: float, threshold: float, worth: GainCalibration, factor: float
) -> None:
    wide = replace(worth, sd=worth.sd * factor, slope=worth.slope * factor)
    sure, unsure = (probability_above(gain, threshold, c) for c in (worth, wide))
    assert abs(unsure - 0.5) <= abs(sure - 0.5) + 1e-12
    _, scale = gain_distribution(gain, worth)
    own = scale * factor * student_reach(worth.nu) / student_reach(inf)
    assert probability_above(gain, threshold, worth, own_sd=own) == pytest.approx(unsure)


@given(GAINS, WORTHS, st.floats(0.01, 2.0))
def test_draws_keep_their_own_interval(gain: float, worth: GainCalibration, own: float) -> None:
    low, high = interval(gain, worth, own)
    normal = 1.2815515655446004 * own
    assert low <= worth.beta * gain - normal + 1e-9
    assert high >= worth.beta * gain + normal - 1e-9
    narrow = interval(gain, replace(worth, sd=1e-6, slope=0.0), own)
    assert narrow == pytest.approx((worth.beta * gain - normal, worth.beta * gain + normal))


@given(GAINS, WORTHS)
def test_an_interval_holds_four_of_five(gain: float, worth: GainCalibration) -> None:
    low, high = interval(gain, worth)
    above = [probability_above(gain, np.expm1(end), worth) for end in (low, high)]
    assert above == pytest.approx([0.9, 0.1], abs=1e-9)


def test_without_a_difference_the_gain_is_as_predicted() -> None:
    assert calibration(frozenset(), "none", "llama-3.1-8b") == SAME
    assert gain_distribution(0.3, SAME) == (0.3, 0.0)
    assert [probability_above(gain, 0.1, SAME) for gain in (0.0, log1p(0.1), 0.3)] == [0, 0.5, 1]


def test_arrays_answer_as_numbers_do() -> None:
    worth = calibration(frozenset(("engine",)), "measured", "llama-3.1-8b")
    gains = np.array([[0.0, 0.3], [-0.3, 0.0]])
    own = np.array([[0.0, 0.9], [0.1, 0.0]])
    table = probability_above(gains, 0.05, worth, own)
    singles = [
        [probability_above(float(g), 0.05, worth, float(o)) for g, o in zip(*row, strict=True)]
        for row in zip(gains, own, strict=True)
    ]
    assert table == pytest.approx(np.array(singles))


@pytest.mark.parametrize("nu", [1, 2, 3, 4, 5, 8, 30])
def test_the_series_is_the_students(nu: float) -> None:
    at = np.linspace(-8, 8, 33)
    assert student_below(at, nu) == pytest.approx(student.cdf(at, nu), abs=1e-12)
    assert student_below(at, inf) == pytest.approx(norm.cdf(at), abs=1e-12)


def test_only_whole_degrees_of_freedom() -> None:
    with pytest.raises(AssertionError, match=r"2\.5"):
        student_below(0.0, 2.5)


@pytest.mark.parametrize(
    ("change", "unlike"),
    [
        ({}, set()),
        ({"engine": "sglang", "version": "0.5.5"}, {"engine"}),
        ({"version": "0.12.0"}, {"version"}),
        ({"layout": Layout(8, 1, 1, 1)}, {"layout"}),
        ({"layout": Layout(4, 1, 1, 4), "devices": 4}, {"devices"}),
        ({"layout": Layout(4, 1, 1, 1), "devices": 4}, {"devices", "layout"}),
        ({"layout": Layout(2, 1, 4, 2)}, {"layout"}),
        ({"devices": 16}, {"devices"}),
        ({"devices": 16, "requests": 128.0}, {"devices"}),
        ({"requests": 128.0}, {"batch"}),
        ({"format": "nvfp4", "cache": "fp8"}, {"format", "cache"}),
        ({"drafts": 2}, {"speculation"}),
        ({"pools": "P1x[TP8]+D1x[TP8]", "devices": 16}, {"layout", "devices"}),
    ],
)
def test_what_two_configurations_differ_in(change: dict[str, object], unlike: set[str]) -> None:
    other = replace(HERE, **change)  # type: ignore[arg-type]
    assert differences(HERE, other) == differences(other, HERE) == unlike


def test_names_that_are_none_are_refused() -> None:
    with pytest.raises(AssertionError, match="colour"):
        calibration(frozenset(("colour",)), "measured", "llama-3.1-8b")
    with pytest.raises(KeyError, match="sure"):
        calibration(frozenset(("engine",)), "sure", "llama-3.1-8b")


@pytest.mark.parametrize("model", ["llama-3.1-8b", "deepseek-v3", "a model without rows"])
def test_more_differences_and_weaker_levels_are_never_surer(model: str) -> None:
    sets = [frozenset(some) for n in (1, 2, 3) for some in combinations(DIFFERENCES, n)]
    for unlike in sets:
        levels = [calibration(unlike, level, model) for level in ("measured", "related", "none")]
        for strong, weak in pairwise(levels):
            assert weak.beta <= strong.beta
            assert weak.sd >= strong.sd
            assert weak.nu <= strong.nu
        for level in LEVELS:
            own = calibration(unlike, level, model)
            assert 0 < own.beta <= 1
            assert own.sd > 0
            for name in unlike:
                alone = calibration(frozenset((name,)), level, model)
                assert own.beta <= alone.beta
                assert own.sd >= alone.sd


def test_a_recipe_counts_as_related() -> None:
    unlike = frozenset(("layout", "format"))
    assert calibration(unlike, "recipe", "x") == calibration(unlike, "related", "x")


def test_served_models_never_answer_for_themselves() -> None:
    models = {r.model_id for r in served_residuals() if r.table.startswith(CLOSED_LOOPS)}
    assert len(models) >= 5
    unlike = frozenset(("batch",))
    everyone = calibration(unlike, "measured", "a model without rows")
    for model in models:
        own = calibration(unlike, "measured", model)
        assert own.pairs < everyone.pairs, model
        assert own.models < everyone.models, model
