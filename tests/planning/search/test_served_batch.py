"""The batch of a plan keeps its limits in the closed loop, and is about the largest that does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from planner.planning.price.price import price
from planner.planning.question.input import QuestionInput
from planner.planning.search.engine_search import solve_with_relaxations
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.served_batch import WORTH, at_served_batch, served_candidate

ASKED: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "devices": 1,
    "context": 4096,
    "schemes": ["bf16"],
}


def solved(engine: str, tpot: float) -> SearchResult:
    questions = QuestionInput(**ASKED, engine=engine, tpot_seconds=tpot).questions()
    result, _, _ = solve_with_relaxations(questions)
    assert result is not None
    return result


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "any"])
@pytest.mark.parametrize("tpot", [0.012, 0.02])
def test_the_batch_keeps_the_limit_and_no_larger_one_does(engine: str, tpot: float) -> None:
    result = solved(engine, tpot)
    found = served_candidate(result.space, result.candidate, result.segments)
    assert found is not None
    assert found.priced.tpot <= tpot * (1 + 1e-9)
    more = found.slot + max(1, round(2 * WORTH * found.slot)) + 1
    larger = found.at(more)
    assert larger.priced.tpot > tpot or more > found.most_slots()


def test_a_loop_alone_says_what_a_price_says() -> None:
    result = solved("vllm", 0.02)
    found = served_candidate(result.space, result.candidate, result.segments)
    assert found is not None
    for slot in (1, found.slot // 2, found.slot + 3):
        priced = found.at(slot).priced
        loop = found.loop_at(slot)
        assert (loop.state.tpot, loop.state.ttft, loop.rate) == pytest.approx(
            (priced.tpot, priced.ttft, priced.rate), rel=1e-9
        )


def test_a_limit_that_no_batch_keeps_leaves_nothing() -> None:
    result = solved("vllm", 0.02)
    space = result.space
    question = replace(space.model.question, tpot_seconds=1e-4)
    tight = replace(result, space=replace(space, model=space.model.with_question(question)))
    assert at_served_batch(tight) is None


def test_memory_says_how_many_sequences_there_are() -> None:
    result = solved("vllm", 0.02)
    found = served_candidate(result.space, result.candidate, result.segments)
    assert found is not None
    most = found.most_slots()
    room = result.space.model.question.usable_bytes
    full = price(found.at(most).space, 0, found.segments).fullest.total
    assert full <= room < price(found.at(most + 1).space, 0, found.segments).fullest.total
