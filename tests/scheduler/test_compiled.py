"""The kernel compiled by numba gives the same bits as the plain one."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from support.scheduling import ENGINES, hand_costs, hand_rules, stream_of

from planner.requests.stream import RequestStream
from planner.scheduler.rules import VLLM, SchedulerRules
from planner.scheduler.run import run
from planner.throughput.scheduling import Pipelining, Scheduling

pytest.importorskip("numba")


def mixed_stream(count: int = 200) -> RequestStream:
    """Requests in fits and starts, of which many begin alike, with too little cache for all."""
    draws = np.random.default_rng(2)
    inputs = draws.integers(1, 150, count).tolist()
    rows = [
        [*range(n // 8), *range(50 + 50 * i, 50 + 50 * i + n // 4 - n // 8)]
        for i, n in enumerate(inputs)
    ]
    arrivals = np.cumsum(draws.exponential(0.04, count) * draws.integers(0, 3, count))
    return stream_of(arrivals.tolist(), inputs, draws.integers(1, 48, count).tolist(), rows)


def alike(rules: SchedulerRules, policy: Scheduling, stages: int, **asked: object) -> None:
    stream, costs = mixed_stream(), hand_costs(stages)
    plain = run(stream, rules, costs, policy, engine="numpy", **asked)  # type: ignore[arg-type]
    fast = run(stream, rules, costs, policy, engine="numba", **asked)  # type: ignore[arg-type]
    for field in fields(plain):
        np.testing.assert_array_equal(
            getattr(plain, field.name), getattr(fast, field.name), err_msg=field.name
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_engines(engine: str) -> None:
    alike(hand_rules(engine), Scheduling(), 1)


def test_ranks_replicas_stages_drafts_and_host() -> None:
    policy = Scheduling(
        host_seconds=0.003,
        host_seconds_per_sequence=1e-5,
        overlapped=True,
        exposed_seconds_per_sequence=1e-4,
        reading_factor=1.3,
        prompt_floor_seconds=0.02,
        captured_tokens=16,
        handling_seconds=0.001,
        ahead=1,
        stream_interval=3,
        balance_steps=4,
        pipelining=Pipelining(successive=False, balanced=False),
    )
    rules = hand_rules(VLLM, draft=2, accepted=1.7)
    alike(rules, policy, 2, ranks=2, replicas=2, router="random", seed=5)


def test_longest_prefix_first() -> None:
    alike(hand_rules("sglang", order="lpm", mixed=True), Scheduling(hold_steps=3), 1)
