"""Small streams through each scheduler, counted by hand: a decode step takes 10 ms and 1 ms a
sequence, a prompt token 0.1 ms; passes hold 64 tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.scheduling import ENGINES, hand_costs, hand_rules, stream_of

from planner.scheduler.rules import LLAMA_CPP, SGLANG, TENSORRT_LLM, VLLM
from planner.scheduler.run import run
from planner.scheduler.served import ServedRequests
from planner.throughput.scheduling import Pipelining, Scheduling

COSTS, POLICY = hand_costs(), Scheduling()


def passes(out: ServedRequests) -> list[tuple[int, int]]:
    """(sequences that decode, prompt tokens) of each."""
    return list(zip(out.decoding.tolist(), out.prompt_tokens.tolist(), strict=True))


@pytest.mark.parametrize("engine", ENGINES)
def test_one_request_alone(engine: str) -> None:
    out = run(stream_of([1.0], [20], [4]), hand_rules(engine), COSTS, POLICY)
    assert passes(out) == [(0, 20), (1, 0), (1, 0), (1, 0)]
    np.testing.assert_allclose(out.first_seconds, [1.002])
    np.testing.assert_allclose(out.last_seconds, [1.002 + 3 * 0.011])


def test_vllm_reads_a_long_prompt_in_parts_beside_decoding() -> None:
    out = run(stream_of([0.0, 0.0005], [10, 100], [6, 2]), hand_rules(VLLM), COSTS, POLICY)
    assert passes(out) == [(0, 10), (1, 63), (1, 37), (2, 0), (1, 0), (1, 0)]


def test_sglang_reads_prompts_first_and_alone() -> None:
    out = run(stream_of([0.0, 0.0005], [10, 100], [6, 2]), hand_rules(SGLANG), COSTS, POLICY)
    assert passes(out) == [(0, 10), (0, 64), (0, 36), (2, 0), (1, 0), (1, 0), (1, 0), (1, 0)]


def test_sglang_mixes_prompts_with_decoding_where_it_is_told_to() -> None:
    rules = hand_rules(SGLANG, mixed=True)
    out = run(stream_of([0.0, 0.0005], [10, 100], [6, 2]), rules, COSTS, POLICY)
    assert passes(out) == [(0, 10), (1, 63), (1, 37), (2, 0), (1, 0), (1, 0)]


def test_llama_server_shares_a_batch_among_slots_by_number() -> None:
    """Free slots are taken from the last; prompts are read by number of slot."""
    rules = hand_rules(LLAMA_CPP, max_sequences=3)
    out = run(stream_of([0.0, 0.0, 0.0], [50, 50, 50], [2, 2, 2]), rules, COSTS, POLICY)
    assert passes(out)[:3] == [(0, 64), (1, 63), (1, 23)]
    assert out.first_seconds.argmin() == 2


def test_a_prefix_is_found_in_whole_blocks() -> None:
    """The second prompt begins like the first for 3 blocks of 4; its last token is computed though
    all of its blocks are cached, as the third's."""
    blocks = [[1, 2, 3, 4], [1, 2, 3, 9], [1, 2, 3, 4]]
    stream = stream_of([0.0, 1.0, 2.0], [18, 17, 16], [2, 2, 2], blocks)
    out = run(stream, hand_rules(VLLM), COSTS, POLICY)
    assert out.hit_tokens.tolist() == [0, 12, 12]
    np.testing.assert_allclose(out.first_seconds - stream.arrival_seconds, [18e-4, 5e-4, 4e-4])
    none = run(stream, hand_rules(VLLM, prefix_cache=False), COSTS, POLICY)
    assert none.hit_tokens.tolist() == [0, 0, 0]


def test_a_prefix_is_found_by_the_token_in_a_radix_cache() -> None:
    blocks = [[1, 2, 3, 4], [1, 2, 3, 4]]
    stream = stream_of([0.0, 1.0], [16, 16], [2, 2], blocks)
    out = run(stream, hand_rules(SGLANG), COSTS, POLICY)
    assert out.hit_tokens.tolist() == [0, 15]


def test_the_oldest_prefix_goes_first() -> None:
    """A cache of 10 blocks keeps two prompts of 4; a third needs 5 and pushes out the last 3 of the
    first."""
    rows = [[10 * i + k for k in range(4)] for i in range(3)]
    stream = stream_of(
        [0.0, 1.0, 2.0, 3.0, 4.0], [17] * 5, [2] * 5, [rows[0], rows[1], rows[2], rows[1], rows[0]]
    )
    rules = hand_rules(VLLM, cache_tokens=40)
    out = run(stream, rules, COSTS, POLICY)
    assert out.hit_tokens.tolist() == [0, 0, 0, 16, 4]
    roomy = run(stream, hand_rules(VLLM, cache_tokens=400), COSTS, POLICY)
    assert roomy.hit_tokens.tolist() == [0, 0, 0, 16, 16]


def test_prompts_in_one_pass_share_in_vllm_and_not_in_sglang() -> None:
    stream = stream_of([0.0, 0.0], [17, 17], [2, 2], [[1, 2, 3, 4], [1, 2, 3, 4]])
    vllm, sglang = (run(stream, hand_rules(e), COSTS, POLICY) for e in (VLLM, SGLANG))
    assert vllm.hit_tokens.tolist() == [0, 16]
    assert sglang.hit_tokens.tolist() == [0, 0]


def test_a_slot_reads_on_behind_what_its_last_prompt_shares() -> None:
    """The third is like the first, whose slot it gets; the second's slot is the other one."""
    stream = stream_of(
        [0.0, 1.0, 2.0], [16, 16, 16], [2, 2, 2], [[1, 2, 3, 4], [5, 6, 7, 8], [1, 2, 3, 9]]
    )
    out = run(stream, hand_rules(LLAMA_CPP, max_sequences=2), COSTS, POLICY)
    assert out.hit_tokens.tolist() == [0, 0, 12]
    one_slot = run(stream, hand_rules(LLAMA_CPP, max_sequences=1), COSTS, POLICY)
    assert one_slot.hit_tokens.tolist() == [0, 0, 0]


def test_the_longest_prefix_goes_first_where_it_is_told_to() -> None:
    rows = [[1, 2], [7, 8], [1, 2]]
    stream = stream_of([0.0, 0.5, 0.5], [9, 9, 9], [40, 2, 2], rows)
    rules = hand_rules(SGLANG, order="lpm", max_sequences=1)
    first, second = run(stream, rules, COSTS, POLICY).scheduled_seconds[1:]
    assert second < first
    first, second = run(stream, replace(rules, order="fcfs"), COSTS, POLICY).scheduled_seconds[1:]
    assert first < second


def test_vllm_preempts_the_last_and_finds_its_blocks_again() -> None:
    """Two of 16 + 20 tokens in 12 blocks: each holds 4, a fifth from token 17 on, a seventh from
    token 25 on, at the ninth step: the second gives back 6 blocks, then reads 24 prompt and answer
    tokens again, but what is still cached of them."""
    stream = stream_of([0.0, 0.0], [16, 16], [20, 20])
    rules = hand_rules(VLLM, cache_tokens=48, prefix_cache=False)
    out = run(stream, rules, COSTS, POLICY)
    assert out.preempted.tolist() == [0, 1]
    assert out.decoding.tolist()[1:9] == [2] * 8
    assert out.decoding.tolist()[9] == 1
    again = out.prompt_tokens.tolist()[1:]
    assert [n for n in again if n] == [25]
    cached = run(stream, replace(rules, prefix_cache=True), COSTS, POLICY)
    assert cached.preempted.tolist() == [0, 1]
    assert 0 < cached.prompt_tokens[1:].sum() < 25


def test_tensorrt_llm_keeps_room_for_whole_answers() -> None:
    stream = stream_of([0.0, 0.0], [16, 16], [20, 20])
    out = run(stream, hand_rules(TENSORRT_LLM, cache_tokens=48), COSTS, POLICY)
    assert not out.preempted.any()
    assert out.scheduled_seconds[1] == out.last_seconds[0]
    both = run(stream, hand_rules(TENSORRT_LLM, cache_tokens=72), COSTS, POLICY)
    assert both.scheduled_seconds.tolist() == [0.0, 0.0]


def test_sglang_counts_on_a_share_of_answers_and_retracts() -> None:
    """A third fits beside 0.7 of what two will make, though all of the three does not."""
    stream = stream_of([0.0, 0.0, 0.05], [10, 10, 10], [60, 60, 60])
    out = run(stream, hand_rules(SGLANG, cache_tokens=200), COSTS, POLICY)
    assert out.scheduled_seconds[2] < out.last_seconds[:2].min()
    assert out.preempted.sum() > 0
    assert out.preempted[:2].sum() == 0  # who has made the least goes
    sure = run(stream, hand_rules(SGLANG, cache_tokens=200, reserve=1.0), COSTS, POLICY)
    assert sure.scheduled_seconds[2] >= sure.last_seconds[:2].min()


def test_a_full_unified_cache_ends_all_with_an_error() -> None:
    stream = stream_of([0.0, 0.0, 3.0], [40, 40, 40], [60, 60, 20])
    out = run(stream, hand_rules(LLAMA_CPP, cache_tokens=150), COSTS, POLICY)
    assert out.rejected.tolist() == [True, True, False]


def test_drafts_make_tokens_and_take_rows() -> None:
    """1.5 tokens a step: 9 after the first take 6 steps; each takes 3 rows of a pass of 64."""
    stream = stream_of([0.0, 0.0005], [10, 64], [10, 1])
    out = run(stream, hand_rules(VLLM, draft=2, accepted=1.5), COSTS, POLICY)
    assert passes(out) == [(0, 10), (1, 61), (1, 3), *[(1, 0)] * 4]


def test_ranks_of_a_replica_wait_for_the_busiest() -> None:
    """A prompt on one rank makes the step of the other's sequence as long; alone on two replicas it
    does not."""
    stream = stream_of([0.0, 0.0305], [10, 60], [5, 5])
    lockstep = run(stream, hand_rules(VLLM), COSTS, POLICY, ranks=2)
    apart = run(stream, hand_rules(VLLM), COSTS, POLICY, replicas=2)
    assert passes(lockstep) == [(0, 10), (1, 0), (1, 0), (1, 0), (1, 60), *[(1, 0)] * 4]
    np.testing.assert_allclose(apart.last_seconds[0], 0.001 + 4 * 0.011)
    np.testing.assert_allclose(lockstep.pass_seconds[4], 0.011)
    slower = replace(POLICY, prompt_floor_seconds=0.05)
    held = run(stream, hand_rules(VLLM), COSTS, slower, ranks=2)
    assert held.pass_seconds.max() == 0.05
    assert (
        held.last_seconds[0]
        > run(stream, hand_rules(VLLM), COSTS, slower, replicas=2).last_seconds[0]
    )


def test_prompts_are_held_until_every_rank_has_one() -> None:
    """The second prompt waits in vain for one on the other rank, two steps long."""
    stream = stream_of([0.0, 0.0015], [10, 10], [30, 5])
    soon = run(stream, hand_rules(VLLM), COSTS, POLICY, ranks=2)
    held = run(stream, hand_rules(VLLM), COSTS, replace(POLICY, balance_steps=2), ranks=2)
    np.testing.assert_allclose(held.scheduled_seconds[1] - soon.scheduled_seconds[1], 2 * 0.011)


def test_passes_follow_each_other_through_stages() -> None:
    """Two stages of equal length: another pass begins at half of one, and each request's own passes
    follow one another."""
    rules, policy = hand_rules(VLLM, token_budget=20), Scheduling(pipelining=Pipelining())
    stream = stream_of([0.0, 0.0], [20, 20], [3, 3])
    out = run(stream, rules, hand_costs(2), policy)
    np.testing.assert_allclose(out.first_seconds, [0.002, 0.003])
    np.testing.assert_allclose(out.start_seconds, [0.0, 0.001, 0.002, 0.0075, 0.013, 0.0185])
    np.testing.assert_allclose(out.last_seconds, [0.024, 0.0295])
    single = replace(policy, pipelining=Pipelining(single=True))
    one = run(stream, rules, hand_costs(2), single)
    assert (one.start_seconds[1:] >= (one.start_seconds + one.pass_seconds)[:-1]).all()


def test_a_chunk_waits_for_the_last_where_chunks_do_not_follow_each_other() -> None:
    rules = hand_rules(VLLM, token_budget=20)
    stream = stream_of([0.0, 0.0], [60, 5], [1, 1])
    follow, wait = (
        run(stream, rules, hand_costs(2), Scheduling(pipelining=Pipelining(successive=each)))
        for each in (True, False)
    )
    np.testing.assert_allclose(follow.first_seconds[0], 0.004)
    np.testing.assert_allclose(wait.first_seconds[0], 0.006)


def test_launched_ahead_and_sent_together() -> None:
    """A prompt that comes in a pass is seen one pass later than the next; three tokens are sent at
    a time; the host's work on a request is beside its passes."""
    stream = stream_of([0.0, 0.0015], [10, 10], [6, 6])
    soon = run(stream, hand_rules(TENSORRT_LLM), COSTS, POLICY)
    ahead = run(stream, hand_rules(TENSORRT_LLM), COSTS, replace(POLICY, ahead=1))
    np.testing.assert_allclose(ahead.scheduled_seconds - soon.scheduled_seconds, [0.0, 0.011])
    one = stream_of([0.0], [10], [6])
    sent = run(one, hand_rules(), COSTS, replace(POLICY, stream_interval=3, handling_seconds=0.5))
    np.testing.assert_allclose(sent.first_seconds, [0.001 + 2 * 0.011 + 0.5])
    np.testing.assert_allclose(sent.last_seconds, [0.001 + 5 * 0.011 + 0.5])


def test_a_given_hit_rate_is_read_from_the_cache() -> None:
    stream = replace(stream_of([0.0, 1.0], [20, 20], [2, 2]), cached_tokens=np.array([0, 15]))
    for engine in ENGINES:
        out = run(stream, hand_rules(engine), COSTS, POLICY)
        assert out.hit_tokens.tolist() == [0, 15]
        np.testing.assert_allclose(out.first_seconds, [0.002, 1.0005])
