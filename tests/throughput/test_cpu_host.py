"""The engine's own time on a CPU: counts by hand, who pays it, what was measured, and that it is
told."""

from dataclasses import replace

import pytest

from planner.hardware.catalog import resolve_device
from planner.hardware.profile import FitError, FittedSet
from planner.models.catalog import bundled_model
from planner.throughput.cpu_host import (
    calls_of_layer,
    cpu_host_seconds,
    host_certainty,
    host_source,
)
from tests.support import theory

XEON = resolve_device("xeon-6980p")


def measured(seconds):
    """The Xeon after `plan measure` timed a call."""
    error = FitError(1, 0, 0.0, 0.0, 0.0, 0.2, 0.0)
    fit = FittedSet(
        "torch-calls",
        "torch",
        "2.13.0+cpu",
        "eager",
        {"call_seconds": seconds},
        {},
        error,
        "fitted",
        "here",
        "2026-11-27",
    )
    return replace(XEON, fitted={**XEON.fitted, ("torch-calls", "torch", "eager"): fit})


@pytest.mark.parametrize(
    ("model", "calls"),
    [
        ("llama-3.1-8b", 14 + 2 + 4),
        ("qwen3-8b", 14 + 6 + 2 + 4),
        ("qwen3-235b-a22b", 14 + 6 + 2 + 8),
        ("deepseek-r1", 14 + 8 + 2 + (3 * 4 + 58 * (8 + 4)) / 61),
    ],
)
def test_calls_of_a_layer_by_hand(model, calls):
    assert calls_of_layer(bundled_model(model), "sglang") == pytest.approx(calls)


@pytest.mark.parametrize(
    ("engine", "eager", "calls"),
    [("vllm", True, 50), ("vllm", False, 13), ("sglang", True, 20), ("pytorch", False, 55)],
)
def test_calls_of_a_llama_layer_as_the_profiler_counted_them(engine, eager, calls):
    assert calls_of_layer(bundled_model("smollm2-135m"), engine, eager=eager) == calls


def test_norms_of_heads_are_norms():
    """Qwen3 normalises queries and keys: two norms more, of twelve calls each in vLLM."""
    plain, normed = (
        calls_of_layer(bundled_model(m), "vllm", eager=True) for m in ("llama-3.1-8b", "qwen3-8b")
    )
    assert normed - plain == 6 + 2 * 11


def test_python_walks_the_layers_on_the_same_cores():
    spec = bundled_model("llama-3.1-8b")
    assert cpu_host_seconds(spec, XEON, "sglang") == pytest.approx(20 * 5e-6)
    assert cpu_host_seconds(spec, XEON, "vllm") == pytest.approx((13 + 145 / 32) * 5e-6)
    assert cpu_host_seconds(spec, XEON, "vllm", eager=True) == pytest.approx((50 + 145 / 32) * 5e-6)
    floor = XEON.achieved["elementwise"].floor_seconds.value
    assert cpu_host_seconds(spec, XEON, "llama.cpp") == pytest.approx(15 * floor)


def test_a_measured_call_takes_the_place_of_the_prior():
    spec, here = bundled_model("llama-3.1-8b"), measured(8e-6)
    assert cpu_host_seconds(spec, here, "sglang") == pytest.approx(20 * 8e-6)
    assert (host_certainty(XEON, "vllm").basis, host_certainty(here, "vllm").basis) == (
        "prior",
        "fitted",
    )
    assert host_certainty(here, "vllm").sigma < host_certainty(XEON, "vllm").sigma
    assert host_certainty(here, "llama.cpp") == host_certainty(XEON, "llama.cpp")
    assert "measured: 8 µs a call" in host_source(here, spec, "vllm")


def test_nobody_else_pays():
    spec = bundled_model("llama-3.1-8b")
    assert cpu_host_seconds(spec, XEON, "any") == 0
    assert cpu_host_seconds(spec, resolve_device("h100-sxm"), "sglang") == 0
    assert host_source(XEON, spec, "any") == ""


def tpot(engine, device="xeon-6980p"):
    return theory.estimate(
        "llama-3.2-1b", device, scheme="bf16", devices=1, batch=1, context=2048, engine=engine
    ).performance.tpot_seconds


def test_a_step_carries_it_once_a_layer():
    layers = bundled_model("llama-3.2-1b").layers
    assert tpot("sglang").value - tpot("any").value == pytest.approx(layers * 20 * 5e-6, rel=0.02)


def test_the_band_of_calls_is_in_that_of_a_step():
    """Most of a small model's step is calls; known by a factor of two, they widen its interval."""
    wide, narrow = tpot("sglang"), tpot("sglang", measured(5e-6))
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high > narrow.high


def test_the_answer_says_so():
    plan = theory.plan(
        "llama-3.2-1b", "xeon-6980p", devices=1, batch=1, context=2048, engine="sglang"
    )
    told = [a for a in plan.assumptions if a.key == "time between kernels"]
    assert len(told) == 1
    assert told[0].value == "100 µs a layer"
    assert "20 calls a layer" in told[0].reason
    assert "5 µs a call" in told[0].reason
