"""The batch of a plan keeps its limits in the closed loop, and is about the largest that does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.search_sums import search_sums

from planner.planning.price.price import price
from planner.planning.question.input import QuestionInput
from planner.planning.question.question import Question
from planner.planning.search.engine_search import (
    best_result,
    best_served,
    solve_with_relaxations,
)
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.served_batch import (
    WORTH,
    ServedCandidate,
    _lowered,
    at_served_batch,
    first_kept,
    served_candidate,
)
from planner.planning.search.spaces import with_question

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


def test_a_search_goes_on_with_what_the_loop_of_its_proposal_took_longer() -> None:
    """The first proposal breaks a limit that only its loop knows; the next search has it."""
    asked = {**ASKED, "devices": 2, "batch": 16}
    questions = QuestionInput(**asked, engine="vllm", tpot_seconds="none").questions()
    found = best_result(questions)
    assert found is not None
    taken = price(found.space, found.candidate, found.segments)
    limit = taken.tpot * (1 - 1e-3)
    seen: list[tuple[Question, ...]] = []

    def search(again: tuple[Question, ...]) -> SearchResult | None:
        seen.append(again)
        tight = with_question(found.space, tpot_seconds=limit)
        return None if len(seen) > 2 else replace(found, space=tight)

    assert first_kept([replace(q, tpot_seconds=limit) for q in questions], search) is None
    assert len(seen) == 3
    assert [len(q.loop_excess) for q in (seen[0][0], seen[1][0], seen[2][0])] == [0, 1, 2]
    excess = seen[1][0].loop_excess[0]
    assert excess.layout == taken.layout
    sums = search_sums(found.space, found.candidate, found.segments)
    assert excess.tpot == pytest.approx(max(taken.tpot / sums.tpot, 1.0))
    assert excess.ttft == pytest.approx(max(taken.ttft / sums.ttft, 1.0))


def test_what_keeps_its_limits_is_taken_at_once() -> None:
    questions = QuestionInput(**ASKED, engine="vllm", tpot_seconds=0.02).questions()
    kept = first_kept(questions, best_result)
    assert kept is not None
    found, served = kept
    assert served.segments == found.segments
    assert served.priced.tpot <= 0.02 * (1 + 1e-9)
    best = best_served(questions)
    assert best is not None
    assert int(best.space.pts.slot[best.candidate]) == served.slot


@pytest.mark.parametrize(("rates", "taken"), [((4.0, 5.0, 6.0), 4), ((6.0, 5.0, 4.0), 1)])
def test_fewer_sequences_are_taken_where_they_are_answered_faster(
    rates: tuple[float, ...], taken: int
) -> None:
    """Rates with 1, 2 and 4 sequences."""
    by_slot = dict(zip((1, 2, 4), rates, strict=True))

    class Stub:
        def __init__(self, slot: int) -> None:
            self.slot, self.priced = slot, SimpleNamespace(rate=by_slot[slot])

        def loop_at(self, slot: int) -> SimpleNamespace:
            return SimpleNamespace(rate=by_slot[slot])

        def at(self, slot: int) -> Stub:
            return Stub(slot)

    assert _lowered(cast(ServedCandidate, Stub(4))).slot == taken
