"""Answers at a place: what is known of many ways to serve is not searched for again among fewer."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import pytest

from planner.planning.question.input import QuestionInput
from planner.planning.question.question import Question
from planner.planning.search.engine_search import best_result
from planner.planning.what_if import grid_points
from planner.planning.what_if.axes import loss_of
from planner.planning.what_if.grid import PlannedPoint
from planner.planning.what_if.grid_points import PlaceAnswers, Ways

AUTO, BF16, FP8 = (("auto", "vllm"), ("bf16", "vllm"), ("fp8", "vllm"))
TPOTS = [None, 0.05, 1e-6]
LOSSES = [loss_of(name) for name in ("bf16", "int4-w4a16")]


@cache
def ask() -> QuestionInput:
    return QuestionInput(
        "llama-3.2-1b", "h100-sxm", devices=1, batch=64, context=4096, engine="vllm@0.18"
    )


def ways(kv: str) -> Ways:
    return tuple(
        ask().ways(replace(ask().given_values, kv=None if kv == "auto" else kv), defaults=False)
    )


def asked(searches: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Note the cache layouts of what is searched for."""
    search = best_result

    def noted(questions: Iterable[Question]) -> object:
        own = list(questions)
        searches.append(tuple(sorted({name for question in own for name in question.kv})))
        return search(own)

    monkeypatch.setattr(grid_points, "best_result", noted)


def test_a_layout_takes_what_is_known_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the limit of BF16 the cache is BF16 whether that is asked or not; elsewhere FP8 may be
    better, and BF16 is searched for."""
    both = PlaceAnswers({AUTO: ways("auto"), BF16: ways("bf16")}, TPOTS, LOSSES)
    alone = PlaceAnswers({BF16: ways("bf16")}, TPOTS, LOSSES)
    searches: list[tuple[str, ...]] = []
    asked(searches, monkeypatch)
    wide = both.points(AUTO)
    assert all(len(layouts) > 1 for layouts in searches)
    first = len(searches)
    narrow = both.points(BF16)
    after = searches[first:]
    assert set(after) == {("bf16",)}
    assert narrow == alone.points(BF16)
    assert len(searches[first + len(after) :]) > len(after)
    assert narrow[0] is wide[0]
    freely, bound = wide[1], narrow[1]
    assert isinstance(freely, PlannedPoint)
    assert isinstance(bound, PlannedPoint)
    assert (
        freely.performance.output_tokens_per_second.value
        > bound.performance.output_tokens_per_second.value
    )
    assert [type(point) for point in narrow[4:]] == [type(point) for point in wide[4:]]


def test_what_is_known_of_few_is_not_taken_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """FP8 holds neither BF16 nor all, whatever was asked first."""
    answers = PlaceAnswers(
        {FP8: ways("fp8"), BF16: ways("bf16"), AUTO: ways("auto")}, TPOTS[:1], LOSSES[:1]
    )
    searches: list[tuple[str, ...]] = []
    asked(searches, monkeypatch)
    for name in (FP8, BF16, AUTO):
        answers.points(name)
    assert [len(layouts) for layouts in searches] == [
        1,
        1,
        len({name for question in ways("auto") for name in question.kv}),
    ]


def test_the_same_ways_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = PlaceAnswers(
        {BF16: ways("bf16"), ("other", "vllm"): ways("bf16")}, TPOTS[:1], LOSSES[:1]
    )
    searches: list[tuple[str, ...]] = []
    asked(searches, monkeypatch)
    assert answers.points(BF16) == answers.points(("other", "vllm"))
    assert len(searches) == 1
