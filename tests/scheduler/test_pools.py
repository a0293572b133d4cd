"""Prefill workers in front of decode workers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.scheduling import hand_costs, hand_rules, stream_of

from planner.requests.stream import plain_stream
from planner.scheduler.pools import WorkerPool, run_pools
from planner.throughput.scheduling import Scheduling

POOL = WorkerPool(hand_rules(), hand_costs(), Scheduling())


def test_one_request_by_hand() -> None:
    """20 tokens are read in 2 ms, sent in 20 · 1 ms + 5 ms, and 3 steps of 11 ms follow."""
    out = run_pools(stream_of([1.0], [20], [4]), POOL, POOL, 1e-3, transfer_seconds=5e-3)
    np.testing.assert_allclose(out.requests.first_seconds, [1.002])
    np.testing.assert_allclose(out.requests.last_seconds, [1.002 + 0.025 + 3 * 0.011])
    assert out.requests.made_tokens.tolist() == [4]
    assert out.decode.prompt_tokens.sum() == 0
    assert out.requests.decoding.tolist() == [0, 1, 1, 1]


def test_all_are_served_once_and_prompts_disturb_nobody() -> None:
    draws = np.random.default_rng(3)
    stream = plain_stream(
        np.cumsum(draws.exponential(0.03, 200)),
        draws.integers(1, 150, 200),
        draws.integers(1, 50, 200),
    )
    out = run_pools(stream, POOL, replace(POOL, workers=3), 1e-5)
    done = out.requests
    assert done.complete
    assert (done.made_tokens == stream.output_tokens).all()
    assert (done.last_seconds >= done.first_seconds).all()
    assert (done.last_seconds == done.first_seconds)[stream.output_tokens == 1].all()
    assert out.prefill.decoding.sum() == 0
    assert (np.diff(done.start_seconds) >= 0).all()
    assert len(done.start_seconds) == len(out.prefill.start_seconds) + len(out.decode.start_seconds)
    slower = run_pools(stream, POOL, replace(POOL, workers=3), 1e-3)
    assert slower.requests.last_seconds.mean() > done.last_seconds.mean()
    assert (out.decode.prompt_tokens.sum() > 0) == out.decode.preempted.any()


def test_a_decode_worker_that_preempts_reads_the_prompt_again() -> None:
    stream = stream_of([0.0, 0.0], [16, 16], [20, 20])
    small = replace(POOL, rules=hand_rules(cache_tokens=48, prefix_cache=False))
    out = run_pools(stream, POOL, small, 0.0)
    assert out.requests.preempted.tolist() == [0, 1]
    assert out.decode.prompt_tokens.sum() > 16
    assert out.requests.made_tokens.tolist() == [20, 20]


def test_what_no_prefill_worker_reads_is_rejected() -> None:
    out = run_pools(stream_of([0.0, 0.0], [500, 10], [2, 2]), POOL, POOL, 0.0)
    assert out.requests.rejected.tolist() == [True, False]
    assert np.isnan(out.requests.last_seconds[0])
    assert out.handed.tolist() == [1]
