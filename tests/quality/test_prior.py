"""T0's arithmetic: α times e, what is free, derived kinds, refusals, anchors of the cache."""

from dataclasses import replace
from math import fsum
from typing import Any

import pytest

from planner.base.errors import UnsupportedError
from planner.formats.kv import KV_LAYOUTS
from planner.models.catalog import model_ids, resolve_model
from planner.quality.cache_loss import CacheLaw
from planner.quality.floor import floor_of
from planner.quality.prior import (
    Prior,
    bucket_of,
    combined,
    load_prior,
    mix_band,
    module_alpha,
    range_failure,
    reference_of,
    total_band,
)
from planner.quality.sensitivity.predict import sensitivities
from planner.quality.sensitivity.records import OUTSIDE, Matrix, Sensitivities
from planner.quality.synthetic import LINEAR_KINDS as LINEARS
from tests.support.theory import estimate

PRIOR = load_prior()


def made_up(**changed: Any) -> Prior:
    error = {
        "bf16": {
            k: {"fp8-block": 0.001, "bf16": 0.0, "fp16": 1e-9, "nvfp4": 0.02}
            for k in ("attention-qkv", "attention-out", "mlp-gate-up", "mlp-down")
        }
    }
    none = {"bf16": {k: dict.fromkeys(v, 0.0) for k, v in error["bf16"].items()}}
    base = Prior(
        error=error,
        overflow=none,
        flushed=none,
        cache_error={"kv-k": {"bf16": 0.0, "fp8": 0.004}, "kv-v": {"bf16": 0.0, "fp8": 0.002}},
        caches=CacheLaw({"kv-k": 1.5, "kv-v": 0.5}, 0.5, 0.3, 4096.0, 2.0),
        ends=2,
        flushed_limit=0.01,
        rule_band=4.0,
        activation_band=1.5,
        format_band=1.2,
        seed=1,
    )
    return replace(base, **changed)


def found() -> Sensitivities:
    matrices = (
        Matrix("token_embd", "embedding", OUTSIDE),
        Matrix("attn_q", "attention-qkv", 0),
        Matrix("attn_k", "attention-qkv", 0),
        Matrix("attn_output", "attention-out", 0),
        Matrix("ffn_down_exps", "experts-down", 1),
        Matrix("attn_output", "attention-out", 1),
    )
    return Sensitivities(
        tier="learned",
        text="made up",
        matrices=matrices,
        alpha=(4.0, 1.0, 0.5, 2.0, 0.25, 0.75),
        bands={},
        pooled_band=2.0,
        level=8.5,
        level_band=2.0,
        whole_band=2.1,
        mix_band=1.5,
        level_basis="made up",
        saturation=0.0,
        sources=(),
        date="",
    )


def priced_models() -> list[str]:
    """Models whose kinds of attention are modelled; every release has a table of errors."""
    specs = [resolve_model(name) for name in model_ids()]
    return [s.id for s in specs if {a.kind for a in s.attention} <= {"gqa", "mla", "linear"}]


def test_most_models_are_priced() -> None:
    assert len(priced_models()) >= 58


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", priced_models())
def test_uniform_fp8_block_is_one_in_relative_loss_and_small_in_nats(name: str) -> None:
    plan = estimate(name, "b300-sxm", devices=16, scheme="fp8-block", kv="bf16", context=1024)
    found = sensitivities(resolve_model(name))
    assert plan.quality.relative == pytest.approx(1.0, abs=1e-12)
    assert plan.quality.unit.startswith("nats")
    assert plan.quality.tier == f"T0 {found.tier}"
    assert 1e-4 < plan.quality.loss < 0.1
    grown, floor = fsum(u.loss for u in plan.units), floor_of(resolve_model(name))
    assert plan.quality.loss == pytest.approx(grown + floor.value_nats)
    band = total_band(found)
    assert plan.quality.low == pytest.approx(grown / band + floor.low_nats)
    assert plan.quality.high == pytest.approx(grown * band + floor.high_nats)


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["deepseek-v3", "deepseek-v2-lite", "llama-3.1-8b"])
def test_up_casting_is_free_and_four_bits_cost_more_than_eight(name: str) -> None:
    loss = {
        s: estimate(
            name, "b300-sxm", devices=16 if name == "deepseek-v3" else 1, scheme=s, context=1024
        ).quality.loss
        for s in (
            "fp32",
            "bf16",
            "fp8-w8a16",
            "fp8-tensor",
            "mxfp8",
            "nvfp4",
            "mxfp4",
            "nvfp4-w4a16",
        )
    }
    if name == "deepseek-v3":  # stored in these blocks; E4M3 × FP32 scale is wider than BF16
        assert loss["fp8-w8a16"] == 0
        floor = floor_of(resolve_model(name)).value_nats
        assert floor < loss["bf16"] < floor + 0.01 * loss["fp8-tensor"]
    else:
        assert loss["bf16"] == 0
    assert loss["fp32"] == pytest.approx(0, abs=1e-9)
    assert 0 <= loss["fp8-w8a16"] < loss["fp8-tensor"] < loss["nvfp4"] < loss["mxfp4"]
    assert loss["mxfp8"] < loss["nvfp4-w4a16"] < loss["nvfp4"]


def test_up_casting_a_bf16_checkpoint_loses_nothing() -> None:
    for kind in LINEARS:
        for name in ("bf16", "fp32"):
            assert PRIOR.error["bf16"][kind][name] == 0


def test_a_block_checkpoint_in_bf16_keeps_the_rounding_of_its_products() -> None:
    step = 2.0**-9  # half of BF16's relative spacing bounds each weight's error
    for kind in LINEARS:
        assert 0 < PRIOR.error["fp8-block"][kind]["bf16"] < step**2
        assert PRIOR.error["fp8-block"][kind]["fp32"] < 2.0**-46


def test_a_block_checkpoint_keeps_its_weights_and_still_rounds_its_activations() -> None:
    for kind in LINEARS:
        stored, plain = PRIOR.error["fp8-block"][kind], PRIOR.error["bf16"][kind]
        assert stored["fp8-w8a16"] == 0
        assert 0 < stored["fp8-block"] < plain["fp8-block"]


def test_buckets() -> None:
    assert [bucket_of(n, 7, 2) for n in range(7)] == ["first"] * 2 + ["middle"] * 3 + ["last"] * 2
    assert [bucket_of(n, 3, 2) for n in range(3)] == ["first", "first", "last"]
    assert [bucket_of(n, 1, 2) for n in range(1)] == ["first"]


def test_a_kind_weighs_as_its_matrices_together() -> None:
    assert module_alpha(found(), "attention-qkv", 0) == 1.5
    assert module_alpha(found(), "attention-qkv", 1) is None
    assert module_alpha(found(), "embedding", OUTSIDE) == 4.0


def test_kinds_that_were_not_measured_weigh_as_what_they_change() -> None:
    assert module_alpha(found(), "router", 1) == module_alpha(found(), "experts-down", 1) == 0.25
    assert module_alpha(found(), "router", 0) is None
    assert module_alpha(found(), "indexer", 0) == module_alpha(found(), "attention-out", 0) == 2.0
    assert module_alpha(found(), "norm", 0) == pytest.approx(8.5 / 3)


def test_a_cache_weighs_as_the_attention_output_times_its_anchor() -> None:
    law = made_up().caches
    assert law.alpha(found(), "kv-k", 0) == 3.0
    assert law.alpha(found(), "kv-v", 1) == 0.375
    assert law.alpha(found(), "kv-k", 7) is None
    assert law.alpha(found(), "kv-latent", 0) is None


def test_bands_of_independent_causes_combine_in_logarithms() -> None:
    assert combined(2.0) == pytest.approx(2.0)
    assert combined(1.0, 3.0) == pytest.approx(3.0)
    assert combined(2.0, 2.0) == pytest.approx(2.0**2**0.5)
    assert mix_band(found(), made_up()) == pytest.approx(combined(1.5, 1.2))
    assert total_band(found()) == 2.1


def test_too_small_a_range_is_refused_with_its_share() -> None:
    clean = made_up()
    assert range_failure(clean, "bf16", "mlp-down", "fp16") == ""
    over = made_up(overflow={"bf16": {"mlp-down": {"fp16": 1e-6}}})
    assert "overflows" in range_failure(over, "bf16", "mlp-down", "fp16")
    assert range_failure(over, "bf16", "mlp-gate-up", "fp16") == ""
    flushed = made_up(flushed={"bf16": {"mlp-down": {"nvfp4": 0.05}}})
    assert "flushes 5.0%" in range_failure(flushed, "bf16", "mlp-down", "nvfp4")
    below = made_up(flushed={"bf16": {"mlp-down": {"nvfp4": 0.009}}})
    assert range_failure(below, "bf16", "mlp-down", "nvfp4") == ""


def test_plain_checkpoints_share_a_table_and_others_need_their_own() -> None:
    for name in ("bf16", "fp16", "fp32"):
        assert reference_of(name, PRIOR) == "bf16"
    assert reference_of("fp8-block", PRIOR) == "fp8-block"
    assert reference_of("nvfp4-w4a16", PRIOR) == "nvfp4"
    assert reference_of("int8-w8a16", PRIOR) == "int8-w8a8"
    for name in ("mxfp4-w4a16", "mxfp4-w4a8"):
        assert reference_of(name, PRIOR) == "mxfp4"
    assert reference_of("ggml-q4_k", PRIOR) == "ggml-q4_k"
    with pytest.raises(UnsupportedError, match="made-up") as caught:
        reference_of("made-up", PRIOR)
    assert "bf16" in caught.value.hint


def test_every_layout_has_an_error_for_what_it_stores_and_none_for_the_rest() -> None:
    for layout in KV_LAYOUTS.values():
        for kind in ("kv-k", "kv-v", "kv-latent"):
            assert (layout.id in PRIOR.cache_error[kind]) == (kind in layout.applies_to)
            assert kind in PRIOR.caches.share


def test_keys_are_far_more_sensitive_than_values() -> None:
    spec = sensitivities(resolve_model("qwen3-8b"))
    for layout in ("fp8", "int8-token", "int4-token", "nvfp4"):
        k, v = (PRIOR.caches.alpha(spec, kind, 7) for kind in ("kv-k", "kv-v"))
        assert k is not None
        assert v is not None
        assert k * PRIOR.cache_error["kv-k"][layout] > 4 * v * PRIOR.cache_error["kv-v"][layout] > 0
