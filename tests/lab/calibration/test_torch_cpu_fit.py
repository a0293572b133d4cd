"""torch's calls and emulated products on a CPU: what was measured comes back, with its error."""

import pytest

from planner.hardware.catalog import resolve_device
from planner.lab.calibration import torch_cpu
from planner.lab.calibration.gemm import fit_tables

XEON = resolve_device("xeon-6980p")
PROFILES = {"host": XEON, "h100-sxm": resolve_device("h100-sxm")}


def call(us, threads="2", software="torch 2.13.0+cpu", device="host"):
    return {
        "device": device,
        "software": software,
        "op": "layer",
        "calls": "41",
        "latency_us": str(us),
        "threads": threads,
    }


def product(m, n, k, us, **more):
    return {
        "device": "host",
        "software": "torch 2.13.0+cpu",
        "kernel": "_scaled_mm",
        "w_a_dtype": "fp8",
        "m": str(m),
        "n": str(n),
        "k": str(k),
        "latency_us": str(us),
        "threads": "2",
        **more,
    }


def test_a_call_is_a_layer_over_its_calls():
    ((device, found),) = torch_cpu.fit_tables(
        (call(205.0), call(400.0, threads="1")), profiles=PROFILES
    )
    assert device == XEON.id
    assert (found.operator, found.stack, found.variant) == ("torch-calls", "torch", "eager")
    assert found.parameters["call_seconds"] == pytest.approx(5e-6)
    assert found.software == "2.13.0+cpu"
    assert found.error.sigma == torch_cpu.CALL_SIGMA


def test_only_torch_on_a_cpu_counts():
    others = (call(205.0, software="numpy 2.4"), call(205.0, device="h100-sxm"))
    assert torch_cpu.fit_tables(others, profiles=PROFILES) == []


def test_a_weight_is_of_the_fewest_tokens_and_shapes_apart_widen_the_error():
    rows = (
        product(1, 1000, 1000, 5000.0),
        product(1, 2000, 1000, 40000.0),
        product(64, 1000, 1000, 90000.0),
    )
    ((_, found),) = torch_cpu.emulated_products(rows, profiles=PROFILES)
    assert found.parameters["weight_seconds"] == pytest.approx(10e-9)  # √(5 · 20)
    assert found.error.sigma > torch_cpu.WEIGHT_SIGMA
    ((_, alone),) = torch_cpu.emulated_products(rows[:1], profiles=PROFILES)
    assert alone.error.sigma == torch_cpu.ALONE_SIGMA


def test_products_of_a_gpu_or_by_another_kernel_are_left():
    gpu = product(1, 4096, 4096, 20.0, device="h100-sxm")
    plain = product(1, 4096, 4096, 900.0, kernel="linear", w_a_dtype="bfloat16")
    assert torch_cpu.emulated_products((gpu, plain), profiles=PROFILES) == []


def test_fits_of_products_include_them():
    found = fit_tables((product(1, 1000, 1000, 5000.0),), profiles=PROFILES)
    assert [(f.operator, f.variant) for _, f in found] == [("torch-scaled-mm", "fp8")]
