"""A burst, step by step: what must hold whatever the step times, and by hand for small ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.base.errors import InputError
from planner.throughput.burst import burst, spread_lengths
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.serving import closed_loop

BATCH = np.array([0.0, 1.0, 100.0])
TIMES = StepTimes(
    batch=BATCH,
    decode=np.array([0.0, 0.010, 0.010]),
    mixed=np.array([0.100, 0.110, 0.110]),
    group=np.array([0.100, 0.200, 0.300, 0.400]),
    together=4.0,
)
"""Steps of 10 ms whatever the batch, prompts of 100 ms, four in a pass."""
PLAIN = Scheduling()


def test_one_request_by_hand() -> None:
    run = burst(TIMES, Load(1, 100, 11), PLAIN)
    assert run.ttft == pytest.approx(0.100)
    assert run.tpot == pytest.approx(0.010)
    assert run.seconds == pytest.approx(0.200)
    assert run.rate == pytest.approx(11 / 0.200)


def test_prompts_that_fit_a_pass_are_read_together() -> None:
    run = burst(TIMES, Load(4, 100, 11), PLAIN)
    assert run.ttft == pytest.approx(0.400)
    assert run.seconds == pytest.approx(0.500)


def test_without_a_slot_requests_wait_for_the_end_of_others() -> None:
    run = burst(TIMES, Load(2, 100, 11), PLAIN, slots=1)
    assert run.seconds == pytest.approx(0.400)
    assert run.ttft == pytest.approx((0.100 + 0.300) / 2)
    assert run.active == pytest.approx(0.5)


def test_a_cache_of_one_request_is_a_slot() -> None:
    one = burst(TIMES, Load(2, 100, 11, cache_tokens=150.0), PLAIN)
    assert one == burst(TIMES, Load(2, 100, 11), PLAIN, slots=1)
    with pytest.raises(InputError, match="one request needs 111"):
        burst(TIMES, Load(2, 100, 11, cache_tokens=110.0), PLAIN)


def test_a_client_sends_the_next_when_one_ends() -> None:
    run = burst(TIMES, Load(1, 100, 11, requests=3), PLAIN)
    assert run.ttft == pytest.approx(0.100)
    assert run.seconds == pytest.approx(0.600)


def test_decoding_goes_on_beside_prompts_but_where_they_run_alone() -> None:
    long = replace(TIMES, together=1.0)
    mixed = burst(long, Load(2, 100, 101), PLAIN)
    alone = burst(long, Load(2, 100, 101), Scheduling(exclusive=True))
    # The first token of 101 comes with the prompt; beside the second prompt one more is made.
    assert alone.seconds == pytest.approx(0.200 + 100 * 0.010)
    assert alone.tpot == pytest.approx((0.100 + 2 * 1.000) / 2 / 100)
    assert mixed.seconds > alone.seconds


def test_ranks_share_the_requests() -> None:
    two = burst(TIMES, Load(8, 100, 11, ranks=2), PLAIN)
    one = burst(TIMES, Load(4, 100, 11), PLAIN)
    assert two.seconds == pytest.approx(one.seconds)
    assert two.rate == pytest.approx(2 * one.rate)


def test_drafting_takes_fewer_steps() -> None:
    run = burst(TIMES, Load(1, 100, 11, accepted=2.0), PLAIN)
    assert run.seconds == pytest.approx(0.100 + 5 * 0.010)


def test_a_long_run_is_the_closed_loop() -> None:
    times = replace(TIMES, decode=np.array([0.0, 0.010, 0.030]), mixed=TIMES.mixed + 0.010)
    answers = spread_lengths(200, 4000, 4000)
    mean = round(sum(answers) / len(answers))
    run = burst(times, Load(32, 100, mean, requests=4000), PLAIN, answers=answers)
    loop = closed_loop(times, Load(32, 100, mean), PLAIN)
    rate = 32 * mean / (loop.ttft + mean * loop.tpot)
    assert run.rate == pytest.approx(rate, rel=0.05)


def test_spread_lengths_have_their_mean_and_their_limit() -> None:
    lengths = spread_lengths(200, 5000, 100_000)
    assert sum(lengths) / len(lengths) == pytest.approx(200, rel=0.01)
    assert len(set(lengths)) > 500
    assert max(spread_lengths(200, 5000, 300)) == 300
    assert min(lengths) >= 1


@settings(max_examples=examples(30), deadline=None)
@given(
    requests=st.integers(1, 60),
    client=st.integers(1, 60),
    slots=st.integers(1, 40),
    osl=st.integers(1, 50),
    together=st.sampled_from((0.25, 1.0, 4.0)),
    exclusive=st.booleans(),
    varied=st.booleans(),
)
def test_bounds(
    requests: int,
    client: int,
    slots: int,
    osl: int,
    together: float,
    exclusive: bool,
    varied: bool,
) -> None:
    """No run is faster than its prompts and the longest answer, nor slower than one by one."""
    times = replace(TIMES, together=together)
    answers = spread_lengths(osl, requests, 100) if varied else (osl,) * requests
    load = Load(min(client, requests), 100, osl, requests=requests)
    run = burst(times, load, Scheduling(exclusive=exclusive), slots=slots, answers=answers)
    assert run.seconds >= max(answers) * 0.010 - 0.010 + 0.100 - 1e-9
    assert run.seconds >= requests * 0.100 - 1e-9
    assert run.seconds <= requests * 0.111 + sum(answers) * 0.010 + requests * 4 * 0.010
    assert run.rate == pytest.approx(sum(answers) / run.seconds)
    assert 0.100 - 1e-9 <= run.ttft <= run.seconds
    assert 0 <= run.active <= min(slots, requests)
    more = burst(times, load, Scheduling(exclusive=exclusive), slots=slots + 1, answers=answers)
    assert more.seconds <= run.seconds * 1.05


@pytest.mark.parametrize("requests", [2, 4, 8, 16])
def test_equal_requests_with_prompts_in_chunks_meet_a_chunk_in_every_pass(requests: int) -> None:
    """A prompt waits for a chunk that is under way, not for another prompt from end to end."""
    added = np.array([0.800, 0.800, 0.800])
    times = StepTimes(
        BATCH, TIMES.decode, TIMES.decode + added, group=added[:1], chunks=4, together=0.25
    )
    run = burst(times, Load(requests, 4000, 200, requests=40 * requests), PLAIN)
    loop = closed_loop(times, Load(requests, 4000, 200, alike=True), PLAIN)
    rate = requests * 200 / (loop.ttft + 200 * loop.tpot)
    assert rate == pytest.approx(run.rate, rel=0.05)
    assert loop.ttft == pytest.approx(run.ttft, rel=0.35)
