"""Limits on time of an assignment that finds prefixes again: kept where they are just met."""

from types import SimpleNamespace
from typing import Any

import pytest

from planner.planning.reuse.batches import _within
from planner.planning.solver.problem import TOLERANCE


def kept(tpot: float | None, ttft: float | None, took: tuple[float, float]) -> bool:
    asked: Any = SimpleNamespace(tpot_seconds=tpot, ttft_seconds=ttft)
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
