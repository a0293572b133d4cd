"""The frontier of a layout: in order of loss, each plan better than the one before."""

from dataclasses import replace

import pytest

from planner.planning.inspect.layout_frontier import FrontierReach, _undominated


@pytest.mark.parametrize("fast", ["latency", "throughput"])
def test_more_loss_has_to_buy_speed(fast: str) -> None:
    first = FrontierReach(0.1, 0.010, 100.0, 1, 1)
    as_fast = replace(first, loss=0.2)
    faster = FrontierReach(0.3, 0.008, 120.0, 1, 1)
    slower = FrontierReach(0.4, 0.009, 110.0, 1, 1)
    assert _undominated([slower, faster, as_fast, first], fast) == (first, faster)


def test_latency_and_rates_are_ranked_apart() -> None:
    first = FrontierReach(0.1, 0.010, 100.0, 1, 1)
    sooner = FrontierReach(0.2, 0.009, 90.0, 1, 1)
    assert _undominated([first, sooner], "latency") == (first, sooner)
    assert _undominated([first, sooner], "throughput") == (first,)
