"""Engines that hold prompts for the other attention ranks, and how often a step then reads."""

import numpy as np
import pytest

from planner.memory.engines.catalog import parse_engine
from planner.planning.engines.pool_rules import all_holding_rules, holding_rule
from planner.throughput.arrivals import (
    hold_window,
    passes_with_holding,
    prompts_each_step,
    ranks_reading,
)
from planner.throughput.lockstep import prompts_in_step
from planner.throughput.scheduling import Scheduling


def test_rows_have_sources_and_known_engines() -> None:
    assert {rule.engine for rule in all_holding_rules()} == {"tensorrt-llm", "sglang"}
    assert all(rule.source.title and rule.steps > 0 for rule in all_holding_rules())


@pytest.mark.parametrize(
    ("address", "held"),
    [("tensorrt-llm@1.0", True), ("tensorrt-llm@0.20", False), ("vllm", False), ("sglang", True)],
)
def test_versions(address: str, held: bool) -> None:
    assert (holding_rule(parse_engine(address)) is not None) is held


@pytest.mark.parametrize("steps", [1, 50, 200])
@pytest.mark.parametrize("ranks", [2, 8, 16])
@pytest.mark.parametrize("rate", [0.001, 0.2, 3.0])
def test_arrays_are_the_closed_loop(rate: float, ranks: int, steps: int) -> None:
    one = prompts_in_step(Scheduling(balance_steps=steps), rate / ranks, ranks)
    passes, reading = passes_with_holding(np.array([rate]), np.array([float(ranks)]), steps)
    assert passes[0] == pytest.approx(one.passes)
    assert (reading[0] - 1) / (ranks - 1) == pytest.approx(one.share)
    assert hold_window(np.array([rate]), np.array([float(ranks)]), steps)[0] / 2 == pytest.approx(
        one.held
    )


def test_one_rank_holds_nothing() -> None:
    rate, one = np.array([0.3]), np.ones(1)
    passes, reading = passes_with_holding(rate, one, 200)
    assert (passes[0], reading[0], hold_window(rate, one, 200)[0]) == (0.3, 1.0, 0.0)


def test_held_prompts_make_fewer_steps_long() -> None:
    rate, ranks = np.array([0.2]), np.array([8.0])
    passes, reading = passes_with_holding(rate, ranks, 200)
    assert passes[0] < prompts_each_step(rate, ranks)[0] / 4
    assert reading[0] > 4 * ranks_reading(rate, ranks)[0]
    assert passes[0] * reading[0] == pytest.approx(rate[0])
