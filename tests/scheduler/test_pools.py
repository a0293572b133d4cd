"""Prefill workers in front of decode workers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.scheduling import hand_costs, hand_rules, stream_of

from planner.requests.stream import RequestStream, plain_stream
from planner.scheduler.pools import PooledRequests, WorkerPool, run_pools
from planner.throughput.scheduling import Scheduling

POOL = WorkerPool(hand_rules(), hand_costs(), Scheduling())


def run(
    stream: RequestStream, prefill: WorkerPool, decode: WorkerPool, each_token: float
) -> PooledRequests:
    return run_pools(stream, prefill, decode, stream.input_tokens * each_token)


def test_one_request_by_hand() -> None:
    """20 tokens are read in 2 ms and sent in 20 · 1 ms, and 4 steps of 11 ms follow."""
    out = run(stream_of([1.0], [20], [4]), POOL, POOL, 1e-3)
    np.testing.assert_allclose(out.requests.first_seconds, [1.002 + 0.020 + 0.011])
    np.testing.assert_allclose(out.requests.last_seconds, [1.002 + 0.020 + 4 * 0.011])
    assert out.requests.made_tokens.tolist() == [4]
    assert out.decode.prompt_tokens.sum() == 0
    assert out.prefill.prompt_tokens.tolist() == [20]
    assert out.requests.decoding.tolist() == [1, 1, 1, 1]
    assert out.until == np.inf


def test_the_host_handles_a_request_once() -> None:
    slow = replace(POOL, policy=Scheduling(handling_seconds=0.1))
    out = run(stream_of([1.0], [20], [4]), slow, slow, 0.0)
    np.testing.assert_allclose(out.requests.last_seconds, [1.002 + 4 * 0.011 + 0.1])


def test_caches_go_over_a_link_one_after_the_other() -> None:
    """Two prompts are read in one pass of 4 ms; each takes 20 ms to send."""
    stream = stream_of([0.0, 0.0], [20, 20], [1, 1])
    one = run(stream, POOL, replace(POOL, workers=2), 1e-3)
    np.testing.assert_allclose(one.requests.last_seconds, [0.004 + 0.031, 0.004 + 0.051])
    # Each of two prefill workers has a link, and reads one of them in 2 ms.
    two = run(stream, replace(POOL, workers=2), replace(POOL, workers=2), 1e-3)
    np.testing.assert_allclose(two.requests.last_seconds, [0.002 + 0.031] * 2)


def test_all_are_served_once_and_prompts_disturb_nobody() -> None:
    draws = np.random.default_rng(3)
    stream = plain_stream(
        np.cumsum(draws.exponential(0.03, 200)),
        draws.integers(1, 150, 200),
        draws.integers(1, 50, 200),
    )
    out = run(stream, POOL, replace(POOL, workers=3), 1e-5)
    done = out.requests
    assert done.complete
    assert (done.made_tokens == stream.output_tokens).all()
    assert (done.last_seconds >= done.first_seconds).all()
    assert (done.last_seconds == done.first_seconds)[stream.output_tokens == 1].all()
    assert out.prefill.decoding.sum() == 0
    assert (np.diff(done.start_seconds) >= 0).all()
    # Its passes are those that yield tokens: each prompt is read once in the others.
    for name in ("start_seconds", "pass_seconds", "decoding", "prompt_tokens"):
        np.testing.assert_array_equal(getattr(done, name), getattr(out.decode, name), err_msg=name)
    # A prompt that is read again yields its next token there.
    again = out.decode.preempted.sum()
    assert done.decoding.sum() == stream.output_tokens.sum() - again
    assert out.prefill.prompt_tokens.sum() == stream.input_tokens.sum()
    slower = run(stream, POOL, replace(POOL, workers=3), 1e-3)
    assert slower.requests.last_seconds.mean() > done.last_seconds.mean()
    assert (out.decode.prompt_tokens.sum() > 0) == out.decode.preempted.any()


def test_a_decode_worker_that_preempts_reads_the_prompt_again() -> None:
    stream = stream_of([0.0, 0.0], [16, 16], [20, 20])
    small = replace(POOL, rules=hand_rules(cache_tokens=48, prefix_cache=False))
    out = run(stream, POOL, small, 0.0)
    assert out.requests.preempted.tolist() == [0, 1]
    assert out.decode.prompt_tokens.sum() > 16
    assert out.requests.made_tokens.tolist() == [20, 20]


def test_what_no_prefill_worker_reads_is_rejected() -> None:
    out = run(stream_of([0.0, 0.0], [500, 10], [2, 2]), POOL, POOL, 0.0)
    assert out.requests.rejected.tolist() == [True, False]
    assert np.isnan(out.requests.last_seconds[0])
    assert out.handed.tolist() == [1]
