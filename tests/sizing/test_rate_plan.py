"""A plan under open arrivals is the answer of a capacity question, which the other verbs take."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.base.errors import InfeasibleError, InputError
from planner.planning.plan.record import Plan
from planner.report.render.plan_text import plan_text
from planner.sizing.capacity_record import Capacity

MODEL, DEVICE, RATE = "llama-3.1-8b", "h100-sxm", 20.0
NARROW: dict[str, Any] = {"engine": "vllm", "schemes": ["bf16", "fp8-block"], "tp": 1}
LIMITS: dict[str, Any] = {**NARROW, "ttft_seconds": 2.0, "tpot_seconds": 0.05}


@cache
def rate_plan(rate: float = RATE) -> Plan:
    return planner.plan(MODEL, DEVICE, rate=rate, **LIMITS)


@cache
def capacity() -> Capacity:
    return planner.capacity(MODEL, DEVICE, rate=RATE, **LIMITS)


def test_it_is_the_answer_of_capacity() -> None:
    plan, found = rate_plan(), capacity()
    assert plan.device.count == found.devices == plan.layout.replicas * plan.layout.tp
    assert plan.layout.replicas == found.replicas
    assert plan.units == found.replica.units
    arrivals = plan.open_arrivals
    assert arrivals is not None
    assert (arrivals.requests_per_second, arrivals.percentile) == (RATE, 90.0)
    for time, point in zip(arrivals.times, found.tails, strict=True):
        assert time.percentile == point.percentile
        assert time.ttft_seconds.value == point.ttft_seconds
        assert time.tpot_seconds.value == point.tpot_seconds
        assert time.e2e_seconds.value == point.e2e_seconds
    assert (arrivals.devices_low, arrivals.devices_high) == (found.devices_low, found.devices_high)
    assert found.devices_low is not None
    assert found.devices_high is not None
    assert found.devices_low < found.devices < found.devices_high
    perf = plan.performance
    assert perf.ttft_seconds.value == found.mean_ttft_seconds
    assert perf.tpot_seconds.value == found.mean_tpot_seconds
    assert perf.output_tokens_per_second.value == pytest.approx(RATE * plan.workload.osl)
    each = perf.output_tokens_per_second_per_device.value
    assert each * plan.device.count == pytest.approx(RATE * plan.workload.osl)
    assert perf.usd_per_million_output_tokens == found.usd_per_million_output_tokens


def test_limits_are_kept_and_one_replica_less_keeps_them_not() -> None:
    plan, found = rate_plan(), capacity()
    assert plan.open_arrivals is not None
    by_percentile = {time.percentile: time for time in plan.open_arrivals.times}
    kept = by_percentile[90.0]
    assert kept.ttft_seconds.value <= 2.0
    assert kept.tpot_seconds.value <= 0.05
    pace = [by_percentile[p].ttft_seconds.value for p in (50.0, 90.0, 99.0)]
    assert pace == sorted(set(pace))
    fewer = [o for o in found.options if o.kind == "replicas" and o.replicas < found.replicas]
    assert [o.within_limits for o in fewer] == [False]


def test_other_formats_are_rows_of_the_capacity_question() -> None:
    plan, found = rate_plan(), capacity()
    assert plan.recommendation is not None
    known = {(o.schemes, o.devices): o for o in found.options if o.kind == "format"}
    others = plan.recommendation.alternatives
    assert others
    for other in others:
        row = known[other.schemes, other.devices]
        assert other.tpot_seconds == pytest.approx(row.tpot_seconds)
        assert other.needs_new_weights == row.needs_new_weights
        assert other.why_not == row.reason


def test_energy_and_money_are_those_of_the_devices() -> None:
    """A month of all devices over the tokens of a month."""
    plan, found = rate_plan(), capacity()
    joules, month = plan.performance.joules_per_output_token, found.kwh_per_month
    assert joules is not None
    assert month is not None
    tokens = RATE * plan.workload.osl * 730 * 3600
    assert joules.value == pytest.approx(month.value * 3.6e6 / tokens)
    assert joules.low < joules.value < joules.high


def test_more_requests_take_more_devices() -> None:
    assert 1 <= rate_plan(5.0).device.count < rate_plan().device.count


def test_without_limits_the_default_pace_is_told() -> None:
    plan = planner.plan(MODEL, DEVICE, rate=RATE, **NARROW)
    assert plan.open_arrivals is not None
    assert [limit.seconds for limit in plan.open_arrivals.limits] == [0.05]
    assert any(note.key == "tpot-ms default" for note in plan.assumptions)
    assert "TPOT ≤ 50 ms" in plan_text(plan)
    assert not any(note.key == "tpot-ms default" for note in rate_plan().assumptions)


def test_more_than_the_devices_serve_is_told_with_its_queue_and_the_rate_that_holds() -> None:
    needed = rate_plan().device.count
    assert planner.plan(MODEL, DEVICE, rate=RATE, devices=needed, **LIMITS).device.count <= needed
    with pytest.raises(InfeasibleError) as error:
        planner.plan(MODEL, DEVICE, rate=RATE, devices=1, **LIMITS)
    assert f"--devices {needed}" in error.value.hint
    assert "the queue would grow by" in error.value.hint
    held = float(error.value.hint.partition("--rate ")[2].partition(" ")[0])
    one = planner.plan(MODEL, DEVICE, rate=held, devices=1, **LIMITS)
    assert one.device.count == 1


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        ({"batch": 8}, "--batch"),
        ({"concurrency": 64}, "--concurrency"),
        ({"speculation": "auto"}, "--speculation"),
        ({"mode": "disaggregated"}, "--mode"),
        ({"objective": "latency"}, "--objective"),
        ({"kv_offload": "host"}, "--kv-offload"),
    ],
)
def test_what_is_asked_of_a_closed_loop_is_refused(given: dict[str, object], flag: str) -> None:
    with pytest.raises(InputError, match=flag):
        planner.plan(MODEL, DEVICE, rate=RATE, **given)  # type: ignore[arg-type]


def test_its_file_is_one_that_the_other_verbs_take(tmp_path: Path) -> None:
    plan = rate_plan()
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan.to_dict()))
    assert planner.read_plan(file) == plan
    again = planner.estimate(plan=plan)
    assert (again.device.count, again.open_arrivals) == (plan.device.count, None)
    assert planner.export_plan(plan).files
    replayed = planner.replay(plan=plan, count=200).to_dict()
    assert replayed["load"]["asked_rate"] == RATE


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_answer_tells_the_rate_and_percentiles(lang: str) -> None:
    text = " ".join(plan_text(rate_plan(), lang).split())
    devices = rate_plan().device.count
    assert f"{devices} × h100-sxm" in text
    assert all(percentile in text for percentile in ("p50", "p90", "p99"))
    assert ("20 requests/s" if lang == "en" else "20 请求/s") in text
    assert ("Poisson" if lang == "en" else "泊松") in text


def test_its_assumptions_are_those_of_the_rate() -> None:
    notes = {item.key: item for item in rate_plan().assumptions}
    assert not notes.keys() & {"prefill interruption", "queueing", "request time"}
    assert "arrivals" in notes
    assert "token" not in notes["price"].value
    assert notes["replay"] in capacity().assumptions


def test_whose_times_are_told_is_told() -> None:
    plan = planner.plan(
        "qwen3-30b-a3b",
        "h200-sxm",
        rate=29.0,
        tp=1,
        dp=4,
        ep=4,
        isl=1000,
        osl=250,
        kv="bf16",
        schemes=["bf16"],
        engine="vllm",
        tpot_seconds=0.02,
    )
    assert "times replayed through the scheduler (formulas −" in " ".join(plan_text(plan).split())
