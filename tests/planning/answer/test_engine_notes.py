"""What an engine does is said in a line each, and counts in the times."""

from __future__ import annotations

from typing import Any

import pytest

from planner.planning.plan.record import Plan
from tests.support.theory import estimate, plan

WIDE = {"devices": 8, "tp": 1, "dp": 8, "ep": 8, "isl": 1024, "osl": 1024, "batch": 64}


def priced(model: str = "deepseek-v3", device: str = "h200-sxm", **changes: Any) -> Plan:
    return estimate(model, device, **{"scheme": "fp8-block", **WIDE, **changes})


def notes(found: Plan) -> dict[str, str]:
    return {a.key: a.value for a in found.assumptions}


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("vllm", "all-gather and reduce-scatter"),
        ("tensorrt-llm", "all-gather and reduce-scatter"),
        ("sglang", "exchanged by rank"),
    ],
)
def test_how_tokens_reach_their_experts(engine: str, words: str) -> None:
    assert notes(priced(engine=engine))["expert tokens"] == words


def test_the_host_of_a_prompt_is_the_least_that_ttft_takes() -> None:
    """500 microseconds a layer of 61, which prompts of 64 tokens take for others."""
    found, free = (priced(engine=e, isl=64, osl=64) for e in ("tensorrt-llm", "any"))
    assert "host of a prompt" in notes(found)
    assert "host of a prompt" not in notes(free)
    assert notes(found)["host of a prompt"] == "at least 30.5 ms to launch it, 30 ms of handling"
    assert found.performance.ttft_seconds.value > 61 * 5e-4 + 30e-3
    assert free.performance.ttft_seconds.value < found.performance.ttft_seconds.value
    longer = priced(engine="tensorrt-llm", isl=8192, osl=64)
    assert longer.performance.ttft_seconds.value > found.performance.ttft_seconds.value


@pytest.mark.exhaustive
def test_a_limit_on_ttft_below_the_host_leaves_no_plan() -> None:
    found = plan(
        "deepseek-v3",
        "h200-sxm",
        devices=8,
        engine="tensorrt-llm",
        isl=1024,
        osl=256,
        schemes=["fp8-block"],
        ttft_seconds=1.0,
    )
    assert 0.0605 <= found.performance.ttft_seconds.value <= 1.0
    with pytest.raises(Exception, match=r"ttft|TTFT"):
        plan(
            "deepseek-v3",
            "h200-sxm",
            devices=8,
            engine="tensorrt-llm",
            isl=1024,
            osl=256,
            schemes=["fp8-block"],
            ttft_seconds=0.06,
        )


def test_shared_experts_run_beside_the_routed_ones_in_nvfp4_alone() -> None:
    key = "shared experts"
    four = priced("deepseek-v3.1-nvfp4", "b200-sxm", scheme=None, engine="tensorrt-llm")
    assert notes(four)[key] == "nvfp4 on a second stream"
    assert key not in notes(priced("deepseek-v3.1-nvfp4", "b200-sxm", scheme=None, engine="vllm"))
    assert key not in notes(priced(engine="tensorrt-llm"))


def test_fp8_per_tensor_on_tensorrt_llm_has_stored_scales_and_is_faster_than_bf16() -> None:
    narrow, wide = (
        estimate(
            "qwen3-32b",
            "b200-sxm",
            devices=8,
            tp=8,
            scheme=scheme,
            engine="tensorrt-llm",
            context=8192,
            batch=8,
        )
        for scheme in ("fp8-tensor", "bf16")
    )
    assert narrow.performance.tpot_seconds.value < wide.performance.tpot_seconds.value
    told = notes(narrow)
    assert told["activation scales"] == "stored (fp8-tensor)"
    assert "activation scales" not in notes(wide)
