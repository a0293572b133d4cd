"""Requests in flight over a deployment fix the batch of each layout: replicas × batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.questions import question_of

import planner
from planner.base.errors import InfeasibleError, InputError
from planner.placement.layout import Layout
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import requests_in_flight
from planner.planning.space.candidates import first_slot

MODEL, DEVICE = "llama-3.1-8b", "h100-sxm"
QUESTION = replace(question_of(MODEL, devices=8), batch=None)
COUNTS = st.sampled_from([1, 2, 4, 8])


def written(plan: Plan) -> dict[str, Any]:
    """The plan file without the line of what was asked."""
    out = plan.to_dict()
    out["assumptions"] = [a for a in out["assumptions"] if a["key"] != "asked"]
    return out


def planned(**given: Any) -> Plan:
    return planner.plan(MODEL, DEVICE, engine="vllm", **given)


def test_on_one_replica_it_is_the_batch() -> None:
    assert written(planned(devices=1, concurrency=32)) == written(planned(devices=1, batch=32))


def test_replicas_share_the_requests() -> None:
    layout = {"devices": 2, "tp": 1, "dp": 1}
    both = planned(concurrency=64, **layout)
    assert (both.layout.replicas, both.workload.batch) == (2, 32)
    assert written(both) == written(planned(batch=32, **layout))


def test_no_more_requests_are_in_flight_than_were_asked_for() -> None:
    """Seven over two replicas: four places each, the rate of three and a half."""
    layout = {"devices": 2, "tp": 1, "dp": 1}
    low, mid, high = (
        planner.estimate(MODEL, DEVICE, engine="vllm", concurrency=n, **layout) for n in (6, 7, 8)
    )
    assert [p.workload.batch for p in (low, mid, high)] == [3, 4, 4]
    assert [requests_in_flight(p) for p in (low, mid, high)] == [6, 7, 8]
    rates = [p.performance.output_tokens_per_second.value for p in (low, mid, high)]
    assert rates[0] < rates[1] < rates[2]
    assert mid.memory_per_device == high.memory_per_device


def test_a_plan_file_is_priced_again_as_it_was_asked_for() -> None:
    made = planned(devices=2, tp=1, dp=1, concurrency=7)
    again = planner.estimate(plan=made)
    assert again.performance.tpot_seconds.value == made.performance.tpot_seconds.value
    other = planner.estimate(plan=made, batch=4)
    assert other.performance.tpot_seconds.value > made.performance.tpot_seconds.value


@given(concurrency=st.integers(1, 10_000), tp=COUNTS, dp=COUNTS, pp=COUNTS)
def test_the_slots_of_a_layout_hold_the_requests(
    concurrency: int, tp: int, dp: int, pp: int
) -> None:
    layout = Layout(tp, dp, pp, 1)
    if QUESTION.sizes[0] % layout.ranks:
        return
    question = replace(QUESTION, concurrency=concurrency)
    places = question.replicas(layout.ranks) * dp * pp
    slot = first_slot(question, layout)
    if concurrency < places // pp:
        assert slot is None
        return
    assert slot is not None
    assert (slot - 1) * places < concurrency <= slot * places
    each = question.requests(layout, slot)
    assert each * question.replicas(layout.ranks) == pytest.approx(concurrency)
    assert each <= slot * dp * pp
    if concurrency % places == 0:
        batch = concurrency // question.replicas(layout.ranks)
        assert first_slot(replace(QUESTION, batch=batch), layout) == slot


def test_batch_and_concurrency_exclude_each_other() -> None:
    with pytest.raises(InputError, match="batch 8 and concurrency 16 exclude") as raised:
        planned(devices=1, batch=8, concurrency=16)
    assert "leave one out" in raised.value.hint


def test_fewer_requests_than_replicas_leave_devices_idle() -> None:
    with pytest.raises(InputError, match="3 requests in flight leave some") as raised:
        planned(devices=8, tp=1, pp=1, concurrency=3)
    assert raised.value.hint == "--concurrency 8 or more, or fewer devices"
    assert planned(devices=8, tp=1, pp=1, concurrency=8).workload.batch == 1


def test_one_request_passes_the_stages_one_after_the_other() -> None:
    """`--split-mode layer` over two cards at batch 1, which was refused: the stages' times add up,
    and with two in flight each waits for the other at the slower stage."""
    asked: dict[str, Any] = {
        "engine": "llama.cpp",
        "schemes": ["q4_0"],
        "kv": "bf16",
        "context": 2048,
        "tpot_seconds": "none",
        "max_loss": "none",
    }

    def step(devices: int, concurrency: int) -> planner.Plan:
        return planner.plan(
            "qwen3-8b",
            "rtx-4090",
            devices=devices,
            pp=devices,
            concurrency=concurrency,
            **asked,
        )

    alone, split, both = step(1, 1), step(2, 1), step(2, 2)
    one, two = (made.performance.tpot_seconds.value for made in (alone, split))
    assert one <= two <= 1.1 * one
    assert split.layout.pp == 2
    rates = [made.performance.output_tokens_per_second.value for made in (split, both)]
    assert 1.4 * rates[0] < rates[1] < 2.001 * rates[0]
    with pytest.raises(InputError) as raised:
        planner.plan("qwen3-8b", "rtx-4090", devices=2, pp=2, batch=1, **asked)
    assert "--concurrency 1 instead of --batch" in raised.value.hint


def test_too_many_requests_are_told_with_the_most_that_fit() -> None:
    layout = {"devices": 2, "tp": 1, "dp": 1, "pp": 1}
    asked: dict[str, Any] = {**layout, "schemes": ["bf16"], "isl": 30_000}
    with pytest.raises(InfeasibleError) as raised:
        planned(concurrency=100_000, **asked)
    most = int(raised.value.hint.partition("--concurrency ")[2].split()[0].rstrip(",;"))
    assert planned(concurrency=most, **asked).workload.batch == most // 2
    with pytest.raises(InfeasibleError):
        planned(concurrency=most + 2, **asked)


def test_pools_share_no_given_requests() -> None:
    with pytest.raises(InputError, match="--concurrency and pools") as raised:
        planned(devices=8, concurrency=64, mode="disaggregated")
    assert "--batch" in raised.value.hint


def test_an_edge_device_serves_as_many_as_were_asked_for() -> None:
    made = planner.plan("qwen3-4b", "jetson-agx-orin-64gb", concurrency=4, engine="llama.cpp")
    assert made.workload.batch == 4
    assert not any(a.key == "users default" for a in made.assumptions)


def test_a_scenario_may_say_it_and_a_flag_goes_before(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        f"""title = "Mine"
question = "How many?"
model = "{MODEL}"
device = "{DEVICE}"
devices = 2
tp = 1
dp = 1
pp = 1
concurrency = 16
""",
        encoding="utf-8",
    )
    assert planner.plan(scenario=str(file), engine="vllm").workload.batch == 8
    assert planner.plan(scenario=str(file), engine="vllm", concurrency=4).workload.batch == 2
    assert planner.plan(scenario=str(file), engine="vllm", batch=3).workload.batch == 3


def test_a_sweep_asks_for_it_and_keeps_what_was_asked() -> None:
    asked = {
        "model": MODEL,
        "device": DEVICE,
        "devices": 2,
        "tp": 1,
        "dp": 1,
        "pp": 1,
    }
    rows = planner.sweep(
        [
            {"verb": "estimate", **asked, "concurrency": 16},
            {"verb": "estimate", **asked, "batch": 8},
            {"verb": "estimate", **asked, "batch": 8, "concurrency": 16},
        ]
    )
    assert rows["asked_concurrency"].tolist()[0] == 16
    assert rows["batch"].tolist()[:2] == [8, 8]
    rates = rows["output_tokens_per_second"].tolist()
    assert rates[0] == rates[1]
    assert rows["status"].tolist()[:2] == ["ok", "ok"]
    assert rows["status"].tolist()[2] != "ok"


def test_a_what_if_grid_keeps_it_over_other_numbers_of_devices() -> None:
    base = planned(devices=2, tp=1, dp=1, pp=1, concurrency=16)
    grid = planner.what_if(
        MODEL,
        DEVICE,
        base=base,
        engine="vllm",
        devices=2,
        tp=1,
        dp=1,
        pp=1,
        concurrency=16,
        grid=["devices=2,4", "tpot-ms=none", "max-loss=bf16", "kv=auto", "engine=vllm"],
        workers=1,
    )
    assert grid is not None
