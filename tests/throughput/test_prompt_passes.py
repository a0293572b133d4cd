"""What passes that read prompts last, and what they cost running sequences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.throughput.prompt_passes import (
    added_seconds,
    group_seconds,
    number_of_passes,
    reading_seconds,
)
from planner.throughput.scheduling import Scheduling, StepTimes

BATCH = np.array([0.0, 1.0, 64.0])
TIMES = StepTimes(
    BATCH,
    np.array([0.0, 0.008, 0.010]),
    np.array([0.045, 0.048, 0.050]),
    np.array([0.045, 0.085, 0.125]),
    together=3.0,
)


def test_a_mixed_pass_lasts_at_least_its_launch() -> None:
    policy = Scheduling(prompt_floor_seconds=0.08)
    assert added_seconds(TIMES, Scheduling(), 64.0) == pytest.approx(0.040)
    assert added_seconds(TIMES, policy, 64.0) == pytest.approx(0.070)
    assert reading_seconds(TIMES, policy, 64.0) == pytest.approx(0.080)
    # Two share the launch, three are longer than it; the fourth takes another pass.
    assert added_seconds(TIMES, policy, 64.0, 2.0) == pytest.approx(0.080)
    assert added_seconds(TIMES, policy, 64.0, 3.0) == pytest.approx(0.120)
    assert added_seconds(TIMES, Scheduling(prompt_floor_seconds=0.5), 64.0, 6.0) == pytest.approx(
        2 * 0.490
    )


def test_prompts_that_run_alone_share_weights_and_launch() -> None:
    policy = Scheduling(exclusive=True, prompt_floor_seconds=0.1, host_seconds=0.001)
    assert added_seconds(TIMES, policy, 64.0) == pytest.approx(0.101)
    assert added_seconds(TIMES, policy, 64.0, 3.0) == pytest.approx(0.126)
    assert added_seconds(TIMES, policy, 64.0, 6.0) == pytest.approx(2 * 0.126)
    assert reading_seconds(TIMES, policy, 64.0) == added_seconds(TIMES, policy, 64.0)


def test_the_factor_of_an_engine_lengthens_what_a_prompt_adds() -> None:
    policy = Scheduling(reading_factor=1.5)
    assert added_seconds(TIMES, policy, 64.0) == pytest.approx(0.060)
    assert reading_seconds(TIMES, policy, 64.0) == pytest.approx(0.070)
    assert reading_seconds(TIMES, policy, 0.0) == pytest.approx(1.5 * 0.045)


def test_each_chunk_of_a_long_prompt_is_a_pass() -> None:
    chunked = replace(TIMES, group=TIMES.group[:1], chunks=4, together=0.25)
    assert number_of_passes(chunked, 1.0) == 4
    policy = Scheduling(prompt_floor_seconds=0.05)
    assert added_seconds(chunked, policy, 64.0) == pytest.approx(4 * 0.040)
    assert reading_seconds(chunked, policy, 64.0) == pytest.approx(4 * 0.050)


def test_groups_are_linear_between_whole_numbers_and_whole_passes_beyond() -> None:
    assert group_seconds(TIMES, 1.0) == pytest.approx(0.045)
    assert group_seconds(TIMES, 1.5) == pytest.approx(0.065)
    assert group_seconds(TIMES, 3.0) == pytest.approx(0.125)
    assert group_seconds(TIMES, 6.0) == pytest.approx(0.250)
    lone = replace(TIMES, group=TIMES.group[:1])
    assert group_seconds(lone, 2.0) == pytest.approx(0.090)


def test_a_pass_of_few_tokens_replays_a_graph() -> None:
    policy = Scheduling(prompt_floor_seconds=0.5, captured_tokens=512)
    few = replace(TIMES, tokens=448.0)
    assert added_seconds(few, policy, 64.0) == added_seconds(TIMES, Scheduling(), 64.0)
    assert added_seconds(few, policy, 65.0) == pytest.approx(0.490)
    assert added_seconds(few, policy, 64.0, 2.0) == pytest.approx(0.490)
    assert added_seconds(TIMES, policy, 64.0) == pytest.approx(0.490)
