"""Replays of deployments in pools: by flags, and of a plan in pools."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest

import planner
from planner.base.errors import InputError
from planner.planning.plan.record import Plan
from planner.planning.pools.handover import PoolLink
from planner.planning.question.input import QuestionInput
from planner.planning.replay.pools import PooledWorkers, PoolOfWorkers, deployed_pools
from planner.planning.replay.record import PoolsRun, ReplayAnswer
from planner.planning.serving.serve import assigned
from planner.requests.stream import plain_stream

DEPLOYED: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "engine": "vllm@0.15.1",
    "tp": 1,
    "isl": 2000,
    "osl": 100,
}
POOLS = {"prefill_workers": 1, "decode_workers": 1}


@cache
def answer(rate: float, **given: Any) -> ReplayAnswer:
    return planner.replay(**DEPLOYED, **{**POOLS, **given}, rate=rate, count=200)


@cache
def pooled_plan() -> Plan:
    return planner.plan(
        "llama-3.1-8b", "h100-sxm", devices=8, engine="vllm", mode="disaggregated", isl=2000
    )


def pools_of(answer: ReplayAnswer) -> PoolsRun:
    assert answer.replay.pools is not None
    return answer.replay.pools


def test_a_request_alone_takes_what_serve_says() -> None:
    """The same law: prefill, transfer, handling and a decode step to the first token."""
    alone = answer(0.05, transfer_bytes_per_s=50e9)
    loop = planner.serve(**DEPLOYED, **POOLS, concurrency=1, transfer_bytes_per_s=50e9)
    assert loop.point is not None
    assert loop.pools is not None
    times = alone.replay.percentiles
    assert times.tpot_seconds.p50.value == pytest.approx(loop.point.tpot_seconds, rel=1e-3)
    assert times.ttft_seconds.p50.value == pytest.approx(loop.point.ttft_seconds, rel=1e-3)
    pools = pools_of(alone)
    assert pools.transfer_bytes == pytest.approx(loop.pools.transfer_bytes, rel=1e-3)
    assert pools.transfer_seconds == pytest.approx(loop.pools.transfer_seconds, rel=1e-3)


def worker(**layout: int) -> PoolOfWorkers:
    given: dict[str, Any] = {
        "model": planner.load_model("llama-3.1-8b"),
        "device": planner.load_device("h100-sxm"),
        "engine": "vllm@0.15.1",
        "kv": "bf16",
        "isl": 2000,
        "osl": 100,
    }
    ranks = layout.get("tp", 1) * layout.get("pp", 1)
    return PoolOfWorkers(assigned(QuestionInput(**given, **layout, devices=ranks)), 1, None)


@pytest.mark.parametrize(
    ("prefill", "decode", "share"),
    [
        ({"tp": 1}, {"tp": 1}, 1),
        ({"tp": 1}, {"tp": 2}, 1),
        ({"tp": 2}, {"tp": 1}, 1),
        ({"tp": 2}, {"tp": 2}, 2),
        ({"tp": 2}, {"tp": 4}, 2),
        ({"tp": 1, "pp": 2}, {"tp": 1, "pp": 2}, 2),
    ],
)
def test_a_cache_goes_at_the_pace_of_the_side_with_fewer_ranks(
    prefill: dict[str, int], decode: dict[str, int], share: int
) -> None:
    """Keys and values of 32 layers of 8 heads of 128 numbers in two bytes each, a token."""
    workers = PooledWorkers(worker(**prefill), worker(**decode), PoolLink(1e9, "a link", "given"))
    stream = plain_stream(np.zeros(2), np.array([1600, 3200]), np.array([10, 10]))
    pools = deployed_pools(workers, stream, "vllm@0.15.1", slots_max=None, chunk_tokens=None)
    whole = np.array([1600, 3200]) * 2 * 32 * 8 * 128 * 2
    assert pools.transfer_bytes(stream.input_tokens) == pytest.approx(whole, rel=0.01)
    assert pools.transfer_seconds(stream.input_tokens) == pytest.approx(
        whole / share / 1e9, rel=0.01
    )


def test_pools_are_told_in_the_schema() -> None:
    data = json.loads(json.dumps(answer(4.0).to_dict()))
    pools = data["replay"]["pools"]
    assert data["question"]["devices"] == 2
    assert data["replay"]["requests"] == 200
    for name in ("prefill", "decode"):
        assert 0 < pools[name]["busy"] <= 1
        assert 0 < pools[name]["cache_share"] <= pools[name]["most_cache_share"] <= 1
        assert len(pools[name]["busy_over_time"]) == len(data["replay"]["over_time"]["seconds"])
    whole = planner.replay(**DEPLOYED, devices=1, rate=4.0, count=200)
    assert whole.replay.pools is None


def test_output_over_time_is_every_token_once() -> None:
    found = answer(4.0).replay.over_time
    width = found.seconds[0]
    assert sum(found.output_tokens_per_second) * width == pytest.approx(200 * 100)


def test_what_waits_is_told_by_little_s_law() -> None:
    """Of prompts from their arrival to the pass that reads them; of caches that have arrived."""
    found = answer(18.0)
    pools, seconds = pools_of(found), found.replay.over_time.seconds[-1]
    waits = found.requests.columns["queue_seconds"]
    assert pools.prefill.waiting == pytest.approx(waits.sum() / seconds)
    rest = found.requests.columns["ttft_seconds"] - waits
    assert 0.0 < pools.decode.waiting < rest.sum() / seconds


def test_pools_beyond_a_host_are_linked_by_the_network() -> None:
    """Nine devices of both pools together; a host has eight."""
    within = answer(2.0, prefill_workers=7, decode_workers=1)
    beyond = answer(2.0, prefill_workers=8, decode_workers=1)
    assert pools_of(beyond).bytes_per_second < pools_of(within).bytes_per_second
    assert pools_of(beyond).link != pools_of(within).link
    assert beyond.question.devices == 9


def test_more_of_the_pool_that_is_short_of_workers_shortens_its_wait() -> None:
    few, more = answer(18.0), answer(18.0, prefill_workers=2)
    assert pools_of(more).prefill.waiting < 0.5 * pools_of(few).prefill.waiting
    assert pools_of(more).prefill.busy < pools_of(few).prefill.busy
    assert (
        more.replay.percentiles.ttft_seconds.p90.value
        < few.replay.percentiles.ttft_seconds.p90.value
    )


def test_a_slow_link_delays_first_tokens_and_caches_queue_for_it() -> None:
    """A prompt's cache is 262 MB: 0.26 s over 1 GB/s, of which 3.8 a second go over a link."""
    fast, slow = answer(2.0), answer(2.0, transfer_bytes_per_s=1e9)
    full = answer(6.0, transfer_bytes_per_s=1e9)
    means = [one.replay.percentiles.ttft_seconds.mean.value for one in (fast, slow)]
    assert means[1] - means[0] == pytest.approx(
        pools_of(slow).transfer_seconds - pools_of(fast).transfer_seconds, rel=2e-3
    )
    assert pools_of(slow).transfer_seconds >= 0.26
    assert pools_of(full).transfer_seconds > 10 * pools_of(slow).transfer_seconds


def test_a_plan_in_pools_is_replayed_with_its_own_workers() -> None:
    plan = pooled_plan()
    assert plan.deployment is not None
    mine = plan.deployment
    played = planner.replay(plan=plan, rate=2.0, count=100)
    pools = pools_of(played)
    assert (pools.prefill.workers, pools.decode.workers) == (
        mine.prefill.workers,
        mine.decode.workers,
    )
    assert played.question.devices == plan.device.count
    assert pools.transfer_bytes == pytest.approx(mine.transfer.bytes, rel=1e-3)
    assert pools.bytes_per_second == mine.transfer.bytes_per_second
    assert pools.prefill.max_sequences == mine.prefill.batch
    times = played.replay.percentiles
    # Few requests: steps are no longer than those of the plan's batch.
    assert times.tpot_seconds.mean.value <= mine.decode.tpot_seconds
    evidence = times.tpot_seconds.mean.evidence
    assert evidence is not None
    assert evidence.level == "none"
    assert evidence.n == 0
    slower = planner.replay(plan=plan, rate=2.0, count=100, transfer_bytes_per_s=1e9)
    assert pools_of(slower).transfer_seconds > pools.transfer_seconds


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prefill_workers": 1}, "one pool without the other"),
        ({"transfer_bytes_per_s": 1e9}, "without pools"),
        ({"prefill_workers": 0, "decode_workers": 1}, "prefill_workers = 0"),
        ({**POOLS, "transfer_bytes_per_s": -1.0}, "out of range"),
    ],
)
def test_contradictions_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        planner.replay(**DEPLOYED, **given, rate=1.0, count=10)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (POOLS, "a plan in pools"),
        ({"tp": 2}, "each pool has its own layout"),
        ({"scheme": "bf16"}, "exclude each other"),
    ],
)
def test_a_plan_in_pools_keeps_what_it_has(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        planner.replay(plan=pooled_plan(), **given, rate=1.0, count=10)
