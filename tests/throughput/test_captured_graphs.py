"""Padding to captured batches, speculation, and pools of workers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.throughput.graphs import captured_batches, padded_batch, with_padded_decode
from planner.throughput.pools import Pools, pooled_loop
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.speculation import accepted_tokens

BATCH = np.array([0.0, 1.0, 8.0, 32.0, 128.0, 512.0])


def table(base: float = 8e-3, slope: float = 4e-5, prompt: float = 40e-3) -> StepTimes:
    decode = np.where(BATCH > 0, base + slope * BATCH, 0.0)
    return StepTimes(
        BATCH, decode, np.maximum(decode, base) + prompt, prompt * np.arange(1, 9) + base
    )


@pytest.mark.parametrize(
    ("engine", "version", "capability", "has", "lacks"),
    [
        ("vllm", "0.33.0", "9.0", (1, 2, 4, 8, 16, 24, 248, 256, 512), (3, 12, 264, 528)),
        ("vllm", "0.33.0", "10.0", (1, 2, 4, 8, 256, 512, 528, 1024), (3, 12, 264)),
        ("vllm", "0.27.1", "10.0", (1, 2, 4, 8, 256, 512), (3, 12, 264, 528)),
        ("vllm", "0.28.0rc1", "10.0", (1, 2, 4, 8, 256, 512), (3, 12, 264, 528)),
        ("vllm", "", None, (1, 2, 4, 8, 256, 512), (3, 12, 264, 528)),
        ("sglang", "0.4.10", "9.0", (1, 2, 4, 8, 16, 160, 256), (12, 264)),
        ("sglang", "0.5.23", "9.0", (1, 2, 4, 8, 12, 16, 160, 256), (10, 264)),
        ("tensorrt-llm", "1.2.1", "9.0", (1, 2, 4, 8, 16, 128), (3, 136)),
    ],
)
def test_defaults_of_engines(
    engine: str,
    version: str,
    capability: str | None,
    has: tuple[int, ...],
    lacks: tuple[int, ...],
) -> None:
    found = captured_batches(engine, version, capability)
    assert found is not None
    assert set(has) <= set(found.sizes)
    assert not set(lacks) & set(found.sizes)
    assert found.source


def test_an_engine_without_graphs_has_none() -> None:
    assert captured_batches("llama.cpp", "", "9.0") is None


@given(st.integers(0, 700))
def test_a_batch_is_padded_up_and_by_less_than_a_step(batch: int) -> None:
    sizes = captured_batches("vllm", "0.33.0", "9.0").sizes  # type: ignore[union-attr]
    (found,) = padded_batch(np.array([float(batch)]), sizes)
    assert found >= batch
    if 1 <= batch <= sizes[-1]:
        assert found in sizes
        assert not [s for s in sizes if batch <= s < found]
    else:
        assert found == batch


@given(st.integers(1, 300), st.floats(0.05, 1.0))
def test_padding_never_saves_time(most: int, share: float) -> None:
    times, sizes = table(), captured_batches("vllm", "0.33.0", "9.0").sizes  # type: ignore[union-attr]
    found = with_padded_decode(times, sizes, most)
    assert found.step(share * most) >= times.step(share * most) * (1 - 1e-6)
    full = float(padded_batch(np.array([float(most)]), sizes)[0])
    assert found.step(most) == pytest.approx(times.step(full))
    assert np.all(found.mixed >= found.decode)


def test_every_batch_captured_changes_nothing() -> None:
    times = table()
    found = with_padded_decode(times, range(1, 129), 128)
    for batch in (1.0, 20.0, 77.0, 128.0):
        assert found.step(batch) == pytest.approx(times.step(batch), rel=5e-3)


@given(st.integers(1, 8), st.floats(0, 1))
def test_accepted_tokens(draft: int, acceptance: float) -> None:
    found = accepted_tokens(draft, acceptance)
    assert 1 <= found <= draft + 1
    if acceptance < 0.99:
        assert found == pytest.approx((1 - acceptance ** (draft + 1)) / (1 - acceptance))


@pytest.mark.parametrize(("draft", "acceptance"), [(0, 0.5), (1, -0.1), (1, 1.1)])
def test_speculation_refuses(draft: int, acceptance: float) -> None:
    with pytest.raises(InputError):
        accepted_tokens(draft, acceptance)


def test_one_request_over_two_pools_waits_for_nobody() -> None:
    found = pooled_loop(table(), Load(1, 1024, 512), Scheduling(), Pools(1, 1, 0.01))
    alone = table().step(1)
    assert found.tpot == pytest.approx(alone)
    assert found.ttft == pytest.approx(table().prompt + 0.01 + alone)
    assert found.rate == pytest.approx(1 / (found.ttft + 512 * found.tpot))


@pytest.mark.parametrize("concurrency", [4, 32, 128, 512])
@pytest.mark.parametrize(("prefill", "decode"), [(1, 1), (1, 4), (4, 1)])
def test_requests_are_conserved(concurrency: int, prefill: int, decode: int) -> None:
    load = Load(concurrency, 1024, 512)
    found = pooled_loop(table(), load, Scheduling(), Pools(prefill, decode, 0.01))
    assert found.rate * (found.ttft + 512 * found.tpot) == pytest.approx(concurrency, rel=1e-3)
    assert found.active * decode <= concurrency
    assert found.active * decode == pytest.approx(found.rate * 512 * found.tpot, rel=1e-3)
    assert found.prefill_busy <= 1


def test_too_few_prefill_workers_limit_the_rate() -> None:
    few = pooled_loop(table(), Load(512, 1024, 512), Scheduling(), Pools(1, 4, 0.0))
    assert few.limit == "prefill"
    assert few.rate == pytest.approx(1 / table().prompt, rel=0.01)
    more = pooled_loop(table(), Load(512, 1024, 512), Scheduling(), Pools(2, 4, 0.0))
    assert more.rate > 1.5 * few.rate
    assert more.ttft < few.ttft


def test_the_balanced_ratio_balances() -> None:
    """As many prefill workers a decode worker as the balance says are just busy."""
    found = pooled_loop(table(), Load(256, 1024, 512), Scheduling(), Pools(4, 2, 0.0))
    workers = found.balance * 2
    assert found.prefill_busy * 4 == pytest.approx(workers, rel=0.01)


def test_a_full_cache_limits_the_decode_pool() -> None:
    load = Load(200, 1024, 512, cache_tokens=50 * 1536)
    found = pooled_loop(table(), load, Scheduling(), Pools(4, 1, 0.01))
    assert found.limit == "decode"
    assert found.active == pytest.approx(50)


def test_an_empty_pool_and_a_small_cache_are_refused() -> None:
    with pytest.raises(InputError):
        pooled_loop(table(), Load(8, 1024, 512), Scheduling(), Pools(0, 1, 0.0))
    with pytest.raises(InputError):
        pooled_loop(table(), Load(8, 1024, 512, cache_tokens=100), Scheduling(), Pools(1, 1, 0.0))


def test_prefill_workers_may_have_another_layout() -> None:
    load = Load(64, 1024, 512)
    like = pooled_loop(table(), load, Scheduling(), Pools(2, 2, 0.0))
    quick = replace(table(), mixed=table().mixed / 2, group=table().group / 2)
    fast = pooled_loop(table(), load, Scheduling(), Pools(2, 2, 0.0, quick, 1))
    assert fast.ttft < like.ttft
    wide = pooled_loop(table(), load, Scheduling(), Pools(2, 2, 0.0, table(), 8))
    assert wide.prefill_busy < 0.2 * like.prefill_busy
    assert wide.ttft < 1.5 * like.ttft


def test_a_pass_that_holds_several_prompts_reads_more_of_them() -> None:
    """Where the host's floor sets the pass, eight prompts cost what one costs."""
    load, policy = Load(512, 1024, 512), Scheduling(prompt_floor_seconds=0.5)
    one = pooled_loop(table(), load, policy, Pools(1, 8, 0.0))
    many = pooled_loop(
        table(),
        load,
        policy,
        Pools(1, 8, 0.0, replace(table(), group=np.linspace(0.1, 0.5, 8), together=8.0)),
    )
    assert one.limit == "prefill"
    assert many.rate > 3 * one.rate
    assert many.ttft < one.ttft


def test_a_run_that_starts_at_once_queues_for_the_prefill_pool() -> None:
    steady = pooled_loop(table(), Load(64, 1024, 512), Scheduling(), Pools(1, 1, 0.0))
    burst = pooled_loop(
        table(), Load(64, 1024, 512, requests=640.0), Scheduling(), Pools(1, 1, 0.0)
    )
    assert burst.tpot == steady.tpot
    assert burst.ttft > steady.ttft


def test_padding_keeps_what_ranks_read_together() -> None:
    every = replace(table(), everywhere=table().mixed + 0.02)
    found = with_padded_decode(every, [1, 8, 64], 48)
    assert found.everywhere is not None
    assert len(found.everywhere) == len(found.batch)
    assert np.all(found.everywhere >= found.mixed)
    assert found.with_prompt(30.0, 1.0) > found.with_prompt(30.0, 0.5) > found.with_prompt(30.0)
