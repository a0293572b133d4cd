"""Products whose activations the kernel before narrows: no quantise kernel, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.placement.modules import modules
from planner.throughput.calibration import STACKS
from planner.throughput.fused import fused_kinds, narrowed_before
from planner.throughput.gemm import gemm_model
from planner.throughput.linear import kernel_arrays
from planner.throughput.quantise import quantise_model

B200, H100 = resolve_device("b200-sxm"), resolve_device("h100-sxm")
TRT = ("trtllm",)
M, N, K = np.asarray(64.0), np.asarray(8192.0), np.asarray(8192.0)


def test_nvfp4_loses_the_launch_of_one_conversion_and_its_pass() -> None:
    model = gemm_model(B200, "nvfp4", TRT)
    assert model is not None
    form = narrowed_before(model, B200, TRT, static_scales=True)
    launch = quantise_model(B200, "scale-matrix", TRT).parts(np.zeros(()), np.zeros(())).launch
    assert 1e-6 < float(launch) < 3e-6
    assert float(model.form.launch - form.launch) == pytest.approx(float(launch))
    assert float(form.narrow_seconds) == 0.0
    assert float(form.wave_rate) == float(model.form.wave_rate)


def test_fp8_keeps_the_search_for_a_scale_that_no_checkpoint_stores() -> None:
    model = gemm_model(H100, "fp8-tensor", TRT, static_scales=False)
    assert model is not None
    assert narrowed_before(model, H100, TRT, static_scales=False) == model.form
    stored = gemm_model(H100, "fp8-tensor", TRT, static_scales=True)
    assert stored is not None
    form = narrowed_before(stored, H100, TRT, static_scales=True)
    assert float(form.narrow_launch) == 0.0
    assert float(form.launch) == float(stored.form.launch)


def test_without_an_engine_nothing_is_fused() -> None:
    assert fused_kinds(STACKS, "nvfp4") == frozenset()
    assert fused_kinds(("vllm",), "nvfp4") == frozenset()
    assert "attention-qkv" in fused_kinds(TRT, "nvfp4")
    assert fused_kinds(TRT, "bf16") == frozenset()
    assert kernel_arrays(B200, ["bf16", "nvfp4"], experts=False, stacks=STACKS).narrowed == {}


def test_only_the_kinds_and_schemes_that_are_fused_change() -> None:
    kernels = kernel_arrays(
        B200, ["bf16", "nvfp4", "fp8-block"], experts=False, stacks=TRT, static_scales=True
    )
    layer = {m.kind: m for m in modules(resolve_model("llama-3.1-70b"))}
    plain, qkv = kernels.form, kernels.form_of(layer["attention-qkv"])
    assert plain is not None
    assert qkv is not None
    assert kernels.form_of(layer["attention-out"]) == kernels.narrowed["attention-out"]
    assert kernels.form_of(layer["mlp-down"]) == plain
    narrow = {m.kind: m for m in modules(resolve_model("llama-3.1-8b"))}
    for kind in ("attention-qkv", "attention-out", "mlp-gate-up"):
        assert kernels.form_of(narrow[kind]) == plain  # 4096 wide: apart
    np.testing.assert_array_equal(qkv.launch == plain.launch, [True, False, True])
    np.testing.assert_array_equal(qkv.narrow_seconds == plain.narrow_seconds, [True, False, True])
    model = gemm_model(B200, "nvfp4", TRT)
    assert model is not None
    whole = float(model.parts(M, N, K).total())
    saved = float(plain.launch[1] - qkv.launch[1]) + float(M * K * plain.narrow_seconds[1])
    assert 0 < saved < 0.5 * whole
