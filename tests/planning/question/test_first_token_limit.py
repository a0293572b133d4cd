"""A limit on TTFT leaves what the host does not take: the least one that is told can be kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.models.catalog import bundled_model
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question

PACES = np.array([1.0, 2.0, 0.5])


def limited(model: str, engine: str, seconds: float | None) -> Question:
    found = build_question(
        bundled_model(model),
        resolve_device("h100-sxm"),
        GivenValues(devices=8),
        None,
        uniform="",
        given=None,
    )
    return replace(found, engine=engine, engine_version="", ttft_seconds=seconds)


@pytest.mark.parametrize("model", ["gpt-oss-120b", "qwen3-30b-a3b", "llama-3.1-70b", "qwen3-32b"])
@pytest.mark.parametrize("engine", ["vllm", "tensorrt-llm", "sglang"])
def test_a_limit_of_floor_and_handling_is_kept_by_the_floor(model: str, engine: str) -> None:
    free = limited(model, engine, None)
    floor, handling = free.prompt_floor_seconds, free.prompt_host.handling_seconds
    assert free.read_limits(PACES) is None
    least = float(f"{(floor + handling) * 1e3:.6g}") * 1e-3
    left = limited(model, engine, least).read_limits(PACES)
    assert left is not None
    assert floor <= left[0] == pytest.approx(floor)
    wide = limited(model, engine, least + 0.1).read_limits(PACES)
    half = (least + 0.1) / 2 - handling
    half = half if half >= floor else 0.0
    assert wide == pytest.approx([floor + 0.1, half, 2 * (least + 0.1) - handling])
    if floor:
        assert left[1] == 0.0  # twice as long as it adds up to, it is late
        late = limited(model, engine, least * 0.999).read_limits(PACES)
        assert late is not None
        assert not late.any()  # even where the loop is faster: the host is not


@pytest.mark.parametrize("model", ["gpt-oss-120b", "llama-3.1-70b"])
@pytest.mark.parametrize("engine", ["vllm", "tensorrt-llm", "sglang"])
def test_a_whole_request_has_the_host_once_and_its_tokens_after_the_first(
    model: str, engine: str
) -> None:
    free = limited(model, engine, None)
    floor, handling = free.prompt_floor_seconds, free.prompt_host.handling_seconds
    osl = free.workload.osl
    assert free.step_limit is None
    assert free.request_limits(PACES) is None
    asked = replace(free, e2e_seconds=floor + handling + (osl - 1) * 0.02)
    whole = floor + (osl - 1) * 0.02
    assert asked.request_limits(PACES) == pytest.approx(
        [whole, (whole + handling) / 2 - handling, 2 * (whole + handling) - handling]
    )
    assert asked.step_limit == ("e2e", pytest.approx(0.02))
    assert replace(asked, tpot_seconds=0.03).step_limit == ("e2e", pytest.approx(0.02))
    assert replace(asked, tpot_seconds=0.01).step_limit == ("tpot", 0.01)
    if floor:
        late = replace(free, e2e_seconds=0.9 * (floor + handling))
        assert late.request_limits(PACES) == pytest.approx([0.0, 0.0, 0.0])
        assert late.step_limit == ("e2e", 0.0)


@pytest.mark.parametrize("osl", [1, 2, 100])
def test_a_request_is_its_first_token_and_those_that_follow(osl: int) -> None:
    question = limited("qwen3-32b", "vllm", None)
    question = replace(question, workload=replace(question.workload, osl=osl))
    assert question.limited_times(0.5, 0.01) == {
        "tpot": 0.01,
        "ttft": 0.5,
        "e2e": pytest.approx(0.5 + (osl - 1) * 0.01),
    }
