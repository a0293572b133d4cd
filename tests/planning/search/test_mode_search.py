"""Groups of ways are left out only where none of them holds the best plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.planning.question.input import QuestionInput
from planner.planning.question.question import Question
from planner.planning.search.mode_search import (
    ServingModes,
    groups_of,
    mixed_question,
    mode_spaces,
    solve_groups,
)
from planner.planning.search.question_search import branch_and_bound, by_layer, spaces_of
from planner.planning.search.spaces import grid_space
from planner.planning.space import shared_times
from planner.planning.space.kernel_times import CandidateTimes, step_times
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior

ASKED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("llama-3.1-8b", "h100-sxm", {}),
    ("llama-3.1-8b", "l40s", {"tpot_seconds": "none"}),
    ("qwen3-30b-a3b", "l40s", {"devices": 4, "ttft_seconds": 2.0}),
    ("deepseek-v3", "h200-sxm", {"devices": 8, "tpot_seconds": 0.08}),
    ("qwen3-8b", "xeon-6980p", {}),
    ("llama-3.1-8b", "jetson-agx-orin-64gb", {"objective": "latency"}),
    ("llama-3.1-8b", "rtx-pro-6000", {"objective": "memory", "devices": 1}),
    ("qwen3-0.6b", "h100-sxm", {"objective": "quality", "devices": 1, "batch": 8}),
    ("gpt-oss-20b", "h100-sxm", {"engine": "sglang"}),
)


@pytest.mark.sample(1)
@pytest.mark.parametrize(("model", "device", "asked"), ASKED, ids=lambda v: str(v))
def test_the_best_of_all_ways_is_found(model: str, device: str, asked: dict[str, Any]) -> None:
    questions = QuestionInput(model=model, device=device, context=8192, **asked).questions()
    found, _ = solve_groups(questions)
    whole = branch_and_bound(spaces_of(questions))
    assert found is not None
    assert whole is not None
    assert found.value == pytest.approx(whole.value, rel=1e-9)
    assert found.space.model.question.engine == whole.space.model.question.engine
    assert found.space.model.question.kv == whole.space.model.question.kv
    assert by_layer(found.space, found.segments) == by_layer(whole.space, whole.segments)
    assert found.bound <= found.value * (1 + 1e-9)


@pytest.mark.exhaustive
def test_other_ways_are_those_of_the_engine_that_is_taken() -> None:
    questions = QuestionInput(model="llama-3.1-8b", device="h100-sxm", context=8192).questions()
    found, others = solve_groups(questions)
    assert found is not None
    mine = found.space.model
    assert len(others) > 0
    for other in others:
        assert other.model.question.engine == mine.question.engine
        assert other.model.choices != mine.choices
    expected = [
        s
        for s in spaces_of([q for q in questions if q.engine == mine.question.engine])
        if s.model.choices != mine.choices
    ]
    assert [s.model.choices for s in others] == [s.model.choices for s in expected]
    assert [len(s) for s in others] == [len(s) for s in expected]


def test_spaces_of_ways_timed_together_are_those_of_each_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    questions = QuestionInput(
        model="qwen2.5-0.5b", device="l40s", context=2048, devices=1
    ).questions()
    models = [build_model(question, load_prior()) for question in questions]
    alone = [space for model in models if (space := grid_space(model)) is not None]
    timed: list[object] = []

    def counted(model: CostModel, *more: Any) -> CandidateTimes:
        timed.append(model)
        return step_times(model, *more)

    monkeypatch.setattr(shared_times, "step_times", counted)
    together = mode_spaces(models)
    groups = [group for group in groups_of(questions) if len(group) > 1]
    assert 0 < len(timed) <= len(groups) < len(questions)
    assert [space.model for space in together] == [space.model for space in alone]
    for one, other in zip(together, alone, strict=True):
        for part in ("slots", "legal", "decode", "alone", "prefill", "hop_step", "extra"):
            assert np.array_equal(getattr(one, part), getattr(other, part), equal_nan=True), part


def test_the_choices_of_a_way_have_the_bound_of_its_own_candidates() -> None:
    """A way is left out by what its own schemes and caches need, not by those of others."""
    questions = QuestionInput(
        model="qwen2.5-0.5b",
        device="l40s",
        context=16384,
        devices=1,
        engine="vllm",
        tpot_seconds="none",
    ).questions()
    group = max(groups_of(questions), key=lambda one: len({way.kv for _, way in one}))
    assert len({way.kv for _, way in group}) > 1
    whole = ServingModes(group)
    told = [whole._lowest(way) for _, way in group]
    alone = [ServingModes([one])._lowest(one[1]) for one in group]
    assert told == pytest.approx(alone, rel=1e-9)
    assert len(set(told)) > 1


def test_a_group_bars_what_all_its_ways_bar_or_lack() -> None:
    question = QuestionInput(
        model="qwen2.5-0.5b",
        device="l40s",
        context=2048,
        devices=1,
        engine="vllm",
    ).questions()[0]
    kind = "attn-qkv"

    def way(schemes: tuple[str, ...], *barred: str) -> Question:
        return replace(question, schemes=schemes, barred=frozenset((kind, s) for s in barred))

    ways = [
        way(("bf16", "fp8-tensor", "int8-w8a8"), "fp8-tensor", "int8-w8a8"),
        way(("bf16", "fp8-tensor"), "fp8-tensor"),
        way(("bf16", "fp8-tensor"), "fp8-tensor"),
    ]
    barred = {(kind, "fp8-tensor"), (kind, "int8-w8a8")}
    assert mixed_question(list(enumerate(ways))).barred == barred
    ways[2] = way(("bf16", "fp8-tensor"))
    assert mixed_question(list(enumerate(ways))).barred == barred - {(kind, "fp8-tensor")}
