"""The engine's own time on a CPU: counts by hand, who pays it, and that it is told."""

import pytest

from planner.hardware.catalog import resolve_device
from planner.models.catalog import bundled_model
from planner.throughput.cpu_host import calls_of_layer, cpu_host_seconds, host_source
from tests.support import theory

XEON = resolve_device("xeon-6980p")


@pytest.mark.parametrize(("model", "calls"), [
    ("llama-3.1-8b", 14 + 2 + 4), ("qwen3-8b", 14 + 6 + 2 + 4),
    ("qwen3-235b-a22b", 14 + 6 + 2 + 8),
    ("deepseek-r1", 14 + 8 + 2 + (3 * 4 + 58 * (8 + 4)) / 61)])
def test_calls_of_a_layer_by_hand(model, calls):
    assert calls_of_layer(bundled_model(model)) == pytest.approx(calls)


def test_python_walks_the_layers_on_the_same_cores():
    spec = bundled_model("llama-3.1-8b")
    assert cpu_host_seconds(spec, XEON, "sglang") == pytest.approx(20 * 5e-6)
    assert cpu_host_seconds(spec, XEON, "vllm") == pytest.approx(20 * 2.5e-6)
    floor = XEON.achieved["elementwise"].floor_seconds.value
    assert cpu_host_seconds(spec, XEON, "llama.cpp") == pytest.approx(15 * floor)


def test_nobody_else_pays():
    spec = bundled_model("llama-3.1-8b")
    assert cpu_host_seconds(spec, XEON, "any") == 0
    assert cpu_host_seconds(spec, resolve_device("h100-sxm"), "sglang") == 0
    assert host_source("any") == ""


def tpot(engine, device="xeon-6980p"):
    return theory.estimate("llama-3.2-1b", device, scheme="bf16", devices=1, batch=1,
                            context=2048, engine=engine).performance.tpot_seconds.value


def test_a_step_carries_it_once_a_layer():
    layers = bundled_model("llama-3.2-1b").layers
    assert tpot("sglang") - tpot("any") == pytest.approx(layers * 20 * 5e-6, rel=0.02)
    assert tpot("sglang", "l40s") == pytest.approx(tpot("sglang", "l40s"))


def test_the_answer_says_so():
    plan = theory.plan("llama-3.2-1b", "xeon-6980p", devices=1, batch=1, context=2048,
                        engine="sglang")
    told = [a for a in plan.assumptions if a.key == "time between kernels"]
    assert len(told) == 1
    assert told[0].value == "100 µs a layer"
    assert "5 µs a call" in told[0].reason
