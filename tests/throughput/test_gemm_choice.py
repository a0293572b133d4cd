"""Which fitted GEMM a scheme takes on a device, and what it says about itself."""

import numpy as np
import pytest

from planner.formats.schemes import scheme_ids
from planner.hardware.catalog import device_ids, resolve_device
from planner.throughput.calibration import PRIOR, STACKS, fitted_set
from planner.throughput.gemm import gemm_model
from planner.throughput.proxy_kernels import proxy_kernel
from planner.throughput.quantise import quantise_model

H100, B200 = resolve_device("h100-sxm"), resolve_device("b200-sxm")


@pytest.mark.parametrize(
    ("device", "scheme", "stack", "basis", "origin"),
    [
        ("h100-sxm", "bf16", "trtllm", "fitted", "trtllm .* bf16 on h100-sxm"),
        ("h100-sxm", "fp8-tensor", "vllm", "fitted", "vllm .* fp8-tensor on h100-sxm"),
        ("h100-sxm", "fp8-block", "vllm", "transferred", "trtllm .* fp8-block on h100-sxm"),
        ("h100-sxm", "bf16", "sglang", "transferred", "vllm .* bf16 on h100-sxm"),
        ("h100-sxm", "fp8-channel", "trtllm", "transferred", "trtllm .* fp8-tensor on h100-sxm"),
        ("h20", "fp8-block", "trtllm", "transferred", "trtllm .* fp8-block on h100-sxm"),
        ("gb200", "nvfp4", "vllm", "transferred", "vllm .* nvfp4 on b200-sxm"),
        ("a100-sxm", "int4-w4a16", "trtllm", "fitted", "trtllm .* int4-w4a16 on a100-sxm"),
        ("a100-sxm", "int4-w4a16", "vllm", "transferred", "trtllm .* int4-w4a16 on a100-sxm"),
        ("a100-sxm", "int8-w8a8", "trtllm", "fitted", "trtllm .* int8-w8a8 on a100-sxm"),
        ("h100-sxm", "int8-w8a8", "trtllm", "prior", "trtllm .* fp8-tensor on h100-sxm"),
        ("l40s", "fp8-tensor", "vllm", "fitted", "vllm .* fp8-tensor on l40s"),
        ("rtx-pro-6000", "nvfp4", "trtllm", "fitted", "trtllm .* nvfp4 on rtx-pro-6000"),
        ("b300-sxm", "nvfp4", "vllm", "fitted", "vllm .* nvfp4 on b300-sxm"),
    ],
)
def test_the_nearest_measurement_is_taken(
    device: str, scheme: str, stack: str, basis: str, origin: str
) -> None:
    import re

    model = gemm_model(resolve_device(device), scheme, [stack])
    assert model is not None
    assert model.basis == basis
    assert re.fullmatch(origin, model.origin)


@pytest.mark.parametrize(
    ("device", "scheme"),
    [
        ("h100-sxm", "nvfp4"),
        ("a100-sxm", "fp8-block"),
        ("xeon-platinum-8480", "bf16"),
        ("jetson-agx-orin-64gb", "bf16"),
        ("h100-sxm", "ggml-q4_0"),
        ("h100-sxm", "fp32"),
    ],
)
def test_without_a_relative_or_a_unit_there_is_none(device: str, scheme: str) -> None:
    assert gemm_model(resolve_device(device), scheme, STACKS) is None


def test_no_stack_means_no_measurement() -> None:
    assert gemm_model(H100, "bf16", ()) is None


def test_borrowing_widens_the_interval() -> None:
    own = gemm_model(H100, "bf16", ["trtllm"])
    lent = gemm_model(H100, "bf16", ["sglang"])
    carried = gemm_model(resolve_device("h20"), "bf16", ["trtllm"])
    like = gemm_model(H100, "fp16", ["trtllm"])
    assert own is not None
    assert own.sigma == fitted_set(H100, "gemm", ["trtllm"], ["bf16"]).fit.error.sigma  # type: ignore[union-attr]
    for other in (lent, carried, like):
        assert other is not None
        assert other.sigma > own.sigma
        assert other.basis == "transferred"


def test_a_format_that_no_stack_was_measured_in_carries_a_priors_error() -> None:
    for scheme in ("int8-w8a8", "int4-w4a16", "fp8-w8a16", "nvfp4-w4a16"):
        for stack in ("trtllm", "vllm", "sglang"):
            model = gemm_model(H100, scheme, [stack])
            assert model is not None
            assert model.basis == "prior"
            assert model.sigma >= PRIOR.sigma
    measured = gemm_model(H100, "fp8-tensor", ["trtllm"])
    assert measured is not None
    assert measured.sigma < PRIOR.sigma


def test_a_loan_carries_what_its_pair_was_measured_to_miss_by() -> None:
    lent = gemm_model(H100, "fp8-tensor", ["sglang"])
    assert lent is not None
    expected = proxy_kernel("gemm", "sglang", "vllm", "fp8-tensor", "Hopper")
    assert lent.sigma == pytest.approx(expected.sigma)
    assert lent.basis == "transferred"


def test_every_legal_scheme_of_every_device_prices_or_says_none() -> None:
    m, n, k = (np.array([[1.0], [4096.0]]), np.asarray(4096.0), np.asarray(7168.0))
    for device in map(resolve_device, device_ids()):
        for scheme in scheme_ids():
            model = gemm_model(device, scheme, STACKS)
            if model is not None:
                seconds = model.parts(m, n, k).total()
                assert (seconds > 1e-6).all()
                assert 0.02 < model.sigma < 1.0


def test_weight_only_reads_fewer_bytes_and_pays_for_it_in_a_prompt() -> None:
    plain, narrow = (gemm_model(H100, s, ["trtllm"]) for s in ("bf16", "int4-w4a16"))
    assert plain is not None
    assert narrow is not None
    one, many, side = np.asarray(1.0), np.asarray(16384.0), np.asarray(8192.0)
    assert narrow.parts(one, side, side).total() < 0.6 * plain.parts(one, side, side).total()
    assert narrow.parts(many, side, side).total() > plain.parts(many, side, side).total()


@pytest.mark.parametrize(
    ("device", "stack", "basis"),
    [
        ("h100-sxm", "trtllm", "fitted"),
        ("h100-sxm", "sglang", "transferred"),
        ("gb200", "trtllm", "transferred"),
        ("jetson-agx-orin-64gb", "trtllm", "prior"),
        ("jetson-agx-thor-t5000", "trtllm", "prior"),
        ("xeon-platinum-8480", "trtllm", "prior"),
    ],
)
def test_every_device_narrows_activations_somehow(device: str, stack: str, basis: str) -> None:
    model = quantise_model(resolve_device(device), "scale-matrix", [stack])
    assert model.basis == basis
    size = np.array([1.0, 64.0, 8192.0])
    seconds = model.parts(size, np.asarray(4096.0)).total()
    assert (np.diff(seconds) > 0).all()


@pytest.mark.parametrize("device", ["h100-sxm", "b200-sxm", "l40s", "rtx-pro-6000"])
def test_stored_scales_never_take_longer(device: str) -> None:
    profile = resolve_device(device)
    searched, stored = (
        gemm_model(profile, "fp8-tensor", ["trtllm"], static_scales=static)
        for static in (False, True)
    )
    assert searched is not None
    assert stored is not None
    for rows in (1.0, 64.0, 8192.0):
        size = np.asarray(4096.0)
        times = [model.parts(np.asarray(rows), size, size).total() for model in (searched, stored)]
        assert times[1] <= times[0]
