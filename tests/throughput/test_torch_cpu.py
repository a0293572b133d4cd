"""FP8 on a CPU by torch._scaled_mm: every product widens its weights, whatever the tokens."""

from dataclasses import replace

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.hardware.profile import FitError, FittedSet
from planner.models.catalog import bundled_model
from planner.planning.inspect.batch_one import BatchOneRun, price_batch_one, prompt_and_step
from planner.throughput.linear import kernel_arrays
from planner.throughput.roofline import parts
from planner.throughput.torch_cpu import emulated, widening_then_product

XEON = resolve_device("xeon-6980p")
CORES = XEON.silicon.multiprocessors.value if XEON.silicon is not None else 1.0


def measured(seconds):
    error = FitError(3, 3, 0.0, 0.0, 0.0, 0.3, 0.8)
    fit = FittedSet(
        "torch-scaled-mm",
        "torch",
        "2.13.0+cpu",
        "fp8",
        {"weight_seconds": seconds},
        {},
        error,
        "fitted",
        "here",
        "2026-11-27",
    )
    return replace(XEON, fitted={**XEON.fitted, ("torch-scaled-mm", "torch", "fp8"): fit})


@pytest.mark.parametrize(
    ("engine", "device", "scheme", "found"),
    [
        ("vllm", XEON, "fp8-channel", True),
        ("vllm", XEON, "int8-w8a8", False),
        ("sglang", XEON, "fp8-channel", False),
        ("any", XEON, "fp8-channel", False),
        ("vllm", resolve_device("h100-sxm"), "fp8-channel", False),
    ],
)
def test_who_emulates(engine, device, scheme, found):
    assert (emulated(engine, device, scheme) is not None) == found


def test_the_prior_is_of_one_core_and_the_measured_figure_of_the_machine():
    assert emulated("vllm", XEON, "fp8-channel").seconds == pytest.approx(12e-9 / CORES)
    assert emulated("vllm", measured(7e-9), "fp8-channel").seconds == 7e-9
    assert emulated("vllm", measured(7e-9), "fp8-channel").certainty.basis == "fitted"


def test_kernels_multiply_in_fp32_and_say_how_sure_they_are():
    found = kernel_arrays(XEON, ["bf16", "fp8-channel"], experts=False, engine="vllm")
    theory = kernel_arrays(XEON, ["bf16", "fp8-channel"], experts=False)
    assert found.emulated.tolist() == [False, True]
    assert not theory.emulated.any()
    assert found.peak[1] == XEON.rate("fp32").dense.value
    assert found.certainty[1].sigma > found.certainty[0].sigma
    assert (found.peak[0], found.conversion[0]) == (theory.peak[0], theory.conversion[0])
    assert found.conversion[1] < theory.conversion[1]


def test_widening_and_product_follow_each_other():
    both = parts(
        compute=np.array([[2.0, 2.0]]),
        memory=np.array([[1.0, 3.0]]),
        conversion=np.array([[5.0, 5.0]]),
        launch=np.zeros((1, 2)),
        busy=np.array([[5.0, 5.0]]),
        overlap=True,
    )
    found = widening_then_product(both, np.array([False, True]))
    assert found.total().tolist() == [[5.0, 8.0]]
    assert found.overlap.tolist() == [[True, False]]
    assert widening_then_product(both, np.zeros(2, dtype=bool)) is both


def test_a_step_takes_the_weights_times_a_weight():
    """106,168,320 weights in the linears of 30 layers (960·576 + 576·576 + 3 · 1536·576)."""
    spec, here = bundled_model("smollm2-135m"), measured(20e-9)
    wide, narrow = (
        prompt_and_step(
            price_batch_one(
                spec, BatchOneRun(here, "vllm@0.32", 448, 64, 512, "bf16"), scheme=scheme
            )
        )
        for scheme in ("bf16", "fp8-channel")
    )
    weights = 30 * (960 * 576 + 576 * 576 + 3 * 1536 * 576)
    assert narrow[1].value - wide[1].value == pytest.approx(weights * 20e-9, rel=0.02)
    assert narrow[0].value - wide[0].value == pytest.approx(weights * 20e-9, rel=0.1)
