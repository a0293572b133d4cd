"""``plan serve`` and ``plan estimate`` tell one number for one thing."""

from __future__ import annotations

from typing import Any

import pytest

import planner

CASES: list[dict[str, Any]] = [
    {"model": "llama-3.1-8b", "device": "h100-sxm", "devices": 1, "tp": 1, "engine": "vllm"},
    {"model": "llama-3.1-8b", "device": "l40s", "devices": 2, "tp": 2, "engine": "sglang"},
    {"model": "gpt-oss-20b", "device": "h100-sxm", "devices": 1, "tp": 1, "engine": "vllm"},
    {"model": "olmoe-1b-7b", "device": "h100-sxm", "devices": 2, "tp": 1, "dp": 2, "ep": 2},
    {"model": "qwen3-32b", "device": "h200-sxm", "devices": 2, "tp": 1, "pp": 2, "engine": "vllm"},
]


@pytest.mark.parametrize("asked", CASES, ids=lambda asked: f"{asked['model']}-{asked['device']}")
@pytest.mark.parametrize(("users", "isl", "osl"), [(1, 4000, 300), (12, 1000, 500)])
def test_serve_and_estimate_price_one_loop(
    asked: dict[str, Any], users: int, isl: int, osl: int
) -> None:
    if users % (asked.get("dp", 1) * asked.get("pp", 1)):
        pytest.skip("a single user fills no rank of several")
    work = {"engine": "any", **asked, "isl": isl, "osl": osl, "context": isl + osl}
    printed = planner.estimate(**work, kv="bf16", batch=users, tpot_seconds="none").performance
    served = planner.serve(**work, kv="bf16", concurrency=users).point
    assert served is not None
    assert served.tpot_seconds == pytest.approx(printed.tpot_seconds.value, rel=1e-9)
    assert served.ttft_seconds == pytest.approx(printed.ttft_seconds.value, rel=1e-9)
    assert served.output_tokens_per_second == pytest.approx(
        printed.output_tokens_per_second.value, rel=1e-9
    )


def test_no_prompt_comes_between_the_tokens_of_a_single_user() -> None:
    """Nobody else's prompt is read while he waits for his next token."""
    alone = planner.estimate(
        "llama-3.1-8b", "h100-sxm", devices=1, batch=1, isl=32_000, osl=512, context=32_512
    ).performance
    assert alone.interruption_seconds == 0.0
    step = planner.estimate(
        "llama-3.1-8b", "h100-sxm", devices=1, batch=1, isl=1, osl=64_000, context=65_000
    ).performance
    assert alone.tpot_seconds.value == pytest.approx(step.tpot_seconds.value, rel=0.05)


def test_both_are_as_sure_of_a_named_engine() -> None:
    """Served rows are found by the engine's name, whatever version is asked for."""
    asked = {"devices": 4, "tp": 4, "isl": 1000, "osl": 1000, "engine": "vllm"}
    printed = planner.estimate("llama-3.1-70b", "h200-sxm", batch=32, **asked).performance
    served = planner.serve("llama-3.1-70b", "h200-sxm", concurrency=32, **asked)
    assert served.tpot_seconds is not None
    assert served.ttft_seconds is not None
    assert served.tpot_seconds.evidence == printed.tpot_seconds.evidence
    assert served.tpot_seconds.evidence.level != "none"
    for mine, theirs in (
        (served.tpot_seconds, printed.tpot_seconds),
        (served.ttft_seconds, printed.ttft_seconds),
    ):
        assert mine.high / mine.value == pytest.approx(theirs.high / theirs.value, rel=0.02)
