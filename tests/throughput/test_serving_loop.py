"""The closed form against a played closed loop, and the laws it must keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_simulation import play

from planner.base.errors import InputError
from planner.throughput.arrivals import prompts_a_step
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.serving import closed_loop

BATCH = np.array([0.0, 1.0, 8.0, 32.0, 128.0, 512.0])


def step_table(
    base: float = 8e-3, slope: float = 4e-5, prompt: float = 40e-3, together: float = 1.0
) -> StepTimes:
    """A dense model: a floor, a slope, and a prompt that costs the same beside any batch."""
    decode = np.where(BATCH > 0, base + slope * BATCH, 0.0)
    mixed = np.maximum(decode, base) + prompt
    return StepTimes(BATCH, decode, mixed, prompt * np.arange(1, 9) + base, 1, together)


@pytest.mark.sample(1)
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize(("concurrency", "osl"), [(4, 256), (16, 512), (64, 1024), (128, 1024)])
def test_the_fixed_point_equals_a_played_loop(
    concurrency: int,
    osl: int,
    *,
    exclusive: bool,
) -> None:
    load = Load(concurrency, 1024, osl, requests=12 * concurrency)
    policy = Scheduling(exclusive=exclusive)
    tpot, _, active = play(step_table(), load, policy, jitter=0.3, seed=7).means(2 * concurrency)
    found = closed_loop(step_table(), replace(load, requests=None), policy)
    assert found.tpot == pytest.approx(tpot, rel=0.02)
    assert active <= concurrency
    assert found.active == pytest.approx(active, rel=0.06)


@pytest.mark.parametrize(("concurrency", "osl"), [(8, 128), (8, 512), (32, 128), (64, 256)])
def test_requests_of_one_length_meet_a_prompt_in_every_pass_under_way(
    concurrency: int,
    osl: int,
) -> None:
    """Played: each request ends a step behind the one before, for ever; its successor comes while
    the next prompt is read, and is read in the step after."""
    load = Load(concurrency, 1024, osl, requests=12 * concurrency, alike=True)
    tpot, ttft, _ = play(step_table(), load, Scheduling(), jitter=0.0, seed=7, pause=1e-6).means(
        3 * concurrency
    )
    found = closed_loop(step_table(), replace(load, requests=None), Scheduling())
    assert found.tpot == pytest.approx(tpot, rel=0.03)
    assert found.ttft == pytest.approx(ttft, rel=0.05)
    apart = closed_loop(step_table(), replace(load, requests=None, alike=False), Scheduling())
    assert apart.ttft < 0.8 * found.ttft
    later = closed_loop(step_table(), replace(load, requests=None), Scheduling(ahead=1))
    assert later.ttft == pytest.approx(1.5 * found.ttft, rel=0.1)


@pytest.mark.parametrize(("concurrency", "osl"), [(4, 128), (16, 256), (64, 128)])
def test_prompts_that_run_alone_keep_requests_of_one_length_together(
    concurrency: int,
    osl: int,
) -> None:
    times = step_table()
    times = replace(times, mixed=np.where(BATCH > 0, times.mixed, 48e-3), group=np.array([48e-3]))
    load = Load(concurrency, 1024, osl, requests=12 * concurrency, alike=True)
    policy = Scheduling(exclusive=True)
    tpot, ttft, _ = play(times, load, policy, jitter=0.0, seed=7).means(2 * concurrency)
    found = closed_loop(times, replace(load, requests=None), policy)
    assert found.tpot == pytest.approx(tpot, rel=0.03)
    assert found.ttft == pytest.approx(ttft, rel=0.03)
    mixed_up = closed_loop(times, replace(load, requests=None), replace(policy, cohorts=False))
    assert mixed_up.ttft < 0.8 * found.ttft


def test_handling_delays_the_first_token_alone_and_a_launch_every_sequence_of_the_pass() -> None:
    load = Load(16, 1024, 1024)
    plain = closed_loop(step_table(), load, Scheduling())
    handled = closed_loop(step_table(), load, Scheduling(handling_seconds=20e-3))
    assert handled.ttft - plain.ttft == pytest.approx(20e-3, rel=0.02)
    low, high = (
        closed_loop(step_table(), load, Scheduling(prompt_floor_seconds=s)) for s in (30e-3, 200e-3)
    )
    assert low.ttft == plain.ttft
    assert high.ttft > plain.ttft + 100e-3
    assert handled.tpot == pytest.approx(plain.tpot, rel=0.01)
    assert low.tpot == plain.tpot
    # A sixtieth of the steps reads a prompt: 200 ms in place of 49 ms.
    read = high.active * 15 / 16 / load.osl
    assert high.interruption == pytest.approx(read * (200e-3 - 8.6e-3), rel=0.02)


def test_prompts_that_wait_share_the_launch_of_a_pass() -> None:
    """A floor bounds passes and not prompts, whether prompts run alone or beside decoding."""
    times = step_table(base=4e-3, prompt=2e-3, together=16.0)
    times = replace(times, group=2e-3 * np.arange(1, 17))
    for exclusive in (False, True):
        policy = Scheduling(exclusive=exclusive, prompt_floor_seconds=100e-3)
        found = closed_loop(times, Load(1024, 512, 64), policy)
        rate = 1024 / (found.ttft + 64 * found.tpot)
        assert 2 / 100e-3 < rate < 16 / 100e-3


def test_prompts_cost_their_factor() -> None:
    load = Load(32, 1024, 1024)
    for exclusive in (False, True):
        plain, dearer = (
            closed_loop(step_table(), load, Scheduling(exclusive=exclusive, reading_factor=f))
            for f in (1.0, 1.5)
        )
        # Fewer decode where answers take longer: not quite half as much again.
        assert dearer.interruption == pytest.approx(1.5 * plain.interruption, rel=0.04)
        assert dearer.ttft > 1.3 * plain.ttft


def test_a_prompt_that_is_held_for_others_waits_no_longer_than_asked() -> None:
    load = Load(32, 1024, 1024)
    plain = closed_loop(step_table(together=8.0), load, Scheduling())
    held = closed_loop(step_table(together=8.0), load, Scheduling(hold_steps=20))
    assert 10 * plain.tpot < held.ttft - plain.ttft < 20.5 * plain.tpot
    assert held.tpot == pytest.approx(plain.tpot, rel=0.02)
    full = closed_loop(step_table(together=8.0), load, Scheduling(hold_steps=20, hold_share=0.01))
    assert full.ttft < held.ttft


@pytest.mark.parametrize("concurrency", [16, 64, 256])
def test_ranks_that_read_in_one_step_share_it(concurrency: int) -> None:
    """Eight ranks; a pass in which all read costs twice one in which one does."""
    one = step_table()
    times = replace(one, everywhere=one.mixed + 40e-3)
    load = Load(concurrency, 1024, 512, ranks=8)
    alone, free = closed_loop(one, load, Scheduling()), closed_loop(times, load, Scheduling())
    balanced = closed_loop(times, load, Scheduling(balance_steps=60))
    assert free.interruption >= alone.interruption
    assert balanced.interruption < free.interruption
    assert balanced.ttft > free.ttft


@pytest.mark.sample(1)
@pytest.mark.parametrize("together", [1.0, 4.0, 32.0])
@pytest.mark.parametrize("concurrency", [16, 64, 160, 240, 300, 500])
def test_waiting_equals_a_played_loop_below_and_above_the_budget(
    concurrency: int, together: float
) -> None:
    """A prompt costs many decode steps, and beyond 256 sequences more than one comes in a step:
    with room for one a pass they queue, with room for more they only lengthen it."""
    times = step_table(12e-3, 8e-5, 95e-3, together)
    load, policy = Load(concurrency, 2048, 256, requests=10 * concurrency), Scheduling()
    played = play(times, load, policy, jitter=0.3, seed=7, pause=0.3)
    tpot, ttft, _ = played.means(2 * concurrency)
    found = closed_loop(times, replace(load, requests=None), policy)
    assert found.tpot == pytest.approx(tpot, rel=0.03)
    assert found.ttft == pytest.approx(ttft, rel=0.25)


@given(
    st.floats(1, 2000),
    st.floats(1, 200),
    st.integers(16, 8192),
    st.integers(16, 2048),
    st.floats(0.2, 64),
    st.integers(1, 8),
    st.floats(2e-3, 0.5),
    st.booleans(),
)
def test_more_requests_are_never_served_slower(
    concurrency: float,
    more: float,
    isl: int,
    osl: int,
    together: float,
    ranks: int,
    prompt: float,
    exclusive: bool,
) -> None:
    """Where prompts already fill every pass, a larger batch beside them costs a little."""
    times = step_table(prompt=prompt, together=together)
    fewer, greater = (
        closed_loop(times, Load(c, isl, osl, ranks), Scheduling(exclusive=exclusive))
        for c in (concurrency, concurrency + more)
    )
    rates = [
        c / (f.ttft + osl * f.tpot)
        for c, f in ((concurrency, fewer), (concurrency + more, greater))
    ]
    assert rates[1] >= rates[0] * (1 - 0.01)
    assert greater.ttft >= fewer.ttft * (1 - 1e-6)


@given(
    st.floats(1, 2000),
    st.integers(16, 8192),
    st.integers(16, 2048),
    st.floats(0.2, 64),
    st.booleans(),
    st.floats(2, 200),
)
def test_the_loop_is_at_rest(
    concurrency: float, isl: int, osl: int, together: float, exclusive: bool, held: float
) -> None:
    """Little's law: those who decode are the rate times the time they take, on either side of a
    full cache."""
    load = Load(concurrency, isl, osl, cache_tokens=held * (isl + osl))
    found = closed_loop(step_table(together=together), load, Scheduling(exclusive=exclusive))
    rate = concurrency / (found.ttft + osl * found.tpot)
    assert found.active == pytest.approx(rate * osl * found.tpot, rel=1e-6)


def test_a_full_cache_begins_where_the_loop_reaches_it() -> None:
    times = step_table(together=4.0)
    found = [
        closed_loop(times, Load(c, 1024, 256, cache_tokens=60 * 1280), Scheduling())
        for c in np.linspace(55, 65, 101)
    ]
    assert {f.full for f in found} == {False, True}
    ttft = np.array([f.ttft for f in found])
    assert np.all(np.diff(ttft) > 0)
    assert float(np.diff(ttft).max()) < 0.1 * float(ttft.min())


def test_host_time_adds_up_or_hides() -> None:
    load = Load(16, 1024, 1024)
    plain = closed_loop(step_table(), load, Scheduling())
    added = closed_loop(step_table(), load, Scheduling(host_seconds=2e-3))
    hidden = closed_loop(
        step_table(), load, Scheduling(host_seconds=2e-3, overlapped=True, ahead=1)
    )
    slow = closed_loop(step_table(), load, Scheduling(host_seconds=20e-3, overlapped=True, ahead=1))
    assert added.tpot - plain.tpot == pytest.approx(2e-3, rel=0.05)
    assert added.host == pytest.approx(2e-3)
    assert hidden.tpot == pytest.approx(plain.tpot, rel=1e-3)
    assert hidden.ttft - plain.ttft == pytest.approx(plain.tpot, rel=0.02)
    assert slow.tpot >= 20e-3


def test_a_full_cache_holds_tpot_and_lets_ttft_rise() -> None:
    tokens = 40 * (1024 + 1024)
    found = [
        closed_loop(step_table(), Load(c, 1024, 1024, cache_tokens=tokens), Scheduling())
        for c in (64, 128, 256)
    ]
    assert all(f.full for f in found)
    assert found[2].tpot == pytest.approx(found[0].tpot, rel=0.03)
    assert found[2].ttft > 2 * found[1].ttft > 4 * found[0].ttft
    # Little: requests in flight = rate × (TTFT + decoding).
    for f, c in zip(found, (64, 128, 256), strict=True):
        rate = f.active / (1024 * f.tpot)
        assert rate * (f.ttft + 1024 * f.tpot) == pytest.approx(c, rel=1e-6)


def test_a_cache_below_one_request_is_refused() -> None:
    with pytest.raises(InputError, match="holds 1000 tokens"):
        closed_loop(step_table(), Load(1, 1024, 1024, cache_tokens=1000), Scheduling())


def test_tokens_sent_together_delay_the_first() -> None:
    load = Load(8, 1024, 1024)
    one, many = (closed_loop(step_table(), load, Scheduling(stream_interval=n)) for n in (1, 20))
    assert many.ttft - one.ttft == pytest.approx(19 * one.tpot, rel=5e-3)


def test_accepted_drafts_divide_the_step() -> None:
    one = closed_loop(step_table(), Load(1, 64, 4096), Scheduling())
    two = closed_loop(step_table(), Load(1, 64, 4096, accepted=2.0), Scheduling())
    assert two.tpot == pytest.approx(one.tpot / 2, rel=5e-3)


@given(st.floats(1, 400), st.integers(16, 8192), st.integers(16, 8192), st.booleans())
def test_laws_of_the_loop(concurrency: float, isl: int, osl: int, exclusive: bool) -> None:
    found = closed_loop(step_table(), Load(concurrency, isl, osl), Scheduling(exclusive=exclusive))
    assert 0 < found.active <= concurrency * (1 + 1e-9)
    assert found.tpot >= step_table().step(found.active) * (1 - 1e-6)
    assert found.ttft >= step_table().prompt * (1 - 1e-9)
    assert 0 <= found.interruption <= found.tpot
    more = closed_loop(
        step_table(), Load(concurrency + 1, isl, osl), Scheduling(exclusive=exclusive)
    )
    assert more.tpot >= found.tpot * (1 - 1e-6)


@given(st.floats(0, 50), st.integers(1, 64))
def test_the_busiest_rank_reads_at_least_its_share(rate: float, ranks: int) -> None:
    busiest = prompts_a_step(rate, ranks)
    assert rate / ranks - 1e-9 <= busiest <= rate + 1e-9


def test_the_busiest_of_many_against_drawn_counts() -> None:
    drawn = np.random.default_rng(3).poisson(1.5 / 8, size=(200_000, 8)).max(axis=1).mean()
    assert prompts_a_step(1.5, 8) == pytest.approx(float(drawn), rel=0.01)


def test_the_first_wave_of_a_full_cache_is_handled_by_the_host_as_well() -> None:
    load = Load(64, 1024, 512, requests=640, cache_tokens=16 * 1536)
    bare, handled = (
        closed_loop(step_table(), load, Scheduling(handling_seconds=seconds))
        for seconds in (0.0, 0.5)
    )
    assert bare.full
    first = 16 / 640
    assert handled.ttft - bare.ttft == pytest.approx(first * 0.5, rel=0.02)
