"""What holds for every answer: finite, summed right, above the physical limit, monotone.

Models, devices and questions are drawn at random; a combination that the planner refuses proves
nothing and is drawn again, and most must not be refused.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from planner.base.errors import PlannerError
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device
from planner.planning.plan.record import Plan
from tests.support.theory import estimate

MODELS = (
    "qwen2.5-0.5b",
    "llama-3.2-1b",
    "smollm2-135m",
    "deepseek-v2-lite",
    "gpt-oss-20b",
    "gemma-3-4b-text",
    "qwen3-30b-a3b",
)
DEVICES = (
    "h100-sxm",
    "b200-sxm",
    "a100-sxm",
    "l40s",
    "xeon-6980p",
    "jetson-agx-orin-64gb",
    "jetson-agx-thor-t5000",
    "rtx-pro-6000",
)
SCHEMES = ("bf16", "fp8-block", "fp8-w8a16", "int8-w8a8", "int4-w4a16", "nvfp4")
BITS = {"fp32": 32.0, "bf16": 16.0, "fp8-w8a16": 8.0, "int4-w4a16": 4.25}

question = st.fixed_dictionaries(
    {
        "model": st.sampled_from(MODELS),
        "device": st.sampled_from(DEVICES),
        "scheme": st.sampled_from(SCHEMES),
        "kv": st.sampled_from(("bf16", "bf16", "fp8")),
        "context": st.integers(1, 8192),
        "batch": st.sampled_from((1, 2, 3, 8, 17, 64, 200)),
    }
)
some = settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def priced(asked: dict[str, Any], **changes: Any) -> Plan:
    """The estimate, with ``changes``; refused combinations are drawn again."""
    try:
        return estimate(devices=1, tp=1, **{**asked, **changes})
    except PlannerError:
        assume(False)
        raise


def numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a plan's data with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner, place)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place, value


@some
@given(question)
def test_figures_are_finite_and_add_up(asked: dict[str, Any]) -> None:
    plan = priced(asked)
    for place, value in numbers(plan.to_dict()):
        assert math.isfinite(value), place
        assert value >= 0 or place.endswith((".gain", ".delta", ".gap", ".signed")), place
    memory = plan.memory_per_device
    assert memory.total_bytes == (
        memory.weights_bytes
        + memory.kv_cache_bytes
        + memory.activation_bytes
        + memory.runtime_bytes
    )
    assert memory.total_bytes <= memory.usable_bytes <= memory.capacity_bytes
    for key in ("weight_bytes", "prefill_seconds", "decode_seconds", "loss"):
        whole = sum(getattr(unit, key) for unit in plan.units)
        assert sum(getattr(m, key) for m in plan.modules) == pytest.approx(whole, rel=1e-9), key
    performance = plan.performance
    for figure in (
        performance.ttft_seconds,
        performance.tpot_seconds,
        performance.output_tokens_per_second,
    ):
        assert 0 < figure.low <= figure.value <= figure.high
    assert performance.output_tokens_per_second.value == pytest.approx(
        plan.layout.replicas
        * plan.workload.batch
        * plan.workload.osl
        / (performance.ttft_seconds.value + plan.workload.osl * performance.tpot_seconds.value),
        rel=1e-6,
    )


@some
@given(question)
def test_no_step_is_faster_than_the_chip(asked: dict[str, Any]) -> None:
    """A step reads every weight but the experts' and the embedding's, and the cache of every
    sequence; it multiplies every active weight once a sequence."""
    plan, device = priced(asked), load_device(asked["device"])
    bandwidth = device.bandwidth_bytes_per_s.value
    weights = sum(
        unit.weight_bytes_per_device
        for unit in plan.units
        if not unit.kind.startswith(("experts", "embedding", "kv-", "mtp"))
    )
    step = plan.performance.tpot_seconds.value
    assert step >= weights / bandwidth
    peak = max(rate.dense.value for rate in device.rates.values())
    flop = 2 * plan.model.parameters_active.without_embedding_and_head * plan.workload.batch
    assert step >= flop / peak
    prompt = 2 * plan.model.parameters_active.without_embedding_and_head * plan.workload.isl
    assert plan.performance.ttft_seconds.value >= prompt / peak


@some
@given(question, st.integers(1, 60), st.integers(1, 8192))
def test_more_sequences_and_longer_ones_take_more(
    asked: dict[str, Any], more: int, longer: int
) -> None:
    plan = priced(asked)
    fuller = priced(asked, batch=asked["batch"] + more)
    assert fuller.memory_per_device.total_bytes >= plan.memory_per_device.total_bytes
    assert fuller.memory_per_device.kv_cache_bytes >= plan.memory_per_device.kv_cache_bytes
    grown = priced(asked, context=asked["context"] + longer)
    assert grown.memory_per_device.kv_cache_bytes >= plan.memory_per_device.kv_cache_bytes
    assert grown.memory_per_device.total_bytes >= plan.memory_per_device.total_bytes


@some
@given(question, st.sampled_from(sorted(BITS)), st.sampled_from(sorted(BITS)))
def test_more_bits_are_never_fewer_bytes(asked: dict[str, Any], one: str, other: str) -> None:
    few, many = sorted((one, other), key=BITS.__getitem__)
    small, large = (priced(asked, scheme=name) for name in (few, many))
    assert small.memory_per_device.weights_bytes <= large.memory_per_device.weights_bytes
    for unit, wide in zip(small.units, large.units, strict=True):
        assert unit.weight_bytes <= wide.weight_bytes, unit.unit


def faster_memory(device: DeviceProfile, factor: float) -> DeviceProfile:
    was = device.bandwidth_bytes_per_s
    return replace(device, bandwidth_bytes_per_s=replace(was, value=was.value * factor))


def faster_units(device: DeviceProfile, factor: float) -> DeviceProfile:
    return replace(
        device,
        rates={
            key: replace(rate, dense=replace(rate.dense, value=rate.dense.value * factor))
            for key, rate in device.rates.items()
        },
    )


@pytest.mark.sample(1)
@pytest.mark.parametrize("faster", [faster_memory, faster_units])
@some
@given(asked=question, factor=st.sampled_from((1.01, 1.5, 4.0)))
def test_a_faster_chip_is_never_slower(
    faster: Callable[[DeviceProfile, float], DeviceProfile], asked: dict[str, Any], factor: float
) -> None:
    """The first token may wait longer on a faster chip, which takes in more requests: so the
    passes are compared, and the time per token."""
    device = load_device(asked["device"])
    plan, better = priced(asked), priced(asked, device=faster(device, factor))
    assert better.performance.tpot_seconds.value <= plan.performance.tpot_seconds.value * (1 + 1e-9)
    for name in ("prefill_seconds", "decode_seconds"):
        for slow, fast in zip(plan.units, better.units, strict=True):
            assert getattr(fast, name) <= getattr(slow, name) * (1 + 1e-9), (name, slow.unit)
