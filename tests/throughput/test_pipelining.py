"""A pipeline as ranks that step together: rounds, hosts, chunks, micro-batches of engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.throughput.engine_policy import engine_policy
from planner.throughput.offline import PassLimits, offline_run
from planner.throughput.pipelining import in_lockstep, micro_batches, pipelining, prompt_seconds
from planner.throughput.pools import Pools, later_seconds, pooled_loop
from planner.throughput.scheduling import Load, Pipelining, Scheduling, Stages, StepTimes
from planner.throughput.serving import closed_loop

BATCH = np.array([0.0, 1.0, 64.0, 1024.0])
DECODE = np.array([0.0, 8e-3, 12e-3, 60e-3])
PROMPT = 40e-3
PASSES = 12_000


def times(pp: int, *, uneven: float = 1.0, hops: float = 0.0, together: float = 8.0) -> StepTimes:
    """Passes of ``pp`` equal stages, the slowest ``uneven`` times the others' time."""
    share = uneven / (pp - 1 + uneven)
    mixed = DECODE + PROMPT
    group = PROMPT * np.arange(1.0, 9.0)
    stages = Stages(pp, DECODE * share, mixed * share, group * share)
    over = np.where(BATCH > 0, hops, 0.0)
    return StepTimes(BATCH, DECODE + over, mixed + hops, group + hops, 1, together, stages=stages)


def whole() -> StepTimes:
    return replace(times(1), stages=None)


def tokens_per_second(steps: StepTimes, load: Load, policy: Scheduling) -> float:
    done = closed_loop(steps, load, policy)
    return load.concurrency * load.osl / (done.ttft + load.osl * done.tpot)


def test_one_stage_is_left_as_it_is() -> None:
    steps, load, policy = whole(), Load(64, 1000, 100), Scheduling()
    same = in_lockstep(steps, load, policy)
    assert all(a is b for a, b in zip(same, (steps, load, policy), strict=True))


def test_a_round_is_paced_by_the_slowest_stage_or_by_the_way_through_all() -> None:
    load = Load(256, 1000, 100)
    even, _, _ = in_lockstep(times(4), load, Scheduling())
    assert even.step(64) == pytest.approx(12e-3)
    uneven, _, _ = in_lockstep(times(4, uneven=2.0), load, Scheduling())
    assert uneven.step(64) == pytest.approx(12e-3 * 4 * 2 / 5)
    hops, _, _ = in_lockstep(times(4, hops=1e-3), load, Scheduling())
    assert hops.step(64) == pytest.approx(13e-3)


def test_chunks_of_a_prompt_follow_each_other_where_the_engine_lets_them() -> None:
    """Of c chunks through pp equal stages: pp + c − 1 times of a stage, or pp·c."""
    chunked = replace(times(4), chunks=3)
    follows, waits = Scheduling(), Scheduling(pipelining=Pipelining(successive=False))
    assert prompt_seconds(chunked, waits) == pytest.approx(PROMPT)
    assert prompt_seconds(chunked, follows) == pytest.approx(PROMPT * (4 + 3 - 1) / (4 * 3))
    assert later_seconds(chunked, follows) == pytest.approx(PROMPT * (6 / 12 - 1 / 4))
    assert later_seconds(chunked, waits) == pytest.approx(PROMPT * 3 / 4)
    lame = replace(times(4, uneven=8.0), chunks=64)
    assert prompt_seconds(lame, follows) == pytest.approx(PROMPT * 8 / 11), "never below a stage"
    assert prompt_seconds(whole(), follows) == whole().prompt
    assert later_seconds(whole(), follows) == 0.0


def test_prefill_workers_let_chunks_follow_each_other() -> None:
    load, pools = Load(8, 1000, 100), Pools(1, 1, 0.0)
    chunked = replace(times(4), chunks=3, group=PROMPT * np.ones(1))
    assert chunked.stages is not None
    chunked = replace(chunked, stages=replace(chunked.stages, group=PROMPT / 4 * np.ones(1)))
    follows = pooled_loop(chunked, load, Scheduling(), pools)
    waits = pooled_loop(chunked, load, Scheduling(pipelining=Pipelining(successive=False)), pools)
    assert follows.reading == pytest.approx(PROMPT / 2)
    assert waits.reading == pytest.approx(PROMPT)
    assert follows.ttft < waits.ttft


def test_micro_batches_are_ranks_that_share_the_cache() -> None:
    load = Load(256, 1000, 100, 2, cache_tokens=8e6)
    _, spread, _ = in_lockstep(times(4), load, Scheduling())
    assert (spread.ranks, spread.cache_tokens) == (8, 2e6)


def test_few_sequences_make_few_micro_batches() -> None:
    assert micro_batches(times(4), Load(3, 1000, 100), Scheduling()) == 3
    assert micro_batches(times(4), Load(300, 1000, 100), Scheduling()) == 4
    at_once = Load(8, 1000, 100, alike=True)
    unbalanced = Scheduling(pipelining=Pipelining(balanced=False))
    assert micro_batches(times(4, together=8), at_once, unbalanced) == 1
    assert micro_batches(times(4, together=2), at_once, unbalanced) == 4


def test_one_user_decodes_at_the_pace_of_all_stages() -> None:
    alone = closed_loop(times(4, hops=1e-3), Load(1, 1000, 100), Scheduling())
    assert alone.tpot == pytest.approx(9e-3)


def test_the_longest_pass_of_a_round_sets_the_time_of_all() -> None:
    load = Load(256, 1000, 100)
    rates = [tokens_per_second(times(pp), load, Scheduling()) for pp in (1, 2, 4, 8)]
    # More stages are faster, but fall ever further behind as many devices as there are stages.
    assert rates == sorted(rates)
    efficiency = [rate / rates[0] / pp for rate, pp in zip(rates, (1, 2, 4, 8), strict=True)]
    assert efficiency == sorted(efficiency, reverse=True)
    assert efficiency[-1] < 0.6


def played(pp: int, batch: int, osl: int, step: float, prompt: float) -> float:
    """Requests/s of a full pipeline, pass by pass, with answers of random length: an exponential
    of mean ``osl``; ``step`` and ``prompt`` are seconds in one stage."""
    rng = np.random.default_rng(7)
    ends: list[list[float]] = [[] for _ in range(pp)]
    turns, ready, free = [0] * pp, [0.0] * pp, [0.0] * pp
    inside = done = begun = 0
    since = 0.0
    for n in range(PASSES):
        slot = n % pp
        reads = pp * batch - inside
        seconds, at = step + reads * prompt, ready[slot]
        for stage in range(pp):
            at = free[stage] = max(at, free[stage]) + seconds
        ready[slot] = at
        turns[slot] += 1
        ends[slot] += (turns[slot] + rng.exponential(osl, reads)).tolist()
        left = [end for end in ends[slot] if end > turns[slot]]
        inside += reads - (len(ends[slot]) - len(left))
        done += len(ends[slot]) - len(left)
        ends[slot] = left
        if n == PASSES // 3:
            since, begun = at, done
    return (done - begun) / (max(ready) - since)


@pytest.mark.parametrize("pp", [2, 4, 8])
@pytest.mark.parametrize(
    ("batch", "osl", "step", "prompt"),
    [(89, 500, 6e-3, 33e-3), (64, 256, 16e-3, 8e-3), (32, 200, 5e-3, 20e-3)],
)
def test_rounds_played_pass_by_pass_agree(
    pp: int, batch: int, osl: int, step: float, prompt: float
) -> None:
    flat = np.where(BATCH > 0, step, 0.0)
    read = flat + prompt
    stages = Stages(pp, flat, read, prompt * np.arange(1.0, 9.0))
    steps = StepTimes(
        BATCH, flat * pp, read * pp, stages.group * pp, 1, together=8.0, stages=stages
    )
    full = Load(1e5, 1000, osl, cache_tokens=pp * batch * (1000.0 + osl))
    ideal = 1 / (osl * step / batch + prompt)
    law = tokens_per_second(steps, full, Scheduling()) / osl / ideal
    assert law == pytest.approx(played(pp, batch, osl, step, prompt) / ideal, abs=0.09)


def test_unequal_micro_batches_and_hosts_between_passes_cost_time() -> None:
    load = Load(256, 1000, 1000)
    best = tokens_per_second(times(4), load, Scheduling())
    unequal = Scheduling(pipelining=Pipelining(balanced=False))
    assert tokens_per_second(times(4), load, unequal) < best
    host = Scheduling(host_seconds=1e-3, overlapped=True)
    exposed = replace(host, pipelining=Pipelining(exposed=True))
    assert tokens_per_second(times(4), load, exposed) < tokens_per_second(times(4), load, host)
    _, _, of_round = in_lockstep(times(4), load, exposed)
    assert of_round.step(0.0, 1.0) == pytest.approx(4e-3)


def test_chunks_that_follow_each_other_fill_the_stages() -> None:
    load = Load(64, 1000, 100)
    several = replace(times(4), chunks=4)
    follow, _, _ = in_lockstep(several, load, Scheduling())
    wait, _, _ = in_lockstep(several, load, Scheduling(pipelining=Pipelining(successive=False)))
    assert follow.with_prompt(64) - follow.step(64) == pytest.approx(PROMPT * 7 / 16)
    assert wait.with_prompt(64) - wait.step(64) == pytest.approx(PROMPT)
    assert (follow.chunks, wait.chunks) == (2, 4)


def test_every_engine_says_how_it_fills_stages() -> None:
    assert pipelining("llama.cpp", "b6000").single
    assert not pipelining("tensorrt-llm", "1.0").successive
    assert pipelining("tensorrt-llm", "1.0").others > 0
    for engine in ("vllm", "sglang", "tensorrt-llm"):
        rule = engine_policy(engine, "").policy.pipelining
        assert (rule.exposed, rule.balanced, rule.single) == (True, False, False)
    assert pipelining("any", "") == Pipelining()


def test_equal_requests_given_at_once_keep_the_stages_busy() -> None:
    load = Load(800, 1000, 100, requests=800, cache_tokens=200 * 1100.0)
    one = offline_run(whole(), load, Scheduling(), PassLimits(200, 4000))
    more = replace(load, cache_tokens=4 * load.cache_tokens)
    four = offline_run(times(4), more, Scheduling(), PassLimits(200, 4000))
    assert four.rate / one.rate == pytest.approx(4, rel=0.1)
    assert tokens_per_second(times(4), more, Scheduling()) < 0.9 * four.rate


def test_prompts_given_at_once_share_a_micro_batch_as_far_as_they_fit() -> None:
    load = Load(64, 1000, 1000, requests=64)
    together, apart = (
        offline_run(times(4), load, Scheduling(), limits)
        for limits in (PassLimits(), PassLimits(16))
    )
    assert together.tpot > apart.tpot
    assert together.rate < apart.rate


def test_equal_requests_come_to_all_micro_batches_in_the_same_rounds() -> None:
    load = Load(256, 1000, 100)
    random = closed_loop(times(4), load, Scheduling())
    waves = closed_loop(times(4), replace(load, alike=True), Scheduling())
    assert waves.tpot < random.tpot
    assert waves.active == pytest.approx(4 * 60, rel=0.1)


def test_pools_of_pipelines_keep_their_pace() -> None:
    load = Load(512, 1000, 400, cache_tokens=1e9)
    one = pooled_loop(whole(), load, Scheduling(), Pools(8, 4, 0.0))
    two = pooled_loop(times(2, hops=1e-4), load, Scheduling(), Pools(4, 2, 0.0))
    # As many devices: two stages read at the pace of one each, and decode what two workers would.
    assert two.rate == pytest.approx(one.rate, rel=0.2)
    assert two.active > 1.5 * one.active
    assert two.reading == pytest.approx(PROMPT + 1e-4, rel=0.01)


def test_a_link_limits_pools() -> None:
    load = Load(512, 1000, 400, cache_tokens=1e9)
    free = pooled_loop(whole(), load, Scheduling(), Pools(8, 4, 0.0))
    tight = pooled_loop(whole(), load, Scheduling(), Pools(8, 4, 0.0, link_rate=0.5 * free.rate))
    assert tight.rate == pytest.approx(0.5 * free.rate)
    assert tight.ttft > free.ttft


def test_a_run_is_counted_pass_by_pass() -> None:
    load = Load(2, 1000, 4, requests=2, cache_tokens=1e9)
    run = offline_run(whole(), load, Scheduling(reserve=1.0), PassLimits(2, 1002))
    # A prompt, the next beside the first answer, two steps of both, one of the second.
    two = float(np.interp(2, BATCH, DECODE))
    seconds = PROMPT + (8e-3 + PROMPT) + 2 * two + 8e-3
    assert run.seconds == pytest.approx(seconds)
    assert run.ttft == pytest.approx((PROMPT + 2 * PROMPT + 8e-3) / 2)
    assert run.rate == pytest.approx(8 / seconds)


def test_rounds_that_are_alike_are_counted_at_once() -> None:
    short, long = (
        offline_run(times(4), Load(64, 1000, osl, requests=64), Scheduling(), PassLimits(16))
        for osl in (1000, 2000)
    )
    step = float(np.interp(16, BATCH, DECODE))
    assert long.seconds - short.seconds == pytest.approx(1000 * step, rel=1e-6)
