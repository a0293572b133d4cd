"""Pools against workers that hold prompts until every attention rank has one."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planner.planning.choose.selection import Selection, choose
from planner.planning.pools.find_pools import gain_over_aggregated
from planner.planning.pools.holding import holding_rival
from planner.planning.question.input import QuestionInput
from planner.planning.question.question import Question
from planner.planning.search.engine_search import solve_with_relaxations


@pytest.fixture(scope="module")
def asked() -> tuple[tuple[Question, ...], Selection]:
    questions = QuestionInput(
        model="deepseek-v3",
        device="h200-sxm",
        devices=8,
        engine="sglang",
        isl=4000,
        osl=1000,
        kv="bf16",
        schemes=["fp8-block"],
    ).questions()
    found, others, _ = solve_with_relaxations(questions)
    assert found is not None
    return questions, choose((found.grid, *others), found)


def test_workers_that_hold_prompts_are_faster(
    asked: tuple[tuple[Question, ...], Selection],
) -> None:
    rival = holding_rival(*asked)
    assert rival is not None
    assert rival.ratio > 1.1
    assert "--enable-prefill-delayer" in rival.rule.flag


def test_a_limit_on_the_first_token_counts_how_long_it_is_held(
    asked: tuple[tuple[Question, ...], Selection],
) -> None:
    questions, choice = asked
    assert holding_rival([replace(q, ttft_seconds=0.9) for q in questions], choice) is None


def test_engines_without_it_have_no_such_rival(
    asked: tuple[tuple[Question, ...], Selection],
) -> None:
    assert (
        holding_rival(
            [replace(q, engine="vllm", engine_version="0.21") for q in asked[0]], asked[1]
        )
        is None
    )


def beside(gains: list[float], *, ratio: float = 1.0) -> Any:
    """Pools that win ``gains`` in the draws, the first of them on paper, over a rival that is
    ``ratio`` times as fast as the plan beside."""
    drawn = 1 / (1 + np.array([gains]))
    pools: Any = SimpleNamespace(
        taken=0,
        drawn=drawn,
        options=[
            SimpleNamespace(
                pools=SimpleNamespace(value=1 + gains[0]), weighed=SimpleNamespace(decode_osl=1)
            )
        ],
    )
    choice: Any = SimpleNamespace(
        taken=0,
        drawn=np.ones((1, len(gains))),
        option=SimpleNamespace(weighed=SimpleNamespace(value=1.0)),
    )
    return gain_over_aggregated(pools, choice, ratio=ratio)


def test_a_faster_rival_leaves_less_of_the_gain() -> None:
    plain, held = beside([0.5] * 8), beside([0.5] * 8, ratio=1.25)
    assert (plain.gain, held.gain) == (pytest.approx(0.5), pytest.approx(0.2))
    assert (held.low, held.high) == (pytest.approx(0.2), pytest.approx(0.2))


def test_pools_are_taken_only_where_they_beat_the_faster_rival() -> None:
    draws = [0.5, 0.4, 0.3, 0.29, 0.28, 0.27, 0.26, 0.2, 0.1, 0.1]
    plain, held = beside(draws), beside(draws, ratio=1.2)
    assert (plain.better, plain.beaten, plain.taken) == (1.0, 1.0, True)
    assert held.better == pytest.approx(0.7)  # 0.2 is no faster than it
    assert held.beaten == pytest.approx(0.7)
    assert not held.taken
