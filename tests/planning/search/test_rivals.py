"""The plans among which a recommendation chooses: each keeps the limits, on its own best place."""

from __future__ import annotations

import pytest
from support.search_sums import search_sums

from planner.planning.plan.names import counted_formats
from planner.planning.price.price import fits, price
from planner.planning.question.input import QuestionInput
from planner.planning.search.format_subsets import changed_schemes
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import branch_and_bound, spaces_of
from planner.planning.search.rivals import Rival, loss_of, rivals
from planner.planning.search.served_batch import at_served_batch
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor

LIMIT = 0.05


def _asked(model: str, device: str, engine: str) -> tuple[list[Space], SearchResult, float]:
    ask = QuestionInput(model=model, device=device, engine=engine, context=8192, tpot_seconds=LIMIT)
    spaces = spaces_of(ask.questions())
    best = branch_and_bound(spaces)
    assert best is not None
    limit = loss_limit(best.space.model)
    assert limit is not None
    return spaces, best, limit * band_factor(best.space.model)


@pytest.fixture(scope="module")
def llama() -> tuple[list[Rival], SearchResult, float]:
    spaces, best, allowed = _asked("llama-3.1-8b", "l40s", "vllm")
    return list(rivals(spaces, best, allowed=allowed)), best, allowed


def test_every_rival_keeps_the_limits_and_has_the_price_of_its_value(
    llama: tuple[list[Rival], SearchResult, float],
) -> None:
    for rival in llama[0]:
        found = rival.result
        sums = search_sums(found.space, found.candidate, found.segments)
        assert found.value == pytest.approx(sums.score, rel=1e-9), rival.name
        at = at_served_batch(found)
        assert at is not None, rival.name
        priced = price(at.space, at.candidate, at.segments)
        assert fits(at.space, at.candidate, priced), rival.name
        assert priced.tpot <= LIMIT * (1 + 1e-8), rival.name
        assert at.value == pytest.approx(
            search_sums(at.space, at.candidate, at.segments).score, rel=1e-9
        ), rival.name
        assert loss_of(found.space.model, found.segments) <= llama[2] * (1 + 1e-8), rival.name


def test_released_stands_with_every_cache_and_changes_nothing(
    llama: tuple[list[Rival], SearchResult, float],
) -> None:
    released = [r for r in llama[0] if r.kind == "released"]
    assert {r.kv for r in released} == {"bf16", "fp8", "int8-token"}
    assert [r.name for r in released][:2] == [
        "published checkpoint",
        "published checkpoint, KV fp8",
    ]
    assert all(r.formats == 0 and r.schemes == ("bf16",) for r in released)


def test_uniform_plans_inside_the_band_stand_with_every_cache(
    llama: tuple[list[Rival], SearchResult, float],
) -> None:
    uniform = [r for r in llama[0] if r.kind == "uniform"]
    limit = loss_limit(llama[1].space.model)
    assert limit is not None
    beyond = [
        r for r in uniform if loss_of(r.result.space.model, r.result.segments) > limit * (1 + 1e-8)
    ]
    assert beyond
    assert len(beyond) < len(uniform)
    assert all(r.formats == len(r.schemes) == 1 for r in uniform)
    assert len({(r.schemes, r.kv) for r in uniform}) == len(uniform)


def test_the_default_is_what_the_engine_does_and_the_optimum_the_search_s(
    llama: tuple[list[Rival], SearchResult, float],
) -> None:
    by_kind = {r.kind: r for r in llama[0]}
    assert by_kind["default"].name == "vllm default"
    assert by_kind["default"].formats == 0
    assert by_kind["optimum"].result is llama[1]


def test_what_stands_for_the_release_is_no_change() -> None:
    spaces, best, allowed = _asked("gpt-oss-120b", "h100-sxm", "vllm")
    released = [r for r in rivals(spaces, best, allowed=allowed) if r.kind == "released"]
    assert released
    assert all(r.formats == 0 for r in released)
    assert "mxfp4-w4a16" in released[0].schemes


@pytest.mark.exhaustive
def test_formats_are_told_by_unit() -> None:
    spaces, best, allowed = _asked("deepseek-v3", "h200-sxm", "vllm")
    for rival in rivals(spaces, best, allowed=allowed):
        model = rival.result.space.model
        changed = changed_schemes(model, rival.result.segments)
        assert "fp8-block" not in changed  # released so
        assert changed <= set(rival.schemes)
        if rival.kind == "formats":
            assert rival.name == counted_formats(len(rival.schemes)), "bf16 beside is one more"
        assert len(changed) == rival.formats
