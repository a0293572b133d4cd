"""Limits on time of an assignment that finds prefixes again: kept where they are just met."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.questions import question_of

from planner.planning.reuse.batches import _within
from planner.planning.solver.problem import TOLERANCE


def kept(tpot: float | None, ttft: float | None, took: tuple[float, float]) -> bool:
    asked = replace(question_of(isl=100, osl=11), tpot_seconds=tpot, ttft_seconds=ttft)
    one: Any = SimpleNamespace(tpot=took[0], ttft=took[1])
    return _within(asked, one)


@pytest.mark.parametrize(
    ("slack", "within"),
    [(0.5, True), (1.0, True), (1 + TOLERANCE, True), (1 + 3 * TOLERANCE, False), (2.0, False)],
)
def test_a_limit_holds_up_to_the_tolerance(slack: float, within: bool) -> None:
    assert kept(0.25, None, (0.25 * slack, 99.0)) == within
    assert kept(None, 0.25, (99.0, 0.25 * slack)) == within
    assert kept(0.25, 0.25, (0.1, 0.25 * slack)) == within


def test_without_a_limit_nothing_is_late() -> None:
    assert kept(None, None, (99.0, 99.0))


def test_a_whole_request_is_limited_with_all_its_tokens() -> None:
    asked = replace(question_of(isl=100, osl=11), e2e_seconds=3.0)
    for ttft, within in ((2.0, True), (2.001, False)):
        one: Any = SimpleNamespace(tpot=0.1, ttft=ttft)
        assert _within(asked, one) == within
