"""Chosen pools in their closed loop: rate, parts of TTFT, limits on time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from planner.planning.pools.find_pools import PoolsQuestion, demand_of, find_pools
from planner.planning.pools.pools_loop import PoolsInLoop, pools_in_loop
from planner.planning.pools.search import Demand, TwoPools
from planner.planning.question.input import QuestionInput


@cache
def chosen() -> tuple[TwoPools, Demand]:
    inputs = QuestionInput(
        model="qwen3-0.6b",
        device="h100-sxm",
        devices=2,
        engine="vllm",
        isl=2048,
        osl=256,
        schemes=("bf16",),
        kv="bf16",
    )
    ways = inputs.ways(inputs.given_values)
    choice = find_pools(ways, PoolsQuestion(exact=True)).choice
    assert choice is not None
    return choice.option.pools, demand_of(ways[0])


def free() -> tuple[PoolsInLoop, TwoPools, Demand]:
    pools, demand = chosen()
    without = replace(
        demand, first_token_seconds=np.inf, request_seconds=np.inf, token_seconds=np.inf
    )
    return pools_in_loop(pools, without), pools, without


def test_the_requests_in_flight_are_those_of_littles_law() -> None:
    loop, _, demand = free()
    state = loop.state
    assert loop.requests == pytest.approx(
        state.rate * (state.ttft + demand.osl * state.tpot), rel=1e-6
    )


def test_the_rate_is_near_what_the_search_counts_on() -> None:
    loop, pools, _ = free()
    assert loop.state.rate == pytest.approx(pools.rate, rel=0.1)
    parts = loop.queue + loop.state.reading + loop.transfer + loop.handling + loop.state.tpot
    assert loop.state.ttft == pytest.approx(parts)


def test_fewer_requests_keep_a_limit() -> None:
    loop, pools, demand = free()
    limit = 0.5 * (loop.state.ttft - loop.queue) + 0.5 * loop.state.ttft
    tight = pools_in_loop(pools, replace(demand, first_token_seconds=limit))
    assert tight.requests < loop.requests
    assert tight.state.ttft <= limit
    assert tight.state.rate < loop.state.rate
