"""The split of a layer's error: causes against their own definitions, units against known facts."""

from __future__ import annotations

import numpy as np
import pytest

import planner
from planner.base.errors import InputError, PlannerError, UnknownNameError, UnsupportedError
from planner.formats.recipes import recipes_of
from planner.numerics import decode, encode, quantize
from planner.quality.layer_error import LayerShape, layer_errors
from planner.quality.synthetic import activations, linear_kind, weights

SHAPE = LayerShape("mlp-gate-up", 4096, 24, 12, seed=3)


def _bf16(x: np.ndarray) -> np.ndarray:
    return decode(encode(x, "bf16"), "bf16")


def test_fp8_without_promotion_loses_ten_times_on_hopper_and_nothing_on_blackwell() -> None:
    (layer,) = layer_errors(SHAPE, ["fp8-tensor"], ["hopper-wgmma", "blackwell-tcgen05"])
    added = {a.label: a.relative_error for a in layer.accumulations}
    assert added["hopper-wgmma"] > 8 * added["hopper-wgmma +128"]
    assert 1e-3 < added["hopper-wgmma"] < 1e-2
    assert added["blackwell-tcgen05"] < 1e-5 < added["hopper-wgmma +128"]


def test_rounding_is_what_it_says() -> None:
    (layer,) = layer_errors(SHAPE, ["int8-w8a8"], ["int8-imma"])
    spec = linear_kind(SHAPE.kind, SHAPE.inputs, SHAPE.outputs)
    w = _bf16(weights(SHAPE.kind, SHAPE.seed, spec)).astype(np.float64)
    x = _bf16(activations(SHAPE.kind, SHAPE.seed, spec, tokens=SHAPE.tokens)).astype(np.float64)
    w_hat = quantize(w.astype(np.float32), "int8-w8a8").dequantize().astype(np.float64)
    exact = x @ w.T
    expected = np.linalg.norm(x @ w_hat.T - exact) / np.linalg.norm(exact)
    assert layer.weight == pytest.approx(expected, rel=1e-12)
    assert max(layer.weight, layer.activation) < layer.rounding < layer.weight + layer.activation


def test_integer_sums_add_nothing() -> None:
    (layer,) = layer_errors(SHAPE, ["int8-w8a8"], ["int8-imma", "avx512-vnni", "amx-int8"])
    assert len(layer.accumulations) == 3
    assert all(a.relative_error < 1e-6 for a in layer.accumulations)


@pytest.mark.parametrize("scheme", ["nvfp4", "mxfp4", "mxfp8"])
def test_block_scaled_units_agree_with_the_dequantised_product(scheme: str) -> None:
    (layer,) = layer_errors(SHAPE, [scheme], ["blackwell-block-scaled"])
    assert layer.accumulations
    assert all(a.relative_error < 1e-4 for a in layer.accumulations)


def test_promotion_of_block_scaled_sums_is_computed() -> None:
    (layer,) = layer_errors(SHAPE, ["mxfp8"], ["blackwell-block-scaled"])
    added = {a.promote_every: a.relative_error for a in layer.accumulations}
    assert added[128] < added[None] / 3


def test_a_unit_that_multiplies_none_of_the_schemes_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="volta takes the operands of none of: fp8-tensor"):
        layer_errors(SHAPE, ["fp8-tensor"], ["volta", "ada"])


@pytest.mark.exhaustive
def test_weight_only_has_no_activation_error_and_16_bit_units() -> None:
    (layer,) = layer_errors(SHAPE, ["int4-w4a16"])
    assert layer.activation == 0
    assert {"ampere", "amx-bf16"} <= {a.unit for a in layer.accumulations}


def test_every_accumulation_says_what_it_was_verified_against() -> None:
    (layer,) = layer_errors(SHAPE, ["fp8-block"])
    assert all(a.verified_against for a in layer.accumulations)


@pytest.mark.exhaustive
def test_api_uses_the_layer_of_the_model_and_refuses_by_name() -> None:
    result = planner.layer_error(
        "deepseek-v3", module="mla-q", schemes=["fp8-block"], units=["exact"], tokens=4, outputs=8
    )
    assert (result.shape.inputs, result.shape.outputs) == (7168, 8)
    assert result.to_dict()["layers"][0]["scheme"] == "fp8-block"
    assert list(result.to_frame()["unit"]) == ["exact"]
    with pytest.raises(UnknownNameError, match="attention-qkv"):
        planner.layer_error("deepseek-v3", module="attention-qkv")
    for bad in ({"schemes": ["fp9"]}, {"units": ["cray"]}):
        with pytest.raises(PlannerError):
            planner.layer_error("llama-3.1-8b", module="mlp-down", **bad)
    with pytest.raises(InputError):
        layer_errors(LayerShape("mlp-down", 0, 1, 1, 1), ["bf16"])


def test_recipes_stand_behind_their_scheme_and_can_be_seen_to_help() -> None:
    ids = ["nvfp4", *recipes_of("nvfp4"), "mxfp4", *recipes_of("mxfp4")]
    found = {layer.scheme: layer for layer in layer_errors(SHAPE, ids, ["blackwell-block-scaled"])}
    assert list(found) == ids
    plain = found["nvfp4"]
    assert found["nvfp4-4over6"].rounding < plain.rounding < found["nvfp4-16x16"].rounding
    assert found["nvfp4-16x16"].activation == plain.activation
    assert found["nvfp4-sr8"].weight == plain.weight
    assert found["nvfp4-sr8"].activation > 1.2 * plain.activation
    assert found["mxfp4-hadamard32"].activation < found["mxfp4"].activation
    assert all(a.relative_error < 1e-6 for one in found.values() for a in one.accumulations)
    assert all(one.accumulations for one in found.values())


def test_recipes_are_asked_for_by_a_flag() -> None:
    for asked, more in ((False, ()), (True, recipes_of("nvfp4"))):
        result = planner.layer_error(
            "smollm2-135m",
            module="attention-out",
            schemes=["nvfp4", "bf16"],
            tokens=1,
            outputs=2,
            units=["blackwell-block-scaled", "exact"],
            recipes=asked,
        )
        assert [layer.scheme for layer in result.layers] == ["nvfp4", *more, "bf16"]


def test_a_preset_rounds_in_place_of_the_schemes_own() -> None:
    own, library = (
        layer_errors(SHAPE, ["mxfp4", "bf16"], ["blackwell-block-scaled", "fp32"], name)
        for name in (None, "modelopt")
    )
    spec = linear_kind(SHAPE.kind, SHAPE.inputs, SHAPE.outputs)
    w = _bf16(weights(SHAPE.kind, SHAPE.seed, spec))
    w_hat = quantize(w, "mxfp4", policy="modelopt").dequantize().astype(np.float64)
    x = _bf16(activations(SHAPE.kind, SHAPE.seed, spec, tokens=SHAPE.tokens)).astype(np.float64)
    exact = x @ w.astype(np.float64).T
    assert library[0].weight == pytest.approx(
        np.linalg.norm(x @ w_hat.T - exact) / np.linalg.norm(exact), rel=1e-12
    )
    assert library[0].weight != own[0].weight
    assert library[1] == own[1]
    with pytest.raises(UnknownNameError, match="unknown cast policy") as caught:
        layer_errors(SHAPE, ["mxfp4"], ["fp32"], "modelop")
    assert "modelopt" in caught.value.hint


def test_compressed_tensors_divides_by_its_tensor_scale() -> None:
    (own,), (stored,) = (
        layer_errors(SHAPE, ["nvfp4"], ["blackwell-block-scaled"], name)
        for name in (None, "compressed-tensors")
    )
    assert stored.weight == pytest.approx(own.weight, rel=1e-2)
    assert stored.accumulations[0].relative_error < 1e-6


@pytest.mark.parametrize(
    ("model", "module", "schemes", "said"),
    [
        ("deepseek-v3", "attention-out", ["fp8-block", "fp8-channel"], "under fp8-block,"),
        ("deepseek-v3", "attention-out", ["fp8-channel", "int8-w8a8"], None),
        ("llama-3.1-8b", "attention-out", ["fp8-block", "bf16"], None),
    ],
)
def test_a_release_that_stores_a_scheme_says_so(
    model: str, module: str, schemes: list[str], said: str | None
) -> None:
    result = planner.layer_error(
        model, module=module, schemes=schemes, units=["exact"], tokens=1, outputs=2
    )
    if said is None:
        assert result.notes == ()
        return
    (note,) = result.notes
    assert "weights are synthetic BF16" in note
    assert f"{model} is released with {module} as fp8-block" in note
    assert said in note
    assert note in " ".join(str(result).split())
    assert result.to_dict()["notes"] == [note]


def test_the_sample_of_outputs_says_how_far_it_may_be_off(monkeypatch) -> None:
    """Against every output: within four of its standard errors, which are a tenth or so."""
    shape = LayerShape("mlp-gate-up", 1024, 96, 48, seed=5)
    (sample,) = layer_errors(shape, ["fp8-tensor"], ["hopper-wgmma", "fp32"])
    monkeypatch.setattr("planner.quality.layer_error.SAMPLED_TOKENS", 48)
    monkeypatch.setattr("planner.quality.layer_error.SAMPLED_OUTPUTS", 96)
    (whole,) = layer_errors(shape, ["fp8-tensor"], ["hopper-wgmma", "fp32"])
    assert [(a.tokens, a.outputs) for a in sample.accumulations] == [(8, 16)] * 3
    assert [(a.tokens, a.outputs) for a in whole.accumulations] == [(48, 96)] * 3
    for few, many in zip(sample.accumulations, whole.accumulations, strict=True):
        assert 0.02 < few.standard_error / few.relative_error < 0.4
        assert abs(few.relative_error - many.relative_error) < 4 * few.standard_error
        assert many.standard_error < few.standard_error / 3
    assert sample.rounding == whole.rounding
