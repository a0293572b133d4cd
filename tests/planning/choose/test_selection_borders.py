"""A mixture is taken for its own sake where it is better, not where it is as good."""

from types import SimpleNamespace
from typing import Any

import pytest

from planner.planning.choose.best_of_options import _dominates


def option(loss: float, value: float, held: int) -> Any:
    return SimpleNamespace(
        priced=SimpleNamespace(loss=loss, fullest=SimpleNamespace(total=held)),
        weighed=SimpleNamespace(value=value),
    )


@pytest.mark.parametrize(
    ("mine", "other", "quality", "latency"),
    [
        ((0.0, 1.0, 10), (0.0, 1.0, 10), False, False),
        ((0.1, 1.0, 10), (0.1, 1.0, 10), False, False),
        ((0.1, 1.0, 10), (0.2, 1.0, 10), True, True),
        ((0.1, 2.0, 10), (0.2, 1.0, 10), True, False),
        ((0.1, 0.9, 10), (0.1, 1.0, 10), False, True),
        ((0.1, 0.9, 11), (0.1, 1.0, 10), False, False),
        ((0.2, 0.9, 9), (0.1, 1.0, 10), False, False),
    ],
)
def test_less_loss_alone_counts_under_quality_and_all_three_else(
    mine: tuple[float, float, int], other: tuple[float, float, int], quality: bool, latency: bool
) -> None:
    assert _dominates(option(*mine), option(*other), "quality") is quality
    assert _dominates(option(*mine), option(*other), "latency") is latency
