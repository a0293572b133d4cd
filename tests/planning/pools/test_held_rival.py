"""Pools against workers that hold prompts until every attention rank has one."""

from dataclasses import replace

import pytest

from planner.api.ask import Ask
from planner.planning.pools.holding import held_rival
from planner.planning.question.question import Question
from planner.planning.search.default_limit import answers
from planner.planning.weigh.choose import Selection, choose


@pytest.fixture(scope="module")
def asked() -> tuple[tuple[Question, ...], Selection]:
    questions = Ask(model="deepseek-v3", device="h200-sxm", devices=8, engine="sglang", isl=4000,
                    osl=1000, kv="bf16", schemes=["fp8-block"]).questions()
    found, others, _ = answers(questions)
    assert found is not None
    return questions, choose((found.grid, *others), found)


def test_workers_that_hold_prompts_are_faster(
        asked: tuple[tuple[Question, ...], Selection]) -> None:
    rival = held_rival(*asked)
    assert rival is not None
    assert rival.ratio > 1.1
    assert "--enable-prefill-delayer" in rival.rule.flag


def test_a_limit_on_the_first_token_counts_how_long_it_is_held(
        asked: tuple[tuple[Question, ...], Selection]) -> None:
    questions, choice = asked
    assert held_rival([replace(q, ttft_seconds=0.9) for q in questions], choice) is None


def test_engines_without_it_have_no_such_rival(
        asked: tuple[tuple[Question, ...], Selection]) -> None:
    assert held_rival([replace(q, engine="vllm", engine_version="0.21") for q in asked[0]],
                      asked[1]) is None
