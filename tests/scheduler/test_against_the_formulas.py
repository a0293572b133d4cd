"""Where the formulas of a closed loop and the scheduler both speak they say the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from planner.requests.stream import plain_stream
from planner.scheduler.costs import StepCosts
from planner.scheduler.rules import SGLANG, VLLM, SchedulerRules
from planner.scheduler.run import run
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.serving import closed_loop

PROMPT, ANSWER = 1000, 200
BATCH = np.array([0, 1, 2, 4, 8, 16, 32, 64, 128, 256.0])
STEP = np.where(BATCH > 0, 8e-3 + 1e-4 * BATCH, 0.0)
ALONE, BESIDE = 0.025, 0.018
"""Seconds of a prompt on an idle rank, and what it adds to a step."""
POLICIES = {
    "no host": Scheduling(),
    "host": Scheduling(host_seconds=2e-3, host_seconds_per_sequence=1e-5),
    "overlapped": Scheduling(
        host_seconds=12e-3, overlapped=True, exposed_seconds_per_sequence=2e-5
    ),
    "floor": Scheduling(prompt_floor_seconds=0.04, captured_tokens=512),
    "captured": Scheduling(prompt_floor_seconds=0.04, captured_tokens=2048),
    "handling": Scheduling(handling_seconds=0.01),
    "reading": Scheduling(reading_factor=1.3),
}


def step_times() -> StepTimes:
    mixed = STEP + BESIDE
    mixed[0] = ALONE
    group = ALONE + BESIDE * np.arange(8)
    return StepTimes(BATCH, STEP, mixed, group, together=8.192, tokens=float(PROMPT))


def step_costs() -> StepCosts:
    tokens = np.array([0, 1000.0, 2000, 8192])
    mixed = np.repeat((tokens / PROMPT * BESIDE)[:, None], len(BATCH), axis=1)
    mixed[1:, 0] += ALONE - BESIDE
    ends = np.array([0.0, 1e5])
    decode = np.repeat(STEP[:, None], 2, axis=1)
    return StepCosts(BATCH, ends + 1, decode, tokens, mixed, mixed, ends, np.zeros((4, 2)))


def served(
    gaps: NDArray[np.float64], policy: Scheduling, *, exclusive: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """TTFT and TPOT of requests with such gaps."""
    count = len(gaps)
    stream = plain_stream(np.cumsum(gaps), np.full(count, PROMPT), np.full(count, ANSWER))
    rules = SchedulerRules(
        SGLANG if exclusive else VLLM, 8192, 256, 1_000_000, 8192, mixed=not exclusive, reserve=0.7
    )
    out = run(stream, rules, step_costs(), policy, engine="numpy")
    between = (out.last_seconds - out.first_seconds) / (ANSWER - 1)
    return out.first_seconds - stream.arrival_seconds, between


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("name", POLICIES)
def test_one_request_at_a_time(name: str, exclusive: bool) -> None:
    policy = replace(POLICIES[name], exclusive=exclusive, cohorts=False)
    loop = closed_loop(step_times(), Load(1, PROMPT, ANSWER), policy)
    ttft, tpot = served(np.full(3, 60.0), policy, exclusive=exclusive)
    np.testing.assert_allclose(ttft, loop.ttft, rtol=1e-9)
    np.testing.assert_allclose(tpot, loop.tpot, rtol=1e-9)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("ahead", [0, 1])
def test_a_stream_has_the_times_of_a_loop_of_as_many_in_flight(
    name: str, exclusive: bool, ahead: int
) -> None:
    """Poisson arrivals at 10 a second, some 25 to 40 in flight. The loop's TTFT where prompts run
    alone takes that of a pass with the batch's mean of prompts, 9 % too little here, and its steps
    are those of the mean batch where the longer of host and device counts."""
    policy = replace(POLICIES[name], exclusive=exclusive, cohorts=False, ahead=ahead)
    gaps = np.random.default_rng(0).exponential(0.1, 2500)
    ttft, tpot = (each[500:] for each in served(gaps, policy, exclusive=exclusive))
    inside = 10.0 * float((ttft + (ANSWER - 1) * tpot).mean())
    loop = closed_loop(step_times(), Load(inside, PROMPT, ANSWER), policy)
    assert tpot.mean() == pytest.approx(loop.tpot, rel=0.04 if exclusive else 0.03)
    assert ttft.mean() == pytest.approx(loop.ttft, rel=0.15 if exclusive else 0.03)
