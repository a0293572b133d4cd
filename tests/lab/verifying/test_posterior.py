"""Laws of the posterior of sensitivities, and one example by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.lab.verifying.posterior import (
    ADDITIVITY,
    Z80,
    LossPrior,
    MeasuredLoss,
    posterior,
)
from planner.quality.sensitivity.level import saturated

PRIOR = LossPrior(level_band=2.0, kind_band=1.5, format_band=1.4, saturation=0.2)
KINDS, SCHEMES = ("mlp-down", "attention-qkv", "head"), ("ggml-q8_0", "ggml-q4_0", "ggml-q6_k")
nats = st.floats(1e-4, 0.2)
shares = st.dictionaries(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(SCHEMES)), nats, min_size=1, max_size=6
)


def told(cells):
    return saturated(math.fsum(cells.values()), PRIOR.saturation)


@given(shares)
def test_nothing_measured_leaves_the_prior(cells):
    found = posterior(PRIOR, [])
    assert found.files == 0
    assert found.loss(cells) == pytest.approx(told(cells))
    assert all(found.factor(*cell) == 1.0 for cell in cells)
    level = Z80 * math.hypot(math.log(2.0) / Z80, ADDITIVITY)
    assert found.band(cells) >= math.exp(level) * (1 - 1e-12)


@given(shares, st.floats(0.3, 3.0))
def test_a_measured_file_is_predicted_close_and_surer(cells, ratio):
    kl = told(cells) * ratio
    found = posterior(PRIOR, [MeasuredLoss(cells, kl, 0.01 * kl)])
    assert found.loss(cells) == pytest.approx(kl, rel=0.08)
    assert found.band(cells) < posterior(PRIOR, []).band(cells)
    # It moves towards what was measured, never past it.
    assert (
        min(1.0, ratio) * (1 - 1e-9)
        <= found.loss(cells) / told(cells)
        <= max(1.0, ratio) * (1 + 1e-9)
    )


@given(shares, shares, st.floats(1.2, 3.0))
def test_what_shares_nothing_moves_with_the_level_alone(cells, others, ratio):
    mine = {("mlp-down", s): x for (_, s), x in cells.items()}
    found = posterior(PRIOR, [MeasuredLoss(mine, told(mine) * ratio, 0.0)])
    level = found.factor("", "")
    assert 1.0 < level < ratio
    far = {("head", "ggml-iq4_xs"): math.fsum(others.values())}
    assert found.factor("head", "ggml-iq4_xs") == pytest.approx(level)
    assert found.band(far) > found.band(mine)


def test_one_file_is_shared_out_by_how_well_each_part_was_known():
    cells = {("mlp-down", "ggml-q8_0"): 0.01}
    found = posterior(PRIOR, [MeasuredLoss(cells, 0.02, 0.0)])
    widths = np.array([math.log(2.0), math.log(1.5), math.log(1.4), 0.5 * math.log(1.4)]) / Z80
    total = float((widths**2).sum())
    pull = math.log(2.0) / (total + ADDITIVITY**2)
    assert found.mean == pytest.approx(pull * widths**2)
    assert found.names == (("", ""), ("mlp-down", ""), ("", "ggml-q8_0"), ("mlp-down", "ggml-q8_0"))


def test_two_files_tell_formats_apart():
    low = {("mlp-down", "ggml-q8_0"): 0.004, ("attention-qkv", "ggml-q8_0"): 0.002}
    high = {("mlp-down", "ggml-q4_0"): 0.1, ("attention-qkv", "ggml-q4_0"): 0.05}
    found = posterior(PRIOR, [MeasuredLoss(low, 0.003, 1e-5), MeasuredLoss(high, 0.3, 1e-3)])
    assert found.factor("mlp-down", "ggml-q8_0") < 0.7
    assert found.factor("mlp-down", "ggml-q4_0") > 1.5
    for cells, kl in ((low, 0.003), (high, 0.3)):
        assert found.loss(cells) == pytest.approx(kl, rel=0.08)


def test_a_loss_that_saturates_is_fitted_through_the_saturation():
    cells = {("mlp-down", "ggml-q2_k"): 1.0}
    kl = saturated(2.0, PRIOR.saturation)
    found = posterior(PRIOR, [MeasuredLoss(cells, kl, 0.0)])
    assert found.loss(cells) == pytest.approx(kl, rel=0.05)


def test_a_noisy_file_moves_less():
    cells = {("mlp-down", "ggml-q8_0"): 0.01}
    sure, noisy = (posterior(PRIOR, [MeasuredLoss(cells, 0.03, error)]) for error in (1e-5, 0.03))
    assert sure.loss(cells) > noisy.loss(cells) > 0.01
    assert sure.band(cells) < noisy.band(cells)


def test_files_without_a_loss_tell_nothing():
    found = posterior(
        PRIOR,
        [
            MeasuredLoss({("mlp-down", "bf16"): 0.0}, 0.01, 0.0),
            MeasuredLoss({("mlp-down", "ggml-q8_0"): 0.01}, 0.0, 0.0),
        ],
    )
    assert found.files == 0
    assert found.factor("mlp-down", "ggml-q8_0") == 1.0
