"""The shipped table is what the code computes, and orders formats as measurements do."""

import json

import numpy as np
import pytest

from planner.base.errors import InputError
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES, scheme, stores_exactly
from planner.lab.tables import errors
from planner.lab.tables.errors import (
    FILE_REFERENCES,
    PATH,
    RANGES,
    REFERENCES,
    SEED,
    build_tables,
    emulated_schemes,
    schemes_from,
    six,
    to_json,
)
from planner.quality.rule_errors import applies
from planner.quality.synthetic import LINEAR_KINDS, RULE_KINDS

# Mean KL [nats] of SmolLM2-135M-Instruct with all 30 layers in one format, against full precision.
MEASURED_KL = {
    "int8-w8a16": 0.0031, "fp8-block": 0.020, "fp8-channel": 0.025, "fp8-tensor": 0.029,
    "int8-w8a8": 0.039, "nvfp4-w4a16": 0.22, "nvfp4": 0.40, "int4-w4a16": 0.62, "mxfp4": 1.47,
}  # fmt: skip
RELEASED = ("bf16", "fp8-block", "int4-w4a16", "nvfp4", "ggml-q4_k")
DENSE = ("attention-qkv", "attention-out", "mlp-gate-up", "mlp-down")


@pytest.fixture(scope="module")
def table():
    return json.loads(PATH.read_text(encoding="utf-8"))


def dense_mean(table) -> dict[str, float]:
    errors = table["error"]["bf16"]
    return {s: float(np.mean([errors[k][s] for k in DENSE])) for s in emulated_schemes()}


@pytest.mark.numerics
@pytest.mark.exhaustive
def test_shipped_table_is_reproduced_exactly():
    assert to_json(build_tables(SEED)) == PATH.read_text(encoding="utf-8")


@pytest.mark.numerics
@pytest.mark.parametrize(
    "kind", ["attention-out", pytest.param("experts-down", marks=pytest.mark.exhaustive)]
)
def test_shipped_figures_of_a_kind_are_reproduced_exactly(monkeypatch, table, kind):
    """One with outlier channels, one gated without, from a released type of every kind of scale;
    the long version above takes minutes."""
    kinds = {kind: LINEAR_KINDS[kind]}
    ruled = {k: RULE_KINDS[k] for k in ("embedding", "norm")}
    monkeypatch.setattr(errors, "REFERENCES", RELEASED)
    monkeypatch.setattr(errors, "FILE_REFERENCES", ("ggml-q5_0",))
    monkeypatch.setattr(errors, "LINEAR_KINDS", kinds)
    monkeypatch.setattr(errors, "RULE_KINDS", ruled)
    kinds = kinds | ruled
    fresh = build_tables(SEED)
    assert fresh["cache_error"] == table["cache_error"]
    for name in ("error", "weight_error", "activation_error", "overflow", "flushed"):
        for reference in (*RELEASED, "ggml-q5_0"):
            assert fresh[name][reference] == {k: table[name][reference][k] for k in kinds}


def test_coverage(table):
    assert set(SCHEMES) - set(emulated_schemes()) == {
        f"ggml-{name}" for name in ("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs")
    }
    for name in ("error", "weight_error", "activation_error", *RANGES):
        assert set(table[name]) == {*REFERENCES, *FILE_REFERENCES}
        for reference, kinds in table[name].items():
            assert set(kinds) == {*LINEAR_KINDS, *RULE_KINDS}
            for kind, row in kinds.items():
                every = {s for s in schemes_from(reference) if applies(kind, scheme(s))}
                assert set(row) <= every if name in RANGES else set(row) == every
                assert name not in RANGES or all(row.values())
    assert set(FILE_REFERENCES) == {s for s in emulated_schemes() if s.startswith("ggml-")} - set(
        REFERENCES
    )
    for kind, row in table["cache_error"].items():
        assert set(row) == {i for i, k in KV_LAYOUTS.items() if kind in k.applies_to}


def test_formats_rank_as_full_model_divergence(table):
    """Spearman over nine formats, and the ratio to measured with fp8-block as 1."""
    ours = dense_mean(table)
    a = np.array([ours[s] / ours["fp8-block"] for s in MEASURED_KL])
    b = np.array([kl / MEASURED_KL["fp8-block"] for kl in MEASURED_KL.values()])
    ranks = [np.argsort(np.argsort(v)) for v in (a, b)]
    rho = float(np.corrcoef(*ranks)[0, 1])
    report = ", ".join(f"{s} {x / y:.2f}" for s, x, y in zip(MEASURED_KL, a, b, strict=True))
    print(f"Spearman {rho:.3f}; emulated/measured relative to fp8-block: {report}")
    assert rho >= 0.98, report
    assert ((a / b > 0.35) & (a / b < 1.5)).all(), report


def test_reference_arithmetic_has_no_error(table):
    for kind in LINEAR_KINDS:
        assert table["error"]["bf16"][kind]["bf16"] == 0
        assert table["error"]["bf16"][kind]["fp32"] == 0
        assert table["error"]["fp8-block"][kind]["fp32"] == 0
        assert 0 < table["error"]["bf16"][kind]["fp16"] < 1e-12
    for layouts in table["cache_error"].values():
        assert layouts["bf16"] == layouts["fp32"] == 0


def test_released_weights_carry_no_error(table):
    for reference in ("fp8-block", "fp8-block-ue8m0"):
        for kind in LINEAR_KINDS:
            assert table["weight_error"][reference][kind][reference] == 0
            errors = table["error"][reference][kind]
            assert errors["fp8-block"] == table["activation_error"][reference][kind]["fp8-block"]
            assert errors["fp8-block"] < table["error"]["bf16"][kind]["fp8-block"]


def test_four_bit_releases_start_from_their_stored_values(table):
    """What is stored costs nothing; another 4-bit grid costs less than from BF16 where it is finer
    than the stored one, and never less than nothing."""
    for reference in REFERENCES:
        for kind in LINEAR_KINDS:
            assert table["weight_error"][reference][kind][reference] == 0
            assert table["weight_error"][reference][kind]["bf16"] < 1e-5
    for kind in LINEAR_KINDS:
        mx = table["weight_error"]["mxfp4"][kind]
        assert mx["mxfp4-w4a16"] == mx["mxfp4"] == mx["mxfp8"] == mx["bf16"] == 0
        assert 0 < mx["nvfp4"] < table["weight_error"]["bf16"][kind]["nvfp4"]
        assert (
            0
            < table["weight_error"]["int4-w4a16-g32"][kind]["int4-w4a16"]
            < table["weight_error"]["bf16"][kind]["int4-w4a16"]
        )


def test_which_formats_keep_released_weights():
    fp32_scales, powers = scheme("fp8-block").weight, scheme("fp8-block-ue8m0").weight
    assert stores_exactly("fp8-block", fp32_scales)
    assert not stores_exactly("fp8-block", powers)
    assert stores_exactly("fp8-block-ue8m0", powers)
    assert stores_exactly("fp8-block-ue8m0", fp32_scales)
    assert not stores_exactly("fp8-block", scheme("fp8-channel").weight)
    assert not stores_exactly("fp8-block", scheme("bf16").weight)
    assert stores_exactly("bf16", scheme("bf16").weight)
    assert not stores_exactly("bf16", scheme("fp16").weight)


def test_parts_and_whole(table):
    """Weight and activation errors are nearly independent: their powers add up."""
    for reference in REFERENCES:
        for kind in LINEAR_KINDS:
            for id in schemes_from(reference):
                parts = (
                    table["weight_error"][reference][kind][id]
                    + table["activation_error"][reference][kind][id]
                )
                assert table["error"][reference][kind][id] == pytest.approx(
                    parts, rel=0.35, abs=1e-15
                )


def test_ggml_types_order_by_their_bits_and_round_their_inputs(table):
    """Activations are in 8-bit blocks, coarser beside K types; a search beats a plain scale."""
    for kind in LINEAR_KINDS:
        weight, inputs = (
            table[part]["bf16"][kind] for part in ("weight_error", "activation_error")
        )
        assert weight["ggml-q8_0"] < weight["ggml-q6_k"] < weight["ggml-q4_k"] < weight["ggml-q4_0"]
        assert (
            0
            < inputs["ggml-q8_0"]
            == inputs["ggml-q4_0"]
            < inputs["ggml-q4_k"]
            == inputs["ggml-q6_k"]
            < inputs["int8-w8a8"]
        )
        for stored in ("ggml-q4_k", "ggml-q6_k"):
            assert table["weight_error"][stored][kind][stored] == 0


def test_keys_matter_more_than_values(table):
    k, v = table["cache_error"]["kv-k"], table["cache_error"]["kv-v"]
    for layout in ("fp8", "int8-token", "int4-token", "nvfp4"):
        assert k[layout] > 4 * v[layout]
    assert k["int4-token"] > 4 * k["int4-channel"]
    latent = table["cache_error"]["kv-latent"]
    assert latent["fp8-ds-mla"] < latent["fp8"] < latent["nvfp4"]


def test_no_range_failures_in_normal_tensors(table):
    for reference in REFERENCES:
        for kind in LINEAR_KINDS:
            assert not any(table["overflow"][reference][kind].values())
            assert max(table["flushed"][reference][kind].values(), default=0) < 1e-3


def test_range_failures_are_seen():
    x = np.array([[7e4, 1e-9, 1.0]], np.float32)
    stored = errors.quantize(x, "fp16").dequantize()
    assert errors._range_failures(x, stored, scheme("fp16").weight) == (1, 1)
    narrow = errors.quantize(x, "int8-w8a8").dequantize()
    assert errors._range_failures(x, narrow, scheme("int8-w8a8").weight) == (0, 0)


def test_rounding_and_text():
    assert six(0.00123456789) == 0.00123457
    with pytest.raises(InputError):
        six(float("inf"))
    text = to_json({"b": {"y": {"z": 1, "a": 2.5}}, "a": [1, 2]})
    assert text == '{\n "a": [1, 2],\n "b": {\n  "y": {"a": 2.5, "z": 1}\n }\n}\n'
    assert json.loads(text) == {"a": [1, 2], "b": {"y": {"a": 2.5, "z": 1}}}
