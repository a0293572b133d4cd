"""Sensitivities, bands and ranks: known cases and laws; the exact choice of plans."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.choose import choose
from evaluation.plans import bits_of
from evaluation.tiers import (
    alpha_from_probe,
    band_factor,
    inside,
    predicted,
    rank_correlation,
    rank_scores,
)
from planner.base.errors import InputError

RNG = np.random.default_rng(2)


def test_alpha_of_a_probe_predicts_other_schemes_of_a_quadratic_loss() -> None:
    alpha, error = RNG.uniform(0.1, 10, 30), RNG.uniform(1e-4, 1e-1, (30, 5))
    loss = alpha[:, None] * error
    found = alpha_from_probe(loss[:, 2], error[:, 2])
    assert predicted(found, error) == pytest.approx(loss)
    assert rank_scores(predicted(found, error), loss) == (pytest.approx(1), pytest.approx(1))


@pytest.mark.parametrize("bad", [0.0, -1e-9])
def test_a_probe_must_change_every_unit(bad: float) -> None:
    with pytest.raises(InputError, match="unchanged"):
        alpha_from_probe(np.array([1.0, bad]), np.array([1.0, 1.0]))


def test_a_band_holds_the_share_it_says() -> None:
    prediction = np.ones(1000)
    measured = np.exp(RNG.standard_normal(1000) * 0.4)
    factor = band_factor(prediction, measured, 0.8)
    assert inside(prediction, measured, factor) == pytest.approx(0.8, abs=0.002)
    assert factor == pytest.approx(np.exp(1.2816 * 0.4), rel=0.06)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_rank_correlation_is_spearmans(pairs: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    a, b = np.array(pairs, float).T
    if len(set(a)) == 1 or len(set(b)) == 1:
        return  # undefined: one of the two has no order
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_is_the_best_of_all_assignments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    loss, bits = rng.random((6, 3)), np.array([4.25, 4.5, 8.0])
    parameters = [int(p) * 64 for p in rng.integers(1, 9, 6)]
    for limit in (4.25, 5.0, 6.3, 8.0):
        best = min(
            (sum(loss[n, s] for n, s in enumerate(p)), p)
            for p in product(range(3), repeat=6)
            if sum(bits[s] * parameters[n] for n, s in enumerate(p)) <= limit * sum(parameters)
        )
        assert tuple(choose(loss, bits, parameters, limit)) == best[1]
    with pytest.raises(ValueError, match="fits"):
        choose(loss, bits, parameters, 4.0)


def test_nominal_bits() -> None:
    assert [bits_of(s) for s in ("nvfp4", "mxfp4", "fp8-channel", "int4-w4a16-g32")] == [
        4.5,
        4.25,
        8.0,
        4.5,
    ]
