"""Emulated units, measured losses, caches, accumulators and the backward pass, on random models."""

from __future__ import annotations

import numpy as np
import pytest
from support.probe_models import LAYERS, tiny_decoder, tiny_encoder, tokens

from evaluation.tiers import unit_errors
from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.lab.probe.accumulate import accumulator_error
from planner.lab.probe.caches import quantised_cache
from planner.lab.probe.emulate import (
    Quantizer,
    apply,
    output_error,
    prepare,
    rounded_inputs,
    smooth_factors,
)
from planner.lab.probe.gradient import fisher_losses
from planner.lab.probe.loader import layer_inputs
from planner.lab.probe.measure import make_reference, measured_loss, plan_loss, unit_losses
from planner.lab.probe.model import exact
from planner.numerics import quantize

RNG = np.random.default_rng(5)
X = RNG.standard_normal((40, 128)).astype(np.float32)
W = (RNG.standard_normal((24, 128)) * 0.1).astype(np.float32)


@pytest.mark.parametrize(
    "scheme", ["fp8-tensor", "fp8-block", "int8-w8a8", "nvfp4", "mxfp4", "int4-w4a16-g32"]
)
def test_output_error_is_the_difference_of_products(scheme: str) -> None:
    w_hat = quantize(W, scheme).dequantize().astype(np.float64)
    x_hat = (
        X.astype(np.float64)
        if "w4a16" in scheme
        else quantize(X, scheme, role="activation").dequantize().astype(np.float64)
    )
    expected = x_hat @ w_hat.T - X.astype(np.float64) @ W.T.astype(np.float64)
    unit = prepare(W, Quantizer(scheme))
    assert output_error(X, W, unit) == pytest.approx(expected, abs=2e-6)
    assert apply(unit, X) == pytest.approx(x_hat @ w_hat.T, abs=2e-5)


def test_weights_only_leaves_inputs_alone() -> None:
    assert rounded_inputs(X, Quantizer("nvfp4", weights_only=True)) is X
    assert not np.array_equal(rounded_inputs(X, Quantizer("nvfp4")), X)


def test_a_static_scale_of_the_same_amax_is_the_dynamic_one_and_a_small_one_saturates() -> None:
    amax = float(np.abs(X).max())
    fixed = rounded_inputs(X, Quantizer("fp8-tensor", static_amax=amax))
    assert np.array_equal(fixed, rounded_inputs(X, Quantizer("fp8-tensor")))
    assert np.abs(
        rounded_inputs(X, Quantizer("int8-w8a8", static_amax=1.0))
    ).max() == pytest.approx(1.0)
    with pytest.raises(UnsupportedError, match="e2m1"):
        rounded_inputs(X, Quantizer("nvfp4", static_amax=amax))
    with pytest.raises(InputError):
        rounded_inputs(X, Quantizer("int8-w8a8", static_amax=0.0))


def test_smoothing_moves_outliers_of_inputs_into_weights() -> None:
    x = X.copy()
    x[:, 7] *= 100
    s = smooth_factors(np.abs(x).max(axis=0), [W], 0.5)
    plain, smooth = (
        float(np.square(output_error(x, W, prepare(W, r))).sum())
        for r in (Quantizer("int8-w8a8"), Quantizer("int8-w8a8", input_scale=s))
    )
    assert smooth < plain / 4
    assert np.allclose((x / s) @ (W * s).T, x @ W.T, atol=1e-3)
    with pytest.raises(InputError, match="strength"):
        smooth_factors(np.ones(3, np.float32), [np.ones((2, 3), np.float32)], 1.5)


@pytest.mark.parametrize("model", [tiny_decoder(), tiny_encoder()], ids=["decoder", "encoder"])
def test_a_unit_alone_is_a_plan_of_one_unit(model) -> None:
    reference = make_reference(model, tokens())
    recipes = [Quantizer("nvfp4"), Quantizer("int4-w4a16-g32"), Quantizer("fp32")]
    for unit in (model.units[0].id, model.units[-1].id):
        [(name, losses)] = unit_losses(model, reference, [unit], recipes)
        assert name == unit
        for recipe, loss in zip(recipes, losses, strict=True):
            whole = plan_loss(model, reference, {unit: recipe})
            assert loss.by_chunk == pytest.approx(whole.by_chunk, rel=1e-3, abs=1e-9)
        assert losses[0].mean > 1e-7 > abs(losses[2].mean)


def test_the_unchanged_model_has_no_loss() -> None:
    model = tiny_decoder()
    reference = make_reference(model, tokens())
    for start in range(LAYERS):
        loss = measured_loss(model, reference, exact(model), start=start)
        assert (loss.mean, loss.flips) == (pytest.approx(0, abs=1e-9), 0)
    with pytest.raises(InputError, match="shape"):
        make_reference(model, tokens()[0])
    with pytest.raises(InputError, match="shape"):
        make_reference(model, tokens()[:, :0])


def test_one_token_is_a_text() -> None:
    model = tiny_decoder()
    reference = make_reference(model, tokens()[:1, :1])
    assert reference.tokens.size == 1
    assert measured_loss(model, reference, exact(model)).mean == pytest.approx(0, abs=1e-9)


def test_inputs_are_those_of_the_forward_pass() -> None:
    model, ids = tiny_decoder(), tokens()
    seen = dict(layer_inputs(model, ids))
    assert list(seen) == [u.id for u in model.units]
    reference = make_reference(model, ids)
    x = seen["2.q"].reshape(*ids.shape, -1)
    h = reference.hidden[2]
    expected = h / np.sqrt((h * h).mean(axis=-1, keepdims=True) + 1e-5)
    assert x == pytest.approx(expected, abs=1e-5)
    assert seen["0.q"] is not seen["0.gate"]


def test_a_cache_layout_changes_only_what_it_stores() -> None:
    model = tiny_decoder()
    reference = make_reference(model, tokens())
    layers = range(LAYERS)

    def loss(keys: dict[int, str], values: dict[int, str]) -> float:
        hook = quantised_cache(keys, values)
        return measured_loss(model, reference, exact(model), cache=hook).mean

    coarse, fine = dict.fromkeys(layers, "int4-token"), dict.fromkeys(layers, "int8-token")
    assert loss({}, {}) == pytest.approx(0, abs=1e-9)
    assert loss(dict.fromkeys(layers, "bf16"), {}) == pytest.approx(0, abs=1e-9)
    assert loss(coarse, {}) > 20 * loss(fine, {}) > 0
    assert loss({}, coarse) > 20 * loss({}, fine) > 0
    with pytest.raises(UnsupportedError, match="int4-channel"):
        quantised_cache({}, {0: "int4-channel"})
    with pytest.raises(UnknownNameError):
        quantised_cache({0: "int3"}, {})


def test_accumulators_enter_the_error() -> None:
    x = RNG.standard_normal((16, 1536)).astype(np.float32)
    w = RNG.standard_normal((8, 1536)).astype(np.float32)

    def error(scheme: str, unit: str, promote: int | None = None):
        return accumulator_error(x, w, scheme, unit=unit, promote=promote)

    chain, promoted = error("fp8-tensor", "hopper-wgmma"), error("fp8-tensor", "hopper-wgmma", 128)
    assert chain.added > 4 * promoted.added > 0
    assert promoted.added > 100 * error("fp8-tensor", "blackwell-tcgen05").added
    assert error("int8-w8a8", "int8-imma").added < 1e-12
    assert chain.total == pytest.approx(chain.rounding + chain.added, rel=0.05)
    with pytest.raises(UnsupportedError, match="volta"):
        error("fp8-tensor", "volta")


def test_relative_errors_are_those_of_single_matrices() -> None:
    model, ids = tiny_decoder(), tokens()
    seen, recipe = dict(layer_inputs(model, ids)), Quantizer("mxfp4")
    for name, errors in unit_errors(model, ids, [recipe]):
        w, x = model.weight(name).astype(np.float64), seen[name].astype(np.float64)
        w_hat = quantize(w.astype(np.float32), "mxfp4").dequantize()
        x_hat = quantize(seen[name], "mxfp4", role="activation").dequantize()
        y = x @ w.T
        change = x_hat.astype(np.float64) @ w_hat.T - y
        assert errors.output[0] == pytest.approx((change**2).sum() / (y**2).sum(), rel=1e-4)
        assert errors.output_mean_square[0] == pytest.approx((change**2).mean(), rel=1e-4)
        assert errors.weight[0] == pytest.approx(((w_hat - w) ** 2).sum() / (w**2).sum(), rel=1e-5)


@pytest.mark.parametrize("model", [tiny_decoder(), tiny_encoder()], ids=["decoder", "encoder"])
def test_backward_passes_predict_losses_of_small_changes(model) -> None:
    """Same ids, many draws: the prediction is the second-order term itself."""
    ids = tokens(4)
    recipes = [Quantizer("fp8-channel"), Quantizer("int8-w8a8")]
    found = fisher_losses(model, ids, recipes, seed=3, draws=64)
    reference = make_reference(model, ids)
    measured = np.array(
        [
            [x.mean for x in losses]
            for _, losses in unit_losses(model, reference, [u.id for u in model.units], recipes)
        ]
    )
    ratios = found.full / measured
    assert 0.85 < np.median(ratios) < 1.15
    assert np.quantile(np.abs(np.log(ratios)), 0.8) < np.log(1.4)
    assert found.diagonal.shape == measured.shape


def test_draws_are_seeded_and_needed() -> None:
    model, recipes = tiny_decoder(), [Quantizer("nvfp4")]
    a, b, c = (fisher_losses(model, tokens(), recipes, seed=s, draws=2).full for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    with pytest.raises(InputError, match="draws"):
        fisher_losses(model, tokens(), recipes, seed=1, draws=0)
