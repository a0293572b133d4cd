"""A plan file in pools priced again: the same figures, other workloads and batches, refusals."""

from dataclasses import replace
from typing import Any

import pytest
from support import small_pools

import planner
from planner.base.errors import InfeasibleError, InputError, PlannerError
from planner.planning.answer.recommend_text import SMALL, percent
from planner.planning.plan.pool_sides import decode_side, prefill_side
from planner.planning.plan.record import Plan


def figures(plan: Plan) -> list[float]:
    perf, pools = plan.performance, small_pools.pools(plan)
    return [
        perf.output_tokens_per_second.value,
        perf.tpot_seconds.value,
        perf.ttft_seconds.value,
        pools.prefill.queue_seconds,
        pools.prefill.read_seconds,
        pools.prefill.memory_bytes,
        pools.transfer.seconds,
        pools.transfer.bytes,
        plan.quality.loss,
        plan.memory_per_device.total_bytes,
        plan.device.count,
        plan.workload.batch,
    ]


@pytest.mark.parametrize("made", [small_pools.plan, small_pools.mixed])
def test_both_pools_come_back(made: Any) -> None:
    plan = made()
    again = planner.estimate(plan=planner.read_plan(plan.to_dict()))
    assert figures(again) == pytest.approx(figures(plan), rel=1e-9)
    one, two = small_pools.pools(plan), small_pools.pools(again)
    assert (one.prefill.units, one.decode.units) == (two.prefill.units, two.decode.units)
    assert two.limit == one.limit
    assert again.solver.status == "given"
    assert again.recommendation is None
    low = again.performance.output_tokens_per_second
    assert low.low < low.value < low.high


def test_each_side_is_a_plan_of_its_own_devices() -> None:
    plan = small_pools.plan()
    pools = small_pools.pools(plan)
    read, answer = prefill_side(plan, pools), decode_side(plan)
    for side, pool in ((read, pools.prefill), (answer, pools.decode)):
        assert side.device.count == pool.workers * pool.devices_per_worker
        assert side.layout.tp * side.layout.dp * side.layout.pp == pool.devices_per_worker
        assert side.deployment is None
    assert read.device.count + answer.device.count == plan.device.count
    assert read.layout.replicas == pools.prefill.workers
    assert read.workload.batch == read.layout.dp * read.layout.pp


def test_longer_answers_leave_the_prefill_pool_idle() -> None:
    plan = small_pools.plan()
    short = planner.estimate(plan=plan, context=8192, isl=6144, osl=2048)
    assert small_pools.pools(short).limit == "decode"
    assert (
        small_pools.pools(short).prefill.utilisation < small_pools.pools(plan).prefill.utilisation
    )
    assert (
        small_pools.pools(short).prefill.read_seconds < small_pools.pools(plan).prefill.read_seconds
    )


def test_a_smaller_batch_sets_the_rate() -> None:
    plan = small_pools.plan()
    half = planner.estimate(plan=plan, batch=plan.workload.batch // 2)
    assert small_pools.pools(half).limit == "decode"
    assert half.workload.batch == plan.workload.batch // 2
    assert half.performance.tpot_seconds.value < plan.performance.tpot_seconds.value
    assert (
        half.performance.output_tokens_per_second.value
        < plan.performance.output_tokens_per_second.value
    )


def test_a_limit_on_ttft_costs_rate_and_empties_decode() -> None:
    plan = small_pools.plan()
    limit = plan.performance.ttft_seconds.value * 0.8
    tight = planner.estimate(plan=plan, ttft_seconds=limit)
    assert tight.performance.ttft_seconds.value <= limit * (1 + 1e-6)
    assert (
        tight.performance.output_tokens_per_second.value
        < plan.performance.output_tokens_per_second.value
    )
    assert tight.workload.batch < plan.workload.batch


def test_a_given_link_stays() -> None:
    plan = small_pools.plan()
    pools = small_pools.pools(plan)
    slow = replace(
        plan,
        deployment=replace(
            pools, transfer=replace(pools.transfer, link="given", bytes_per_second=1e9)
        ),
    )
    found = small_pools.pools(planner.estimate(plan=slow)).transfer
    assert (found.link, found.bytes_per_second) == ("given", 1e9)
    assert found.seconds > pools.transfer.seconds


@pytest.mark.parametrize(
    ("given", "kind", "words", "hint"),
    [
        ({"tp": 8}, InputError, "--tp and a plan in pools", "leave --tp out"),
        ({"devices": 16}, InputError, "--devices and a plan in pools", "leave --devices out"),
        ({"tpot_seconds": 0.001}, InfeasibleError, "tpot: the decode workers take", "--batch"),
        (
            {"ttft_seconds": 0.001},
            InfeasibleError,
            "ttft: a prompt that does not wait",
            "--ttft-ms",
        ),
        ({"device": "l40s"}, PlannerError, "memory", ""),
    ],
)
def test_what_cannot_be_priced_is_refused_with_what_can(
    given: dict[str, Any], kind: type[PlannerError], words: str, hint: str
) -> None:
    with pytest.raises(kind, match=words) as error:
        planner.estimate(plan=small_pools.plan(), **given)
    assert hint in (error.value.hint or "")
    assert error.value.hint


def test_other_pools_are_told_with_the_sign_of_their_gain() -> None:
    found = small_pools.plan().recommendation
    assert found is not None
    told = [
        one
        for one in found.alternatives
        if one.name.startswith("pools: ") and one.why_not != "the same plan"
    ]
    assert told
    for one in told:
        gain = one.gain
        assert gain is not None
        assert gain.low <= gain.value <= gain.high
        if gain.value < -SMALL:
            assert f"{percent(gain.value)} slower" in one.why_not
        else:
            assert "slower" not in one.why_not
