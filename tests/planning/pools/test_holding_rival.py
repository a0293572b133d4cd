"""Pools against workers that hold prompts until every attention rank has one."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planner.planning.choose.rule import Simplicity
from planner.planning.choose.selection import Selection, choose
from planner.planning.plan.evidence import Evidence
from planner.planning.pools import find_pools
from planner.planning.pools.find_pools import gain_over_aggregated
from planner.planning.pools.holding import holding_rival
from planner.planning.price.evidence import MEASURED, NONE
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


def beside(value: float, *, ratio: float = 1.0, spread: float = 0.0, level: str = MEASURED) -> Any:
    """Pools that win ``value`` on paper, and in draws that are ``spread`` apart, over a rival that
    is ``ratio`` times as fast as the plan beside; how well pools of the kind are known."""
    draws = np.exp(spread * np.linspace(-1.5, 1.5, 31))
    simple = Simplicity(0, False, 0)
    pools: Any = SimpleNamespace(
        taken=0,
        drawn=draws[None, :] / (1 + value),
        options=[
            SimpleNamespace(
                pools=SimpleNamespace(value=1 + value),
                weighed=SimpleNamespace(decode_osl=1),
                simple=simple,
            )
        ],
    )
    question = SimpleNamespace(
        spec=SimpleNamespace(id="a-model"),
        min_gain=None,
        new_weights="auto",
        allow_unmeasured=False,
    )
    choice: Any = SimpleNamespace(
        taken=0,
        drawn=np.ones((1, len(draws))),
        option=SimpleNamespace(
            weighed=SimpleNamespace(value=1.0),
            simple=simple,
            level=level,
            space=SimpleNamespace(model=SimpleNamespace(question=question)),
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        known = Evidence(level, "", 3, 1.0, 1.0, "")
        patch.setattr(find_pools, "pools_evidence", lambda option: known)
        return gain_over_aggregated(pools, choice, ratio=ratio)


def test_a_faster_rival_leaves_less_of_the_gain() -> None:
    plain, held = beside(0.5), beside(0.5, ratio=1.25)
    assert (plain.gain, held.gain) == (pytest.approx(0.5), pytest.approx(0.2))
    assert held.low <= held.gain <= held.high
    assert held.better < plain.better
    assert held.beaten < plain.beaten


def test_pools_are_taken_only_where_they_beat_the_faster_rival() -> None:
    plain, held = beside(0.5), beside(0.5, ratio=1.45)
    assert plain.taken
    assert not held.taken
    assert held.better < plain.better


def test_what_kernels_err_by_and_what_nobody_measured_leaves_less() -> None:
    sure, wide = beside(0.5), beside(0.5, spread=0.6)
    assert wide.beaten < sure.beaten
    unknown = beside(0.5, level=NONE)
    assert (unknown.least, unknown.sure) == (0.15, 0.9)
    assert not unknown.taken
    assert beside(-0.2).better < 0.5 < beside(0.2).better
