"""The law of a step on grids says what it says of each pass."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout
from planner.planning.price.recipe import SchemeSet, recipe_assignment
from planner.planning.price.step import Assignment, Serving, step_times
from planner.planning.price.step_costs import LargestPass, step_costs
from planner.quality.prior import load_prior
from planner.scheduler.costs import StepCosts
from planner.throughput.scheduling import StepTimes

Array = NDArray[np.float64]
OSL, SEQUENCES = 200, 64
CASES = {
    "dense": ("llama-3.1-8b", "h100-sxm", Layout(), 1000, 2048),
    "chunks": ("llama-3.1-8b", "h100-sxm", Layout(), 30000, 8192),
    "windows": ("gpt-oss-20b", "h100-sxm", Layout(), 3000, 2048),
    "experts over ranks": ("qwen3-30b-a3b", "h200-sxm", Layout(dp=4, ep=4), 2000, 8192),
    "pipeline": ("qwen3-32b", "h200-sxm", Layout(pp=2), 3000, 2048),
}


@cache
def plan(case: str) -> Assignment:
    model, device, layout, isl, _ = CASES[case]
    return recipe_assignment(
        resolve_model(model),
        resolve_device(device),
        layout,
        SchemeSet("bf16", "bf16", "bf16"),
        load_prior(),
        isl=isl,
        osl=OSL,
        engine="vllm",
    )


@cache
def tables(case: str) -> tuple[StepCosts, StepTimes]:
    _, _, _, isl, chunk = CASES[case]
    limits = LargestPass(SEQUENCES, chunk, isl + OSL, isl + OSL / 2)
    return step_costs(plan(case), limits), step_times(
        plan(case), Serving(isl, OSL, SEQUENCES, chunk)
    )


def between(x: Array, y: Array, table: Array, a: float, b: float) -> float:
    """The table [X, Y] at (a, b), linear in each coordinate, beyond the last as before it."""

    def at(grid: Array, value: float) -> tuple[int, float]:
        i = int(np.clip(np.searchsorted(grid, value, side="right") - 1, 0, len(grid) - 2))
        return i, (value - grid[i]) / (grid[i + 1] - grid[i])

    (i, u), (j, v) = at(x, a), at(y, b)
    low, high = table[i], table[i + 1]
    return float(
        (1 - u) * ((1 - v) * low[j] + v * low[j + 1]) + u * ((1 - v) * high[j] + v * high[j + 1])
    )


def prompt_seconds(costs: StepCosts, mixed: Array, isl: int, chunk: int, batch: float) -> float:
    """What a prompt adds to the steps of a batch, over all its chunks."""
    passes = -(-isl // chunk)
    each = isl / passes
    return sum(
        between(costs.tokens, costs.batch, mixed, each, batch)
        + between(costs.tokens, costs.computed, costs.behind, each, i * each)
        for i in range(passes)
    )


@pytest.mark.parametrize("case", CASES)
def test_a_step_without_prompts(case: str) -> None:
    costs, times = tables(case)
    length = CASES[case][3] + OSL / 2
    for batch in (1.0, 2.5, 20.0, 64.0):
        step = between(costs.batch, costs.length, costs.decode, batch, length)
        assert step == pytest.approx(times.step(batch), rel=0.02)
    assert np.all(costs.decode[0] == 0)
    assert np.all(np.diff(costs.decode[1:], axis=1) >= 0), "longer caches take no less"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch", [0.0, 1.0, 12.0, 16.0, 48.0])
def test_a_prompt_beside_a_batch(case: str, batch: float) -> None:
    costs, times = tables(case)
    _, _, layout, isl, chunk = CASES[case]
    for mixed, share in ((costs.mixed, 0.0), (costs.everywhere, 1.0)):
        added = prompt_seconds(costs, mixed, isl, chunk, batch)
        total = added + (times.step(batch) if batch else 0.0)
        # Where a tile of 128 rows ends inside a cell the table is a line and the law a step.
        edge = (isl + batch) % 128 > 96 or (isl + batch) % 128 < 32
        slack = 0.12 if case == "dense" and edge else 0.02
        assert total == pytest.approx(times.with_prompt(batch, share), rel=slack)
    if layout.dp == 1:
        assert np.array_equal(costs.mixed, costs.everywhere)
    else:
        assert np.all(costs.everywhere[1:] > costs.mixed[1:] * (1 - 1e-9))


def test_several_prompts_of_one_pass_share_the_weights() -> None:
    costs, times = tables("dense")
    for count in (1, 2):
        alone = between(costs.tokens, costs.batch, costs.mixed, 1000.0 * count, 0.0)
        alone += count * between(costs.tokens, costs.computed, costs.behind, 1000.0, 0.0)
        assert alone == pytest.approx(times.group[count - 1], rel=0.02)


def test_attention_behind_computed_tokens_takes_longer() -> None:
    """A chunk's queries attend to all that was computed before it."""
    costs, _ = tables("chunks")
    assert np.all(np.diff(costs.behind[costs.tokens >= 64, 2:], axis=1) > 0)
    long = between(costs.tokens, costs.computed, costs.behind, 2048.0, 28000.0)
    assert long > between(costs.tokens, costs.computed, costs.behind, 512.0, 28000.0)


def test_tables_end_with_what_a_pass_may_hold() -> None:
    costs, _ = tables("dense")
    assert costs.batch[-1] >= SEQUENCES
    assert costs.tokens[-1] == 2048
    assert costs.tokens[0] == 0
    assert np.all(np.diff(costs.tokens) > 0)
    assert sum(t.size for t in (costs.decode, costs.mixed, costs.everywhere, costs.behind)) < 12000


def test_a_stage_of_a_pipeline_is_busy_for_its_share() -> None:
    costs, times = tables("pipeline")
    assert times.stages is not None
    assert costs.stages == 2
    # The last stage has the head, the hops are no one's.
    assert costs.slowest_share == pytest.approx(times.stages.decode[5] / times.decode[5], rel=0.02)
    assert 0.48 < costs.slowest_share < 0.6
    assert tables("dense")[0].slowest_share == 1.0


def test_drafting_lengthens_every_pass() -> None:
    limits = LargestPass(8, 512, 1200, 1100.0)
    plain = step_costs(plan("dense"), limits)
    drafted = step_costs(plan("dense"), LargestPass(8, 512, 1200, 1100.0, draft=3, draft_layers=2))
    assert np.all(drafted.decode[1:] > plain.decode[1:] * (1 + 3 * 2 / 32) * (1 - 1e-9))
