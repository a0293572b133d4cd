"""Floors of engines that run graphs of small kernels, and what their own kernels reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.hardware.profile import DeviceProfile
from planner.planning.inspect.priced_input import price_uniform
from planner.planning.price.step_prices import step_prices
from planner.planning.question.input import QuestionInput
from planner.throughput.elementwise_kernels import elementwise
from planner.throughput.launches import (
    ATTENTION,
    COPIES,
    as_launched,
    copy_seconds,
    launches,
    pause_seconds,
    reduction_seconds,
)

H100, XEON = resolve_device("h100-sxm"), resolve_device("xeon-6980p")
M5, M4 = resolve_device("apple-m5-max-128gb"), resolve_device("apple-m4-max")
M1 = resolve_device("apple-m1-max-64gb")
STRIX, XTX = resolve_device("strix-halo"), resolve_device("rx-7900-xtx")


def floors(device: DeviceProfile, engine: str) -> dict[str, float]:
    """Seconds of a kernel at least, by class."""
    reached = as_launched(device, engine).achieved
    return {name: one.floor_seconds.value for name, one in reached.items()}


@pytest.mark.parametrize("device", [H100, M5, M4, STRIX, XTX])
@pytest.mark.parametrize("engine", ["llama.cpp", "mlx"])
def test_every_class_has_the_floor_of_a_copy_or_of_reductions(
    device: DeviceProfile, engine: str
) -> None:
    copy, reduction = copy_seconds(device), reduction_seconds(device)
    assert 0 < copy < reduction
    for name, seconds in floors(device, engine).items():
        kernels = 2.0 if name in ATTENTION else 1.0
        assert seconds == (copy if name == COPIES else pytest.approx(kernels * reduction))


def test_floors_are_those_that_were_timed_on_a_platform() -> None:
    """Elsewhere a reduction takes half as long again as the copy of the profile."""
    assert (copy_seconds(M5), reduction_seconds(M5)) == (1.25e-6, 5.15e-6)
    assert (copy_seconds(STRIX), reduction_seconds(STRIX)) == (1.4e-6, 2.8e-6)
    copy = H100.achieved[COPIES].floor_seconds.value
    assert copy_seconds(H100) == copy
    assert reduction_seconds(H100) == pytest.approx(1.5 * copy)


def test_servers_and_cpus_keep_what_their_profile_says() -> None:
    assert as_launched(H100, "vllm") is H100
    assert as_launched(XEON, "llama.cpp") is XEON
    assert launches(XEON, "llama.cpp") is None
    assert launches(H100, "vllm") is None


def test_an_engines_own_kernels_reach_what_was_timed_of_them() -> None:
    """4-bit products of MLX 0.885 of Apple's bandwidth, those of llama.cpp 0.82; BF16 by rocBLAS
    on Strix Halo 4.2 of 59.4 TFLOP/s. Nothing else of a profile changes."""
    for device in (M5, M4):
        mlx, ggml = (as_launched(device, name).achieved["w4a16"] for name in ("mlx", "llama.cpp"))
        assert (mlx.bandwidth_fraction.value, mlx.compute_fraction.value) == (0.885, 0.72)
        assert ggml.bandwidth_fraction.value == 0.82
        assert ggml.compute_fraction == device.achieved["w4a16"].compute_fraction
    strix, xtx = (as_launched(d, "llama.cpp").achieved["bf16"] for d in (STRIX, XTX))
    assert strix.compute_fraction.value * 59.4e12 == pytest.approx(4.22e12, rel=0.01)
    assert xtx.compute_fraction == XTX.achieved["bf16"].compute_fraction
    for device, share in ((M1, 0.61), (XTX, 0.60)):  # 4-bit blocks unpacked beside the reading
        blocks = as_launched(device, "llama.cpp").achieved["w4a16"]
        assert blocks.bandwidth_fraction.value == share
    own, other = (
        as_launched(STRIX, e).achieved["attention-prefill"] for e in ("llama.cpp", "vllm")
    )
    assert own.compute_fraction.value * 59.4e12 == pytest.approx(6.6e12, rel=0.01)
    assert other == STRIX.achieved["attention-prefill"]
    same = as_launched(M5, "mlx")
    assert replace(same, achieved=M5.achieved) == M5


def test_experts_of_mlx_fill_tiles_of_the_unit_that_multiplies() -> None:
    """64 rows on the matrix units of M5, 16 on shader cores; llama.cpp has a law of its own."""
    rows = {
        (device.id, engine): how.tile_rows
        for device in (M5, M4)
        for engine in ("mlx", "llama.cpp")
        if (how := launches(device, engine)) is not None
    }
    assert rows == {
        (M5.id, "mlx"): 64.0,
        (M4.id, "mlx"): 16.0,
        (M5.id, "llama.cpp"): 0.0,
        (M4.id, "llama.cpp"): 0.0,
    }


def test_a_pause_costs_wiring_the_weights_again() -> None:
    """118 ms for 16.05 GB on an M5 Max, 261 for 13.5 on an M4 Pro; nothing where the memory stays:
    llama.cpp holds it, and other systems do not release it."""
    assert pause_seconds(M5, "mlx", 16.05e9) == pytest.approx(0.326 - 0.208, rel=0.01)
    assert pause_seconds(M4, "mlx", 13.5e9) == pytest.approx(0.325 - 0.063, rel=0.02)
    assert pause_seconds(M5, "mlx", 32.1e9) == 2 * pause_seconds(M5, "mlx", 16.05e9)
    for device, engine in ((M5, "llama.cpp"), (H100, "vllm"), (STRIX, "llama.cpp")):
        assert pause_seconds(device, engine, 16e9) == 0.0


def test_a_small_kernel_of_metal_takes_its_dispatch() -> None:
    found = elementwise(as_launched(M5, "mlx"), np.array([0.0]), 3.0)
    assert float(found.total()[0, 0]) == pytest.approx(3 * 1.25e-6)


@pytest.mark.parametrize(("tokens", "least"), [(128, 5.0), (2048, 1.2)])
def test_a_short_prompt_of_many_experts_pays_for_whole_tiles(tokens: int, least: float) -> None:
    """256 experts of eight a token: 128 tokens are four rows of a tile of 64, 2,048 are 64."""
    given = {"engine": "mlx", "scheme": "mlx-4bit-g64", "devices": 1, "batch": 1, "osl": 2}
    inputs = QuestionInput(model="qwen3.5-35b-a3b", device=M5.id, isl=tokens, **given)
    at = price_uniform(inputs, "mlx-4bit-g64")
    here = np.array([at.candidate])
    model, pts = at.space.model, at.space.pts.take(here)
    sums = step_prices(model, at.space.times, pts, at.segments, at.space.rows[here])
    # What its active parameters alone take at the rate that a dense product reaches.
    alone = 2 * 3e9 * tokens / (0.72 * 7.168e13)
    assert sums.ttft.item() > least * alone
