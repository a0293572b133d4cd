"""Pipelined replicas in the queues: the steps of the closed loop, its rate, and what is played."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.played_queues import simulate

from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.solve import decide_or_refuse
from planner.planning.price.served import served_loop
from planner.planning.question.input import QuestionInput
from planner.sizing.deployable import Deployable, deployables
from planner.sizing.level import percentile_times
from planner.sizing.rank import ServedRank, served_rank
from planner.sizing.replicas import saturation_rate
from planner.throughput.pipelining import pipelining
from planner.throughput.scheduling import Load, Pipelining, Scheduling, Stages, StepTimes
from planner.throughput.serving import closed_loop

ISL, OSL, SLOTS = 1000, 100, 64
BATCH = np.array([0.0, 1.0, 8.0, 32.0, 64.0])
ENGINES = [pipelining(name, "") for name in ("vllm", "sglang", "tensorrt-llm", "any")]


def passes(pp: int, *, uneven: float = 1.0, hop: float = 0.0) -> StepTimes:
    """The same passes cut into ``pp`` stages, the slowest ``uneven`` times the others' time."""
    decode = np.where(BATCH > 0, 10e-3 + 1e-4 * BATCH, 0.0)
    mixed, group = decode + 40e-3, 45e-3 * np.arange(1.0, 5.0)
    if pp == 1:
        return StepTimes(BATCH, decode, mixed, group, 1, 4.0)
    share, hops = uneven / (pp - 1 + uneven), hop * (pp - 1)
    stages = Stages(pp, decode * share, mixed * share, group * share)
    over = np.where(BATCH > 0, hops, 0.0)
    return StepTimes(BATCH, decode + over, mixed + hops, group + hops, 1, 4.0, stages=stages)


def rate_in_loop(times: StepTimes, policy: Scheduling, requests: float) -> float:
    """Requests/s of the closed loop."""
    state = closed_loop(times, Load(requests, ISL, OSL), policy)
    return requests / (state.ttft + OSL * state.tpot)


def rank_of(times: StepTimes, policy: Scheduling) -> ServedRank:
    return served_rank(times, policy, OSL, 1, SLOTS)


def test_without_stages_a_rank_is_itself() -> None:
    times, policy = passes(1), Scheduling()
    rank = served_rank(times, policy, OSL, 2, SLOTS)
    assert rank == ServedRank(times, policy, OSL, 2, SLOTS)


def test_micro_batches_share_the_slots_of_a_rank() -> None:
    rank = served_rank(passes(4), Scheduling(), OSL, 2, SLOTS)
    assert (rank.ranks, rank.slots) == (8, SLOTS // 4)
    few = served_rank(passes(4), Scheduling(), OSL, 2, 3)
    assert (few.ranks, few.slots) == (6, 1)
    one = served_rank(passes(4), Scheduling(pipelining=Pipelining(single=True)), OSL, 1, SLOTS)
    assert (one.ranks, one.slots) == (1, SLOTS)


@pytest.mark.parametrize("fill", ENGINES, ids=("vllm", "sglang", "tensorrt-llm", "any"))
@pytest.mark.parametrize("requests", [8, 32, 64])
def test_a_step_is_that_of_the_closed_loop(fill: Pipelining, requests: int) -> None:
    times = passes(4, uneven=1.3, hop=1e-3)
    policy = Scheduling(
        host_seconds=2e-3, host_seconds_per_sequence=1e-5, overlapped=True, pipelining=fill
    )
    state = closed_loop(times, Load(requests, ISL, OSL), policy)
    step = rank_of(times, policy).bare(max(state.active / 4, 1.0))
    assert step == pytest.approx(state.tpot - state.interruption, rel=1e-9)


@settings(max_examples=12)
@given(
    st.sampled_from([2, 4, 8]),
    st.floats(1.0, 2.0),
    st.floats(0.0, 2e-3),
    st.sampled_from(ENGINES),
)
def test_stages_never_serve_more_than_the_closed_loop(
    pp: int, uneven: float, hop: float, fill: Pipelining
) -> None:
    times, policy = passes(pp, uneven=uneven, hop=hop), Scheduling(pipelining=fill)
    rank = rank_of(times, policy)
    most = max(rate_in_loop(times, policy, n) for n in (SLOTS, 2 * SLOTS, 8 * SLOTS))
    assert saturation_rate(rank) * rank.ranks <= most * 1.02


@settings(max_examples=12)
@given(st.sampled_from([2, 4, 8]), st.floats(1.0, 2.0), st.sampled_from(ENGINES))
def test_stages_serve_no_more_than_as_many_copies(pp: int, uneven: float, fill: Pipelining) -> None:
    """Bubbles, hops and uneven stages only take."""
    policy = Scheduling(pipelining=fill)
    alone = rank_of(passes(1), policy)
    rank = rank_of(passes(pp, uneven=uneven), policy)
    copies = ServedRank(alone.times, policy, OSL, 1, SLOTS * pp)
    assert saturation_rate(rank) * rank.ranks <= pp * saturation_rate(copies) * (1 + 1e-9)


@pytest.mark.parametrize("load", [0.4, 0.7])
def test_a_pipeline_played_request_by_request_keeps_the_percentiles(load: float) -> None:
    rank, replicas = rank_of(passes(2), Scheduling()), 3
    rate = load * saturation_rate(rank)
    times = percentile_times(rank, rate, replicas * rank.ranks, "random", 0.9)
    assert times is not None
    ttft, tpot = simulate(
        rank, rate * replicas * rank.ranks, replicas, "random", requests=1500, seed=3
    ).at(90.0)
    assert times.ttft == pytest.approx(ttft, rel=0.3)
    assert times.tpot == pytest.approx(tpot, rel=0.2)


@pytest.fixture(scope="module")
def staged() -> Deployable:
    """Llama 3.1 8B in two stages."""
    inputs = QuestionInput(
        model="llama-3.1-8b", device="l40s", pp=2, tp=1, devices=2, isl=ISL, osl=OSL,
        context=ISL + OSL, tpot_seconds=0.1, engine="vllm",
    )  # fmt: skip
    decision = decide_or_refuse(inputs.questions(), lambda: unserved_case(inputs))
    (deployable,) = deployables(decision.choice.option.rival)
    return deployable


@pytest.mark.parametrize("each", [4, 16, 64])
def test_a_plan_in_stages_takes_the_steps_that_estimate_prints(
    staged: Deployable, each: int
) -> None:
    state = served_loop(staged.assignment, 2.0 * each).state
    assert staged.layout.pp == 2
    assert staged.rank.ranks == 2
    assert staged.rank.bare(state.active / 2) == pytest.approx(
        state.tpot - state.interruption, rel=1e-9
    )
    times = percentile_times(staged.rank, 1e-7, 1, "random", 0.5)
    assert times is not None
    assert times.ttft >= staged.rank.times.prompt
