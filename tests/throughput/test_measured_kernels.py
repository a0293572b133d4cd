"""A set stands for the kernel that its tables timed; another kernel of the engine borrows it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from planner.base.versions import Version
from planner.hardware.catalog import resolve_device
from planner.throughput import measured_kernels
from planner.throughput.engine_kernels import capability_ranges, chosen_kernel, in_ranges
from planner.throughput.gemm import GemmModel, gemm_model
from planner.throughput.measured_kernels import by_kernel, timed_kernels

B200, H100 = resolve_device("b200-sxm"), resolve_device("h100-sxm")
DATA = Path(measured_kernels.__file__).parent / "data" / "measured_kernels.csv"


def test_the_kernel_that_was_timed_keeps_its_own_error() -> None:
    model = gemm_model(B200, "nvfp4", ["vllm"])
    assert model is not None
    assert by_kernel(model, B200, "FlashInferCuteDslNvFp4LinearKernel", "vllm") == model
    assert by_kernel(model, B200, "", "vllm") == model


def test_another_kernel_carries_a_loans_error_at_the_same_time() -> None:
    model = gemm_model(B200, "nvfp4", ["vllm"])
    assert model is not None
    other = by_kernel(model, B200, "CutlassNvFp4LinearKernel", "vllm")
    assert other.form == model.form
    assert other.basis == "transferred"
    assert other.sigma > 2 * model.sigma
    assert "CutlassNvFp4LinearKernel" in other.origin


def test_what_was_lent_already_is_left_as_it_is() -> None:
    lent = gemm_model(H100, "fp8-block", ["vllm"])
    assert lent is not None
    assert by_kernel(lent, H100, "AnyKernel", "vllm") == lent
    from_vllm = gemm_model(B200, "nvfp4", ["sglang"])
    assert from_vllm is not None
    if from_vllm.stack == "vllm":
        assert by_kernel(from_vllm, B200, "AnyKernel", "sglang") == from_vllm


def test_a_relative_that_takes_the_set_over_is_no_surer_than_the_device_it_is_of() -> None:
    surer, taken = (
        gemm_model(resolve_device(name), "nvfp4", ["vllm"]) for name in ("b300-sxm", "gb300")
    )
    assert surer is not None
    assert taken is not None
    assert taken.basis == "transferred"
    kernel = "FlashInferCutlassNvFp4LinearKernel"
    there = by_kernel(surer, resolve_device("b300-sxm"), kernel, "vllm")
    here = by_kernel(taken, resolve_device("gb300"), kernel, "vllm")
    assert kernel in here.origin
    assert here.sigma >= there.sigma > 2 * surer.sigma


@pytest.mark.parametrize(
    ("capability", "scheme"),
    [
        ("8.9", "fp8-tensor"),
        ("9.0", "fp8-tensor"),
        ("10.0", "nvfp4"),
        ("12.0", "nvfp4"),
        ("8.9", "fp8-block"),
        ("10.3", "fp8-block"),
        ("12.0", "fp8-block"),
        ("9.0", "bf16"),
    ],
)
def test_the_timed_kernels_are_what_vllm_0_24_picks(capability: str, scheme: str) -> None:
    found = chosen_kernel(
        "vllm", Version("0.24"), capability, "dense", scheme, case="compressed-tensors"
    )
    here = tuple(int(part) for part in capability.split("."))
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["variant"] == scheme and in_ranges(here, capability_ranges(row["sm"]))
        ]
    assert found is not None
    assert [row["kernel"] for row in rows] == [found.kernel]


def test_a_device_without_a_capability_was_timed_on_nothing() -> None:
    assert timed_kernels(resolve_device("xeon-6980p"), "vllm", "bf16") == ()


def seconds(model: GemmModel, rows: float) -> float:
    n, k = np.asarray(14336.0), np.asarray(4096.0)
    return float(model.parts(np.asarray(rows), n, k).total())


def marlin(device: str, scheme: str) -> tuple[GemmModel, GemmModel]:
    """(BF16, ``scheme`` by Marlin) in vLLM."""
    here = resolve_device(device)
    plain, packed = (gemm_model(here, name, ["vllm"]) for name in ("bf16", scheme))
    assert plain is not None
    assert packed is not None
    return plain, by_kernel(packed, here, "MarlinLinearKernel", "vllm")


@pytest.mark.parametrize("device", ["a100-sxm", "h100-sxm", "b200-sxm", "rtx-3090"])
def test_marlin_reads_packed_weights_as_its_experts_do(device: str) -> None:
    plain, four = marlin(device, "int4-w4a16")
    _, eight = marlin(device, "fp8-w8a16")
    assert seconds(four, 1.0) < seconds(eight, 1.0) < seconds(plain, 1.0)
    assert "marlin" in four.origin


def test_marlin_multiplies_at_the_rate_of_ampere() -> None:
    """On Ampere and Ada near cuBLAS, on Hopper and Blackwell far behind it."""
    slower = {}
    for device in ("l40s", "a100-sxm", "h100-sxm", "b200-sxm"):
        plain, packed = marlin(device, "int4-w4a16")
        slower[device] = seconds(packed, 8192.0) / seconds(plain, 8192.0)
    assert list(slower) == sorted(slower, key=slower.__getitem__)
    assert slower["l40s"] < 1.1
    assert slower["h100-sxm"] > 2


def test_without_measured_experts_marlin_is_priced_as_before() -> None:
    here = resolve_device("a100-sxm")
    bare = replace(here, fitted={k: v for k, v in here.fitted.items() if k[0] != "moe"})
    bare = replace(bare, inherited={k: v for k, v in bare.inherited.items() if k[0] != "moe"})
    model = gemm_model(bare, "int4-w4a16", ["vllm"])
    assert model is not None
    assert by_kernel(model, bare, "MarlinLinearKernel", "vllm") == model
