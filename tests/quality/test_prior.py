"""The prior's arithmetic: its unit, what is free, the factors, refusals, anchors of the cache."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from planner.api.plan import estimate
from planner.errors import UnsupportedError
from planner.formats.kv import KV_LAYOUTS
from planner.models.catalog import model_ids, resolve_model
from planner.quality.prior import (
    OUTSIDE,
    RULE_KINDS,
    Prior,
    bucket_of,
    cache_layer_loss,
    layer_loss,
    load_prior,
    normaliser,
    range_failure,
    reference_of,
)

PRIOR = load_prior()
LINEARS = tuple(k for k in PRIOR.kind if k not in RULE_KINDS)


def made_up(**changed: Any) -> Prior:
    error = {"bf16": {k: {"fp8-block": 0.001, "bf16": 0.0, "fp16": 1e-9, "nvfp4": 0.02}
                      for k in ("attention-qkv", "attention-out", "mlp-gate-up", "mlp-down")}}
    none = {"bf16": {k: dict.fromkeys(v, 0.0) for k, v in error["bf16"].items()}}
    base = Prior(
        error=error, overflow=none, flushed=none,
        cache_error={"kv-k": {"bf16": 0.0, "fp8": 0.004}, "kv-v": {"bf16": 0.0, "fp8": 0.002}},
        kind=dict.fromkeys(error["bf16"], 1.0), depth={"first": 2.0, "middle": 1.0, "last": 3.0},
        ends=2, cache_ratio={"kv-k": 0.25, "kv-v": 0.05}, anchor_layout="fp8", flushed_limit=0.01,
        band=2.0, rule_band=4.0, seed=1)
    return replace(base, **changed)


def priced_models() -> list[str]:
    """Models whose kinds of attention are modelled; every release has a table of errors."""
    specs = [resolve_model(name) for name in model_ids()]
    return [s.id for s in specs if {a.kind for a in s.attention} <= {"gqa", "mla", "linear"}]


def test_most_models_are_priced() -> None:
    assert len(priced_models()) >= 58


@pytest.mark.parametrize("name", priced_models())
def test_uniform_fp8_block_is_the_unit(name: str) -> None:
    plan = estimate(name, "b300-sxm", devices=16, scheme="fp8-block", context=1024)
    assert plan.quality.loss == pytest.approx(1.0, abs=1e-12)
    assert plan.quality.tier.startswith("T0")
    assert plan.quality.low == pytest.approx(1 / PRIOR.band)
    assert plan.quality.high == pytest.approx(PRIOR.band)


@pytest.mark.parametrize("name", ["deepseek-v3", "deepseek-v2-lite", "llama-3.1-8b"])
def test_up_casting_is_free_and_four_bits_cost_more_than_eight(name: str) -> None:
    loss = {s: estimate(name, "b300-sxm", devices=16 if name == "deepseek-v3" else 1, scheme=s,
                        context=1024).quality.loss
            for s in ("fp32", "bf16", "fp8-w8a16", "fp8-tensor", "mxfp8", "nvfp4", "mxfp4",
                      "nvfp4-w4a16")}
    if name == "deepseek-v3":  # stored in these blocks; E4M3 × FP32 scale is wider than BF16
        assert loss["fp8-w8a16"] == 0
        assert 0 < loss["bf16"] < 0.01
    else:
        assert loss["bf16"] == 0
    assert loss["fp32"] == pytest.approx(0, abs=1e-9)
    assert 0 <= loss["fp8-w8a16"] < loss["fp8-tensor"] < loss["nvfp4"] < loss["mxfp4"]
    assert loss["mxfp8"] < loss["nvfp4-w4a16"] < loss["nvfp4"]


def test_up_casting_a_bf16_checkpoint_loses_nothing() -> None:
    for kind in LINEARS:
        for name in ("bf16", "fp32"):
            assert PRIOR.error["bf16"][kind][name] == 0
            assert layer_loss(PRIOR, "bf16", kind, "last", name) == 0


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
    assert [bucket_of(n, 7, 2) for n in range(7)] == \
        ["first"] * 2 + ["middle"] * 3 + ["last"] * 2
    assert [bucket_of(n, 3, 2) for n in range(3)] == ["first", "first", "last"]
    assert [bucket_of(n, 1, 2) for n in range(1)] == ["first"]


def test_loss_is_kind_times_depth_times_error() -> None:
    prior = made_up(kind={"attention-qkv": 1.5, "mlp-down": 0.5})
    assert layer_loss(prior, "bf16", "attention-qkv", "last", "nvfp4") == \
        pytest.approx(1.5 * 3.0 * 0.02)
    assert layer_loss(prior, "bf16", "mlp-down", "middle", "fp8-block") == pytest.approx(0.0005)
    assert layer_loss(prior, "bf16", "mlp-gate-up", "middle", "fp8-block") is None
    assert layer_loss(prior, "bf16", "attention-qkv", "middle", "int8-w8a8") is None


def test_the_ends_weigh_more_and_each_kind_has_its_factor() -> None:
    for kind, factor in ((k, PRIOR.kind[k]) for k in LINEARS):
        by_depth = [layer_loss(PRIOR, "bf16", kind, b, "nvfp4") for b in ("middle", "first",
                                                                          "last")]
        error = PRIOR.error["bf16"][kind]["nvfp4"]
        assert by_depth[0] == pytest.approx(factor * error)
        assert all(a is not None and b is not None and a < b for a, b in pairwise(by_depth))


def test_kinds_of_rules_have_a_factor_and_a_wider_band() -> None:
    assert set(RULE_KINDS) < set(PRIOR.kind)
    assert PRIOR.rule_band > PRIOR.band
    for kind in RULE_KINDS:
        assert layer_loss(PRIOR, "bf16", kind, OUTSIDE, "bf16") == 0
    head, embedding = (layer_loss(PRIOR, "bf16", kind, OUTSIDE, "fp8-w8a16")
                       for kind in ("head", "embedding"))
    assert head is not None
    assert embedding is not None
    assert head > 5 * embedding > 0
    assert layer_loss(PRIOR, "bf16", "embedding", OUTSIDE, "fp8-tensor") is None  # no lookup in it
    assert layer_loss(PRIOR, "bf16", "norm", "middle", "fp8-w8a16") is None


def test_the_normaliser_is_the_sum_over_units() -> None:
    prior = made_up()
    units = [("bf16", "attention-qkv", "first", 2), ("bf16", "mlp-down", "middle", 5),
             ("bf16", "mlp-down", "last", 1)]
    assert normaliser(prior, units) == pytest.approx(0.001 * (2 * 2.0 + 5 + 3.0))
    half = {kind: {name: e / 2 for name, e in row.items()}
            for kind, row in prior.error["bf16"].items()}
    both = made_up(error={**prior.error, "mxfp4": half})
    units[0] = ("mxfp4", "attention-qkv", "first", 2)
    assert normaliser(both, units) == pytest.approx(0.001 * (2.0 + 5 + 3.0))


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


def test_the_cache_is_anchored_to_its_measured_ratio() -> None:
    prior = made_up()
    dense = 4 * 0.001  # one layer of four linears in fp8-block
    assert cache_layer_loss(prior, "kv-k", "middle", "fp8") == pytest.approx(0.25 * dense)
    assert cache_layer_loss(prior, "kv-v", "last", "fp8") == pytest.approx(3 * 0.05 * dense)
    assert cache_layer_loss(prior, "kv-k", "first", "bf16") == 0
    assert cache_layer_loss(prior, "kv-k", "first", "int4-channel") is None


def test_keys_are_far_more_sensitive_than_values() -> None:
    for layout in ("fp8", "int8-token", "int4-token", "nvfp4"):
        k = cache_layer_loss(PRIOR, "kv-k", "middle", layout)
        v = cache_layer_loss(PRIOR, "kv-v", "middle", layout)
        assert k is not None
        assert v is not None
        assert k > 4 * v > 0


def test_every_layout_has_a_loss_for_what_it_stores_and_none_for_the_rest() -> None:
    for layout in KV_LAYOUTS.values():
        for kind in ("kv-k", "kv-v", "kv-latent"):
            loss = cache_layer_loss(PRIOR, kind, "middle", layout.id)
            assert (loss is not None) == (kind in layout.applies_to), (layout.id, kind)
