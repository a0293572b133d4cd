"""The best plans of few formats against a search for every set of schemes."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise
from typing import Any

import pytest
from support.search_sums import search_sums

from planner.planning.price.price import fits, price
from planner.planning.question.input import QuestionInput
from planner.planning.search import format_frontier as few_formats_of
from planner.planning.search.format_frontier import GAP, MOST, best_by_formats
from planner.planning.search.format_subsets import changed_schemes
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import branch_and_bound, spaces_of
from planner.planning.search.rivals import loss_of
from planner.planning.search.spaces import with_question
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor

SCHEMES = ("fp8-channel", "int8-w8a16", "int4-w4a16", "nvfp4-w4a16")
QUESTIONS: dict[str, dict[str, Any]] = {
    "dense": {"model": "llama-3.1-8b", "device": "l40s", "context": 4096, "tpot_seconds": 0.02},
    "pipeline": {
        "model": "llama-3.1-8b",
        "device": "l40s",
        "devices": 2,
        "pp": 2,
        "tp": 1,
        "context": 4096,
        "tpot_seconds": 0.03,
    },
    "late": {
        "model": "llama-3.1-8b",
        "device": "l40s",
        "context": 4096,
        "ttft_seconds": 0.6,
        "tpot_seconds": 0.05,
    },
    "latency": {"model": "llama-3.1-8b", "device": "l40s", "context": 4096, "objective": "latency"},
    "released": {
        "model": "deepseek-v3",
        "device": "h200-sxm",
        "devices": 8,
        "context": 8192,
        "tpot_seconds": 0.05,
    },
}
RELEASED = {"released": "fp8-block"}
WIDER = {"released": 1, "late": 1}
FORMATS = {"released": ("bf16", "int8-w8a8", "int4-w4a16", "fp8-tensor")}


def wide(name: str, schemes: tuple[str, ...]) -> list[Space]:
    """The candidates of a question with some schemes, its loss limit widened by the band."""
    spaces = spaces_of(
        QuestionInput(
            **QUESTIONS[name], engine="vllm", schemes=(RELEASED.get(name, "bf16"), *schemes)
        ).questions()
    )
    model = spaces[0].model
    limit = loss_limit(model)
    assert limit is not None
    wider = WIDER.get(name, 4) * limit * band_factor(model)
    return [with_question(space, loss_scheme=None, loss_limit=wider) for space in spaces]


def start_of(spaces: list[Space]) -> SearchResult:
    """A plan to begin with: that of the tightest of some limits on loss."""
    limit = spaces[0].model.question.loss_limit
    assert limit is not None
    for part in (8, 4, 2, 1.3):
        found = branch_and_bound(
            [with_question(space, loss_limit=limit / part) for space in spaces]
        )
        if found is not None:
            return found
    raise AssertionError(limit)


@cache
def answers(name: str) -> tuple[tuple[SearchResult, ...], SearchResult]:
    spaces = wide(name, FORMATS.get(name, SCHEMES))
    start = start_of(spaces)
    return best_by_formats(spaces, [start], start), start


def told(name: str, most: int) -> float:
    found, start = answers(name)
    return min(
        one.value
        for one in (*found, start)
        if len(changed_schemes(one.space.model, one.segments)) <= most
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", QUESTIONS)
def test_no_set_of_schemes_beats_the_best_plan_of_as_many_formats(name: str) -> None:
    names = FORMATS.get(name, SCHEMES)
    for most in range(1, MOST + 1):
        best = [branch_and_bound(wide(name, some)) for some in combinations(names, most)]
        least = min(one.value for one in best if one is not None)
        if len(changed_schemes(answers(name)[1].space.model, answers(name)[1].segments)) <= most:
            least = min(least, answers(name)[1].value)
        assert told(name, most) <= least * (1 + GAP) ** 2 * (1 + 1e-9)
        assert told(name, most) >= least * (1 - 1e-7)
        for one in answers(name)[0]:
            if len(changed_schemes(one.space.model, one.segments)) == most:
                assert one.bound <= least * (1 + 1e-9)
                assert one.bound >= one.value * (1 - 3 * GAP)


@pytest.mark.parametrize("name", QUESTIONS)
def test_plans_keep_the_limits_and_more_formats_pay(name: str) -> None:
    found, _ = answers(name)
    assert found
    counts = [len(changed_schemes(one.space.model, one.segments)) for one in found]
    assert counts == sorted(set(counts))
    values = [one.value for one in found]
    assert all(after < before * (1 - GAP) for before, after in pairwise(values))
    for one in found:
        priced = price(one.space, one.candidate, one.segments)
        question = one.space.model.question
        assert fits(one.space, one.candidate, priced)
        assert question.loss_limit is not None
        sums = search_sums(one.space, one.candidate, one.segments)
        if question.tpot_seconds is not None:
            assert sums.tpot <= question.tpot_seconds * (1 + 1e-8)
        if question.ttft_seconds is not None:
            assert sums.ttft <= question.ttft_seconds * (1 + 1e-8)
        assert loss_of(one.space.model, one.segments) <= question.loss_limit * (1 + 1e-8)
        assert one.value == pytest.approx(sums.score, rel=1e-9)


def test_under_quality_there_are_none() -> None:
    spaces = [with_question(space, objective="quality") for space in wide("dense", SCHEMES)]
    start = start_of(spaces)
    assert best_by_formats(spaces, [start], start) == ()


def test_the_solves_that_are_told_are_those_that_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(solver: str, inner: Any) -> Any:
        def solved(*of: Any, **more: Any) -> Any:
            made.append(solver)
            return inner(*of, **more)

        return solved

    for solver in ("solve_with_ttft", "best_within"):
        inner = getattr(few_formats_of, solver)
        monkeypatch.setattr(few_formats_of, solver, counted(solver, inner))
    spaces = wide("latency", SCHEMES)
    start = start_of(spaces)
    made.clear()
    found = best_by_formats(spaces, [start], start)
    assert len(found) > 1
    assert found[-1].solved == len(made) > 1
