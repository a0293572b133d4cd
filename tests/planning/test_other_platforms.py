"""Plans for what is no NVIDIA card of a server: who serves them, in what, and what is said."""

from __future__ import annotations

from typing import Any

import pytest

import planner
from planner.base.errors import UnsupportedError
from planner.hardware.catalog import resolve_device
from planner.planning.plan.record import Plan
from planner.throughput.calibration import PRIOR
from planner.throughput.ggml import ggml_certainty, ggml_kernel, widening

MODEL = "llama-3.2-1b"


def planned(device: str, **more: Any) -> Plan:
    return planner.plan(MODEL, device, **{"devices": 1, "batch": 1, **more})


def priced(device: str, **more: Any) -> Plan:
    return planner.estimate(
        MODEL, device, **{"devices": 1, "batch": 1, "scheme": "bf16", "isl": 64, "osl": 64, **more}
    )


def told(plan: Plan) -> dict[str, str]:
    return {a.key: f"{a.value} — {a.reason}" for a in plan.assumptions}


@pytest.mark.parametrize(
    ("device", "engine"),
    [
        ("mi300x", "vllm"),
        ("tpu-v6e", "vllm"),
        ("trainium2", "vllm"),
        ("gaudi-3", "vllm"),
        ("ascend-910b", "vllm"),
        ("apple-m4-max", "llama.cpp"),
        ("strix-halo", "llama.cpp"),
    ],
)
def test_an_engine_that_serves_the_device_is_taken(device: str, engine: str) -> None:
    plan = priced(device)
    assert engine in {label.split()[0] for label in plan.engine.chosen_from}
    assert "tensorrt-llm" in told(plan)["engine"]
    assert "class" in told(plan)["inherited"]


def test_decoding_is_no_faster_than_the_memory() -> None:
    """GB10: 273 GB/s, whatever the units multiply."""
    for device in ("dgx-spark", "apple-m4-max", "strix-halo", "tpu-v5e"):
        plan = priced(device)
        read = sum(u.weight_bytes for u in plan.units if u.kind != "embedding")
        bandwidth = resolve_device(device).bandwidth_bytes_per_s.value
        assert read / bandwidth < plan.performance.tpot_seconds.value < 3 * read / bandwidth


def test_fp8_of_mi300x_is_told_to_be_fnuz() -> None:
    assert "FNUZ" in told(priced("mi300x"))["FP8 here"]
    assert "FP8 here" not in told(priced("mi355x"))


def test_a_platform_names_the_plug_in() -> None:
    note = told(priced("tpu-v6e"))["platform"]
    assert "tpu-inference" in note
    assert "platform" not in told(priced("h100-sxm"))


def test_turing_serves_bf16_models_in_fp16() -> None:
    plan = priced("t4", engine="vllm", scheme="int8-w8a8")
    assert {u.scheme for u in plan.units} & {"bf16"} == set()
    assert {u.kv_layout for u in plan.units if u.kv_layout} == {"fp16"}
    assert "no BF16 on Turing" in told(plan)["served in"]
    assert "--dtype float16" in str(plan)


def test_no_scheme_is_claimed_where_no_unit_multiplies_it() -> None:
    for device, scheme in (
        ("rtx-3090", "fp8-channel"),
        ("tpu-v5e", "fp8-channel"),
        ("apple-m4-max", "int8-w8a8"),
        ("mi300x", "mxfp4"),
        ("gaudi-3", "int8-w8a8"),
        ("ascend-910b", "fp8-tensor"),
    ):
        with pytest.raises(UnsupportedError):
            planned(device, schemes=[scheme])


@pytest.mark.parametrize("device", ["apple-m4-max", "ascend-910b"])
def test_a_back_end_that_widens_reads_packed_weights(device: str) -> None:
    """Memory-bound at one token: Q4_0 takes little more than its bytes; many tokens run at the
    16-bit rate, and no activation is quantised."""
    target = resolve_device(device)
    assert widening(target) is not None
    kernel = ggml_kernel(target, "ggml-q4_0", experts=False)
    half = target.rate("fp16") or target.rate("bf16")
    assert half is not None
    share = target.achieved["bf16"].compute_fraction.value
    assert kernel.tile == pytest.approx(2 / (half.dense.value * share))
    assert kernel.quantise == kernel.quantise_launch == 0
    assert kernel.vector < 4.5 / 8 * kernel.memory
    assert ggml_certainty(target) == PRIOR


def test_kernels_are_quoted_by_compute_capability() -> None:
    note = told(priced("rtx-5090", engine="vllm", scheme="mxfp8"))["kernels"]
    assert "FlashInferCutlassMxfp8LinearKernel" in note
    assert "SM 12.0" in note
    plain = told(priced("rtx-3090", engine="vllm", scheme="fp8-w8a16"))["kernels"]
    assert "(weight-only)" in plain
    found = planner.explain(MODEL, "rtx-5090", module="mlp-down", engine="vllm")
    assert any(a.key == "kernels" and "SM 12.0" in a.reason for a in found.assumptions)


def test_geforce_halves_plain_fp8_and_not_block_scaled() -> None:
    card = resolve_device("rtx-5090")
    plain, scaled = card.rate("fp8"), card.rate("mxfp8")
    assert plain is not None
    assert scaled is not None
    assert scaled.dense.value == 2 * plain.dense.value
    assert "half" in told(priced("rtx-5090"))["rates of GeForce"]
