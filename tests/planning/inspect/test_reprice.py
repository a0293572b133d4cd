"""Figures beside a plan against the same question asked through the API."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from support.wheels import ROOT

import planner
from planner.api.frontier import frontier
from planner.base.errors import InputError
from planner.planning.inspect.layout_frontier import own_frontier, uniform_groups
from planner.planning.inspect.reprice import Repriced, reprice
from planner.planning.inspect.sensitivity import (
    PerturbedPlan,
    PremiseSwing,
    Sensitivity,
    sensitivity,
)
from planner.planning.inspect.users import users_that_fit
from planner.planning.plan.record import Plan
from planner.planning.search.requery import GAP
from planner.planning.space import model
from planner.planning.what_if.frontier import Frontier
from tests.support import theory

MODEL, DEVICE = "qwen3-30b-a3b", "h100-sxm"


@cache
def plan() -> Plan:
    return theory.plan(MODEL, DEVICE, context=4096, devices=1)


@cache
def it() -> Repriced:
    return reprice(plan())


@cache
def swings() -> Sensitivity:
    return sensitivity(it())


def swing(name: str) -> PremiseSwing:
    return next(s for s in swings().swings if s.premise == name)


def assert_same(end: PerturbedPlan, priced: Plan) -> None:
    assert end.tpot_seconds == pytest.approx(priced.performance.tpot_seconds.value, rel=1e-9)
    assert end.ttft_seconds == pytest.approx(priced.performance.ttft_seconds.value, rel=1e-9)
    assert end.total_bytes_per_device == priced.memory_per_device.total_bytes
    assert end.fits


def test_the_plan_as_it_is() -> None:
    assert_same(swings().now, plan())
    assert [s.premise for s in swings().swings] == [
        "bandwidth",
        "compute",
        "batch",
        "context",
        "popularity",
    ]


def test_a_smaller_batch_is_what_the_api_prices() -> None:
    end = swing("batch").low
    assert_same(end, theory.estimate(MODEL, DEVICE, plan=plan(), batch=int(end.premise)))
    assert end.premise == pytest.approx(0.8 * plan().workload.batch, abs=1)


def test_a_shorter_context_is_what_the_api_prices() -> None:
    end, work = swing("context").low, plan().workload
    assert_same(
        end,
        theory.estimate(
            MODEL,
            DEVICE,
            plan=plan(),
            isl=round(0.8 * work.isl),
            osl=round(0.8 * work.osl),
            context=int(end.premise),
        ),
    )


def test_a_slower_memory_is_a_profile_with_that_memory(tmp_path: Path) -> None:
    text, changed = "bandwidth = { value = 3.35e12", "bandwidth = { value = 2.68e12"
    profile = (ROOT / "hardware_profiles" / f"{DEVICE}.toml").read_text(encoding="utf-8")
    assert text in profile
    path = tmp_path / f"{DEVICE}.toml"
    path.write_text(profile.replace(text, changed), encoding="utf-8")
    assert_same(swing("bandwidth").low, theory.estimate(MODEL, str(path), plan=plan()))


def test_another_spread_is_what_the_experts_take(monkeypatch: pytest.MonkeyPatch) -> None:
    end = swing("popularity").high
    monkeypatch.setattr(model, "popularity_spread", lambda _: end.premise)
    model._built.forget()
    try:
        assert_same(end, theory.estimate(MODEL, DEVICE, plan=plan()))
    finally:
        model._built.forget()


def test_faster_rates_and_a_batch_that_does_not_fit() -> None:
    assert swing("compute").high.tpot_seconds < swings().now.tpot_seconds
    more = swing("batch").high
    assert more.total_bytes_per_device > plan().memory_per_device.usable_bytes
    assert not more.fits


def test_a_dense_model_has_no_popularity() -> None:
    dense = theory.estimate("qwen2.5-0.5b", DEVICE, scheme="bf16", context=2048, batch=4, devices=1)
    found = sensitivity(reprice(dense))
    assert "popularity" not in {s.premise for s in found.swings}


def test_users_at_the_plans_context_are_the_plans() -> None:
    found = {p.context: p for p in users_that_fit(it())}
    work, own = plan().workload, found[plan().workload.context_tokens]
    assert own.users == plan().capacity.max_concurrency_at_context * plan().layout.replicas
    longer = theory.estimate(
        MODEL, DEVICE, plan=plan(), context=16384, isl=work.isl, osl=work.osl, batch=1
    )
    assert found[16384].users == longer.capacity.max_concurrency_at_context
    assert all(a.users > b.users for a, b in pairwise(found.values()))


def test_wide_caches_hold_what_a_plan_with_them_holds() -> None:
    wide = theory.estimate(
        "qwen2.5-0.5b", DEVICE, scheme="fp8-block", context=2048, batch=4, devices=1, kv="fp8"
    )
    same = theory.estimate(
        "qwen2.5-0.5b", DEVICE, scheme="fp8-block", context=2048, batch=4, devices=1, kv="bf16"
    )
    point = next(p for p in users_that_fit(reprice(wide)) if p.context == 2048)
    assert point.users == wide.capacity.max_concurrency_at_context
    assert point.wide_users == same.capacity.max_concurrency_at_context < point.users


def test_the_plan_lies_on_its_own_frontier() -> None:
    found = own_frontier(it())
    best = plan().performance.output_tokens_per_second_per_device.value
    reach = max(
        (r for r in found if r.loss <= plan().quality.loss * (1 + 1e-9)),
        key=lambda r: r.output_tokens_per_second_per_device,
    )
    assert reach.output_tokens_per_second_per_device >= best * (1 - GAP)
    assert all(
        a.loss < b.loss
        and a.output_tokens_per_second_per_device < b.output_tokens_per_second_per_device
        for a, b in pairwise(found)
    )


@cache
def whole() -> Frontier:
    layout = plan().layout
    return frontier(
        MODEL,
        DEVICE,
        points=6,
        devices=1,
        tp=layout.tp,
        dp=layout.dp,
        pp=layout.pp,
        ep=layout.ep,
        context=4096,
    )


@pytest.mark.exhaustive
def test_no_point_of_the_whole_frontier_beats_the_own_one() -> None:
    for reach in own_frontier(it()):
        beaten = [p for p in whole().points if p.loss <= reach.loss]
        assert all(
            p.output_tokens_per_second_per_device
            <= reach.output_tokens_per_second_per_device * (1 + 3 * GAP)
            for p in beaten
        )


def test_a_frontier_is_a_table_and_draws_itself() -> None:
    frame, axes = whole().to_frame(), planner.plot.frontier(whole())
    assert list(frame["loss"]) == [p.loss for p in whole().points]
    assert list(frame["tp"]) == [p.layout[0] for p in whole().points]
    assert axes.collections[0].get_offsets().shape == (len(frame), 2)
    assert MODEL in axes.get_title(loc="left")
    assert whole()._repr_html_().count("<tr") == len(frame) + 1


def test_uniform_formats_that_hardly_differ_are_named_together() -> None:
    names = [name for found, *_ in uniform_groups(plan()) for name in found]
    assert sorted(names) == sorted(b.name for b in plan().baselines if b.feasible)
    assert ["fp8-block", "deepseek-v3 recipe"] in [found for found, *_ in uniform_groups(plan())]


def test_a_plan_whose_file_does_not_hold_its_scenario_is_refused() -> None:
    perf = plan().performance
    slower = replace(
        plan(),
        performance=replace(
            perf, tpot_seconds=replace(perf.tpot_seconds, value=perf.tpot_seconds.value * 1.5)
        ),
    )
    with pytest.raises(InputError, match="from the plan file alone"):
        reprice(slower)


def test_losses_of_a_quality_profile_have_no_frontier() -> None:
    nats = replace(plan(), quality=replace(plan().quality, tier="T2 probe", unit="nats"))
    with pytest.raises(InputError, match="quality profile"):
        own_frontier(reprice(nats))


def test_a_plan_is_priced_on_the_kernels_that_its_engine_runs_it_on() -> None:
    """vLLM runs per-tensor FP8 experts weight-only on this card, which is slower."""
    made = planner.estimate(
        "qwen3.5-35b-a3b", "rtx-pro-6000", scheme="fp8-tensor", devices=1, batch=64, engine="vllm"
    )
    assert reprice(made).question.routes
    assert reprice(made).priced.tpot == pytest.approx(made.performance.tpot_seconds.value, rel=1e-9)
