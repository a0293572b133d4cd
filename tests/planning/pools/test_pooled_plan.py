"""A deployment in pools as a plan: its figures, its file, its text, and when it is taken."""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest

import planner
from planner.base.errors import PlannerError, UnsupportedError
from planner.planning.choose.rule import MIN_GAIN, UNMEASURED_GAIN
from planner.planning.plan.record import Plan
from planner.planning.plan.schema import parse_plan
from planner.report.render.plan_text import plan_text
from planner.throughput.engine_policy import prompt_host
from planner.throughput.pool_rates import MOST_BUSY
from planner.throughput.pools import Pools, pooled_loop
from planner.throughput.scheduling import Load, Scheduling, StepTimes

MODEL, DEVICE = "llama-3.1-70b", "h100-sxm"


@cache
def planned(mode: str = "disaggregated", **given: Any) -> Plan:
    return planner.plan(MODEL, DEVICE, **{"devices": 8, "engine": "vllm", "mode": mode, **given})


def test_the_figures_of_both_pools_add_up() -> None:
    plan = planned()
    pools = plan.deployment
    assert pools is not None
    one, two = pools.prefill, pools.decode
    assert (
        one.workers * one.devices_per_worker + two.workers * two.devices_per_worker
        == plan.device.count
        <= 8
    )
    assert (plan.layout.tp, plan.layout.dp, plan.layout.replicas) == (
        two.layout.tp,
        two.layout.dp,
        two.workers,
    )
    rate = plan.performance.output_tokens_per_second
    assert rate.value == pytest.approx(two.output_tokens_per_second)
    assert rate.low < rate.value < rate.high
    usd = plan.performance.usd_per_million_output_tokens
    assert usd is not None
    assert (usd.low * rate.high, usd.high * rate.low) == pytest.approx(
        (usd.value * rate.value,) * 2
    ), "a device-hour costs the same at every rate"
    work = plan.workload
    assert one.prompt_tokens_per_second / work.isl * work.osl == pytest.approx(rate.value)
    assert one.utilisation <= MOST_BUSY * (1 + 1e-9)
    assert two.workers * two.batch / two.tpot_seconds >= rate.value * (1 - 1e-6)
    assert plan.performance.tpot_seconds.value == two.tpot_seconds <= 0.05
    assert plan.performance.interruption_seconds == 0
    assert plan.performance.ttft_seconds.value == one.ttft_seconds
    assert one.ttft_seconds > one.queue_seconds + one.read_seconds + pools.transfer.seconds
    assert pools.proved
    assert pools.bound == pytest.approx(rate.value, rel=1e-6)
    assert 0 < plan.solver.gap <= 1e-6


def test_it_is_the_closed_loop_that_serve_answers() -> None:
    """What is printed is the closed loop of as many requests as the rate keeps in flight."""
    plan = planned()
    pools = plan.deployment
    assert pools is not None
    one, two, work = pools.prefill, pools.decode, plan.workload
    rate = two.output_tokens_per_second / work.osl
    handling = prompt_host("vllm", plan.engine.version, experts=False).handling_seconds
    parts = one.queue_seconds + one.read_seconds + pools.transfer.seconds + handling
    assert one.ttft_seconds == pytest.approx(parts + two.tpot_seconds)
    batch = two.batch / two.layout.dp
    grid = np.array([0.0, 1.0, batch, 2 * batch])
    decode = np.array([0.0, two.tpot_seconds * 0.7, two.tpot_seconds, two.tpot_seconds * 1.6])
    # One prompt a pass at this length: the pass is what the plan says.
    times = StepTimes(grid, decode, decode + one.read_seconds, np.array([one.read_seconds]))
    found = pooled_loop(
        times,
        Load(rate * (parts + two.tpot_seconds * (work.osl + 1)), work.isl, work.osl, two.layout.dp),
        Scheduling(handling_seconds=handling),
        Pools(one.workers, two.workers, pools.transfer.seconds, times, one.layout.dp),
    )
    assert found.rate == pytest.approx(rate, rel=0.01)
    assert found.tpot == pytest.approx(two.tpot_seconds, rel=0.02)
    assert found.ttft == pytest.approx(one.ttft_seconds, rel=0.05)
    assert found.prefill_busy == pytest.approx(one.utilisation, rel=0.01)


def test_it_is_read_back_as_it_was_written() -> None:
    plan = planned()
    data = json.loads(json.dumps(plan.to_dict()))
    assert data["deployment"]["mode"] == "disaggregated"
    assert parse_plan(data) == plan
    assert "deployment" not in planned("aggregated").to_dict()


def test_the_text_tells_both_pools() -> None:
    text = plan_text(planned())
    for word in ("Pools ", "prefill ", "decode ", "of cache a", "in two", "prefill workers"):
        assert word in " ".join(text.split()), word
    assert len(text.splitlines()) <= 36
    whole = plan_text(planned(), details=True)
    for head in ("\nPrefill ", "\nDecode ", "\nTransfer "):
        assert head in whole, head


@pytest.mark.exhaustive
def test_a_slow_link_costs_time_and_then_rate() -> None:
    fast, slow = planned(), planned(transfer_bytes_per_s=2e9)
    assert fast.deployment is not None
    assert slow.deployment is not None
    assert slow.deployment.transfer.seconds > fast.deployment.transfer.seconds
    assert slow.deployment.transfer.basis == "--transfer-bytes-per-s"
    crawling = planned(transfer_bytes_per_s=2e7)
    assert crawling.deployment is not None
    assert crawling.deployment.limit == "transfer"
    assert (
        crawling.performance.output_tokens_per_second.value
        < 0.9 * fast.performance.output_tokens_per_second.value
    )


@pytest.mark.exhaustive
def test_a_limit_on_ttft_is_kept_and_costs_rate() -> None:
    free = planned()
    limit = 0.8 * free.performance.ttft_seconds.value
    tight = planned(ttft_seconds=limit)
    assert tight.performance.ttft_seconds.value <= limit * (1 + 1e-6)
    assert (
        tight.performance.output_tokens_per_second.value
        <= free.performance.output_tokens_per_second.value * (1 + 1e-9)
    )


def test_auto_takes_pools_only_where_they_win_by_more_than_the_uncertainty() -> None:
    auto, pools = planned("auto"), planned()
    told = next(a for a in auto.assumptions if a.key == "mode")
    assert pools.deployment is not None
    assert pools.deployment.aggregated is not None
    gain = pools.deployment.gain
    assert gain is not None
    assert pools.deployment.probability is not None
    if auto.deployment is None:
        assert told.value == "aggregated"
        assert gain.value <= UNMEASURED_GAIN or pools.deployment.probability < 0.99
    else:
        assert told.value == "disaggregated"
        assert gain.value > MIN_GAIN
    mine = pools.deployment.aggregated.output_tokens_per_second_per_device
    theirs = pools.performance.output_tokens_per_second_per_device.value
    assert gain.value == pytest.approx(theirs * pools.device.count / 8 / mine - 1, abs=2e-3)


def test_the_aggregated_plan_stands_beside_it() -> None:
    told = planned().recommendation
    assert told is not None
    assert told.alternatives[0].name.startswith("aggregated: ")
    back, forth = told.alternatives[0].gain, told.gain
    assert back is not None
    assert forth is not None
    for mine, theirs in ((back.value, forth.value), (back.low, forth.high), (back.high, forth.low)):
        assert (1 + mine) * (1 + theirs) == pytest.approx(1, rel=1e-3)
    for one in told.alternatives[1:]:
        assert one.gain is not None
        assert one.gain.low <= one.gain.value <= one.gain.high
    assert told.text.startswith("Serve in two pools: ")


@pytest.mark.exhaustive
def test_engines_without_pools_say_so() -> None:
    plan = planner.plan("llama-3.1-8b", "h100-sxm", devices=2, engine="llama.cpp")
    assert plan.deployment is None
    told = next(a for a in plan.assumptions if a.key == "mode")
    assert "llama.cpp" in told.reason
    with pytest.raises(UnsupportedError, match=r"no engine serves pools.*llama\.cpp"):
        planner.plan(
            "llama-3.1-8b", "h100-sxm", devices=2, engine="llama.cpp", mode="disaggregated"
        )


@pytest.mark.exhaustive
def test_other_prefill_devices() -> None:
    plan = planner.plan(MODEL, "h200-sxm", devices=8, engine="vllm", prefill_device="h100-sxm")
    pools = plan.deployment
    assert pools is not None
    assert (pools.prefill.device, pools.decode.device) == ("h100-sxm", "h200-sxm")


@pytest.mark.parametrize(
    ("given", "words", "hint"),
    [
        ({"mode": "both"}, "mode", "aggregated"),
        ({"mode": "aggregated", "prefill_device": "h200-sxm"}, "--prefill-device", "leave one"),
        (
            {"mode": "aggregated", "transfer_bytes_per_s": 1e9},
            "--transfer-bytes-per-s",
            "leave one",
        ),
        ({"transfer_bytes_per_s": -1.0}, "out of range", "50e9"),
        ({"mode": "disaggregated", "devices": 1}, "one device", "--devices 2"),
        ({"mode": "disaggregated", "objective": "latency"}, "latency", "throughput or cost"),
        ({"mode": "disaggregated", "pp": 2}, "pipeline", "--mode aggregated"),
        ({"kv": "fp8", "prefill_device": "a100-sxm"}, "fp8", "bf16"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(
    given: dict[str, Any], words: str, hint: str
) -> None:
    with pytest.raises(PlannerError, match=words) as error:
        planned(**{"mode": "auto", **given})
    assert hint in f"{error.value.hint} {error.value.message}"


def test_a_closed_loop_is_not_of_a_plan_in_pools() -> None:
    with pytest.raises(UnsupportedError, match="pools") as error:
        planner.serve(plan=planned(), concurrency=8)
    assert error.value.hint == "make the plan with --mode aggregated"


def test_no_engine_alone_recommends_faster_pools() -> None:
    """Another engine has the best optimum, yet the simple pools that it recommends are slower."""
    asked: dict[str, Any] = {
        "devices": 2,
        "tp": 1,
        "ep": 1,
        "schemes": ["bf16", "fp8-block"],
        "mode": "disaggregated",
    }
    best = planner.plan("qwen3-30b-a3b", DEVICE, **asked)
    alone = planner.plan("qwen3-30b-a3b", DEVICE, engine="tensorrt-llm", **asked)
    assert (
        best.performance.output_tokens_per_second_per_device.value
        >= alone.performance.output_tokens_per_second_per_device.value
    )
    assert best.engine.name == "tensorrt-llm"
