"""Optima that were missed, or limits that were broken, each by the question that showed it."""

from dataclasses import replace
from typing import Any

import pytest
from support.answers import different

from planner.base.errors import InfeasibleError
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device
from planner.planning.plan.record import Plan
from tests.support import theory

SLIGHTLY = 1e-6


def tokens(plan: Plan) -> float:
    """Output tokens a second of one device."""
    return plan.performance.output_tokens_per_second_per_device.value


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("model", "device", "asked", "limit"),
    [
        ("llama-3.2-1b", "h100-sxm", {"devices": 1, "context": 512}, 0.016),
        (
            "deepseek-v2-lite",
            "xeon-platinum-8480",
            {"devices": 2, "context": 1024, "max_loss": "bf16"},
            5.0,
        ),
    ],
)
def test_a_slack_limit_on_the_first_token_changes_nothing(
    model: str, device: str, asked: dict[str, Any], limit: float
) -> None:
    free = theory.plan(model, device, **asked)
    ttft = free.performance.ttft_seconds.value
    bound = theory.plan(model, device, ttft_seconds=max(limit, 1.01 * ttft), **asked)
    assert different(free, bound) == []


def test_a_batch_whose_first_token_is_early_enough_has_a_plan() -> None:
    asked: dict[str, Any] = {"devices": 1, "context": 512, "batch": 576}
    free = theory.plan("llama-3.2-1b", "h100-sxm", **asked)
    limit = max(0.030, 1.01 * free.performance.ttft_seconds.value)
    found = theory.plan("llama-3.2-1b", "h100-sxm", ttft_seconds=limit, **asked)
    assert different(free, found) == []
    again = theory.estimate(plan=found, ttft_seconds=limit)
    assert again.performance.ttft_seconds.value == found.performance.ttft_seconds.value


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("model", "device"), [("llama-3.2-1b", "xeon-platinum-8480"), ("qwen2.5-0.5b", "xeon-6980p")]
)
def test_another_scheme_never_worsens_a_plan_under_a_limit(model: str, device: str) -> None:
    asked: dict[str, Any] = {"devices": 1, "context": 1024, "max_loss": "bf16"}
    free = theory.plan(model, device, schemes=["bf16"], **asked)
    asked["ttft_seconds"] = 1.01 * free.performance.ttft_seconds.value
    few, more = (
        theory.plan(model, device, schemes=names, **asked)
        for names in (["bf16"], ["bf16", "int8-block"])
    )
    assert tokens(more) >= tokens(few) * (1 - SLIGHTLY)


@pytest.mark.sample(1)
@pytest.mark.parametrize("share", [1.0, 0.999, 0.98])
def test_a_plan_keeps_its_limit_on_tpot_by_its_own_figure(share: float) -> None:
    limit = 63.3369600774675e-3 * share
    found = theory.plan("mistral-7b-v0.1", "b200-sxm", devices=2, context=1500, tpot_seconds=limit)
    assert found.performance.tpot_seconds.value <= limit * (1 + 1e-9)
    again = theory.estimate(plan=found, tpot_seconds=limit)
    assert again.performance.tpot_seconds.value == found.performance.tpot_seconds.value


@pytest.mark.exhaustive
def test_no_batch_is_beyond_the_search() -> None:
    asked: dict[str, Any] = {"context": 256, "devices": 1}
    found = theory.plan("smollm2-135m", "h100-sxm", **asked)
    for batch in (672, 1056, 2048, 4096, found.workload.batch - 1, found.workload.batch + 1):
        other = theory.plan("smollm2-135m", "h100-sxm", batch=batch, **asked)
        assert tokens(other) <= tokens(found) * (1 + SLIGHTLY), batch


@pytest.mark.parametrize("factor", [2.0, 1.3])
def test_more_bandwidth_never_serves_less(factor: float) -> None:
    """Four prompts a step and more: what decodes beside them takes no seconds away. A token may
    take longer, where prompts are read sooner and more requests decode."""
    device = load_device("xeon-6980p")
    rates = [
        theory.estimate(
            "olmoe-1b-7b", one, scheme="int8-w8a16", devices=1, tp=1, batch=64, isl=1024, osl=16
        ).performance.output_tokens_per_second.value
        for one in (device, with_bandwidth(device, factor))
    ]
    assert rates[1] >= rates[0] * (1 - 1e-9)


def with_bandwidth(device: DeviceProfile, factor: float) -> DeviceProfile:
    """``device`` with ``factor`` times the memory bandwidth."""
    was = device.bandwidth_bytes_per_s
    return replace(device, bandwidth_bytes_per_s=replace(was, value=was.value * factor))


def test_a_refusal_counts_every_way_to_serve() -> None:
    """BF16 caches do not fit one device; FP8 ones nearly do, and two devices hold either."""
    with pytest.raises(InfeasibleError) as refused:
        theory.plan("qwen2.5-0.5b", "h100-sxm", engine="vllm", batch=1536, devices=1)
    words = str(refused.value)
    assert "4 devices are the fewest" not in words
    assert "146.5" not in words
    theory.plan("qwen2.5-0.5b", "h100-sxm", engine="vllm", batch=1536, devices=2)
