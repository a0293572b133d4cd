"""Usable memory, the largest batch and the room for requests are the same by every verb."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

import planner
from planner.export.serve_line import serving_command
from planner.memory.usable import shared_memory_utilization, usable_memory
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout, layout_problem

MODELS = (
    "gpt-oss-120b", "gpt-oss-20b", "qwen3-32b", "qwen3-30b-a3b", "qwen2.5-0.5b", "deepseek-v3",
    "deepseek-v2-lite", "deepseek-r1", "llama-3.1-8b", "llama-3.1-70b", "gemma-3-27b",
    "glm-4.5-air", "minimax-m2", "mixtral-8x7b", "llama-4-scout", "phi-4", "deepseek-v3.2",
    "deepseek-v3.1",
)  # fmt: skip
DEVICES = (
    "h100-sxm", "h200-sxm", "b200-sxm", "a100-sxm", "l40s", "mi300x", "rtx-4090", "h20", "gh200",
    "rtx-pro-6000", "jetson-agx-thor-t5000",
)  # fmt: skip
MIB = 1 << 20
ENGINES = ("any", "vllm", "sglang", "tensorrt-llm")
QUESTIONS = 200


def drawn(draw: random.Random) -> tuple[str, str, dict[str, Any]]:
    """A model, a device and a question whose layout can hold the model."""
    while True:
        model = draw.choice(MODELS)
        tp, dp, pp = (draw.choice(sizes) for sizes in ((1, 2, 4, 8), (1, 1, 1, 2, 4), (1, 1, 2)))
        ep = draw.choice((1, tp * dp))
        if not layout_problem(resolve_model(model), Layout(tp, dp, pp, ep)):
            break
    isl, osl = draw.choice((500, 1024, 4000)), draw.choice((64, 128, 1000))
    return (
        model,
        draw.choice(DEVICES),
        {
            "tp": tp,
            "dp": dp,
            "pp": pp,
            "ep": ep,
            "isl": isl,
            "osl": osl,
            "context": draw.choice((isl + osl, 8192, 16384)),
            "engine": draw.choice(ENGINES),
            "kv": "bf16",
        },
    )


def answered(seed: int) -> tuple[str, str, dict[str, Any], planner.Plan]:
    """The first question of ``seed`` that has an answer, and its estimate."""
    draw = random.Random(seed)
    while True:
        model, device, asked = drawn(draw)
        devices = asked["tp"] * asked["dp"] * asked["pp"]
        try:
            plan = planner.estimate(model, device, devices=devices, tpot_seconds="none", **asked)
        except planner.PlannerError:
            continue
        return model, device, asked, plan


def room(plan: planner.Plan) -> tuple[int, int, int | None]:
    """(usable bytes, sequences of the context, requests) of a plan."""
    capacity = plan.capacity
    return (
        plan.memory_per_device.usable_bytes,
        capacity.max_concurrency_at_context,
        capacity.max_concurrency_at_requests,
    )


@pytest.mark.sample(4)
@pytest.mark.parametrize("seed", range(QUESTIONS))
def test_estimate_memory_and_serve_say_the_same(seed: int) -> None:
    model, device, asked, plan = answered(seed)
    memory = planner.memory_use(model, device, batch=plan.workload.batch, **asked)
    assert (memory.usable_bytes, memory.sequences, memory.at_requests) == room(plan)
    assert plan.workload.batch <= memory.at_requests
    of_plan = planner.memory_use(plan=plan, engine=asked["engine"])
    assert (of_plan.usable_bytes, of_plan.sequences, of_plan.at_requests) == room(plan)
    if memory.engine is not None and asked["engine"] in ("vllm", "sglang"):
        layout = Layout(*(asked[name] for name in ("tp", "dp", "pp", "ep")))
        share = dict(memory.engine.settings).get(
            "gpu-memory-utilization", dict(memory.engine.settings).get("mem-fraction-static")
        )
        rule = usable_memory_of(plan, model, device)
        assert rule.bytes == memory.usable_bytes
        if rule.source:  # memory that is shared with the system keeps the profile's
            mine = rule.bytes - rule.reserved_bytes(layout)
            assert mine == int(rule.capacity_bytes * share)
    if asked["pp"] == 1:
        served = planner.serve(plan=plan)
        note = next(a.value for a in served.assumptions if a.key == "cache")
        tokens = int(re.sub(r"\D", "", note))
        assert tokens == pytest.approx(plan.kv_cache.capacity_tokens / asked["dp"], abs=1)


@pytest.mark.sample(4)
@pytest.mark.parametrize("seed", range(QUESTIONS))
def test_the_room_of_every_verb_is_the_pool_of_the_engine(seed: int) -> None:
    """What vLLM and SGLang have for caches by their own arithmetic is what a plan has left, to what
    prompts in flight take of windows and stages differ by."""
    model, device, asked, plan = answered(seed)
    profile = planner.load_device(device)
    if asked["engine"] not in ("vllm", "sglang") or profile.unified_memory or asked["pp"] > 1:
        pytest.skip("no engine that claims a share of the device, or uneven stages")
    memory = planner.memory_use(model, device, batch=plan.workload.batch, **asked)
    assert memory.engine is not None
    most = dict(memory.engine.settings).get("max-num-seqs", 1 << 20)
    if plan.workload.batch > most or not memory.engine.starts:
        pytest.skip("more sequences than the engine takes by default")
    stage = memory.parts.fullest
    left = memory.usable_bytes - stage.weights_bytes - stage.runtime_bytes - stage.activation_bytes
    pool = memory.engine.rank.budget_bytes
    assert left <= pool + MIB
    if not any(a.window for a in resolve_model(model).attention):
        assert left == pytest.approx(pool, rel=0.002, abs=8 * MIB)
        held, pages = memory.sequences / asked["dp"], 64 / asked["context"]
        assert held == pytest.approx(memory.engine.max_concurrency, rel=0.01 + pages, abs=1.01)


def usable_memory_of(plan: planner.Plan, model: str, device: str) -> Any:
    """The rule of the plan's engine on its device."""
    from planner.memory.engines.catalog import parse_engine
    from planner.planning.engines.prefill_chunks import prefill_chunk

    profile, name = planner.load_device(device), plan.engine.name
    return usable_memory(
        profile,
        parse_engine(f"{name}@{plan.engine.version}"),
        resolve_model(model),
        chunk_tokens=prefill_chunk(name, profile).tokens,
    )


@pytest.mark.sample(1)
@pytest.mark.parametrize("seed", range(0, QUESTIONS, 10))
def test_a_plan_has_the_room_that_memory_and_estimate_find_for_it(seed: int) -> None:
    model, device, asked, _ = answered(seed)
    devices = asked["tp"] * asked["dp"] * asked["pp"]
    try:
        plan = planner.plan(model, device, devices=devices, tpot_seconds="none", **asked)
    except planner.PlannerError:
        return
    memory = planner.memory_use(plan=plan, engine=asked["engine"])
    assert (memory.usable_bytes, memory.sequences, memory.at_requests) == room(plan)
    assert room(planner.estimate(plan=plan)) == room(plan)


@pytest.mark.sample(1)
@pytest.mark.parametrize("seed", range(0, QUESTIONS, 10))
def test_compare_fills_a_device_as_an_estimate_does(seed: int) -> None:
    model, device, asked, plan = answered(seed)
    devices = asked["tp"] * asked["dp"] * asked["pp"]
    batch = plan.workload.batch
    table = planner.compare(
        model, device, devices=devices, batch=batch, tpot_seconds="none", **asked
    )
    rows = [row for row in table.rows if row.feasible and len(row.schemes) == 1][:3]
    if not rows:
        pytest.skip("no row of one scheme fits")
    for row in rows:
        one = planner.estimate(
            model, device, devices=devices, batch=row.users, scheme=row.schemes[0],
            tpot_seconds="none", **asked,
        )  # fmt: skip
        assert row.total_bytes_per_device == one.memory_per_device.total_bytes
        assert row.total_bytes_per_device <= room(one)[0]


@pytest.mark.sample(4)
@pytest.mark.parametrize("seed", range(0, QUESTIONS, 10))
def test_capacity_admits_as_many_requests_as_there_is_room_for(seed: int) -> None:
    model, device, asked, _ = answered(seed)
    wide = {**asked, "pp": 1, "dp": 1, "ep": 1}
    del wide["pp"]
    try:
        sized = planner.capacity(model, device, rate=0.01, ttft_seconds=600.0, **wide)
    except planner.PlannerError as error:
        pytest.skip(f"no capacity to compare: {error.message}")
    answer = sized.answer
    if len(answer.schemes) != 1:
        pytest.skip("the answer mixes schemes, which an estimate does not take")
    plan = planner.estimate(
        model, device, devices=answer.tp, batch=1, scheme=answer.schemes[0],
        tpot_seconds="none", **wide,
    )  # fmt: skip
    slots, reason = next(
        (int(a.value.split()[0].replace(",", "")), a.reason)
        for a in sized.assumptions
        if a.key == "slots" and "a rank" in a.value
    )
    held, isl, osl = room(plan)[2], asked["isl"], asked["osl"]
    assert held is not None
    aside = re.search(r"(\d+)% of the answer reserved", reason)
    share = int(aside[1]) / 100 if aside else 1.0
    assert slots == min(int(held * (isl + osl) / (isl + share * osl)), 4096)


@pytest.mark.parametrize("device", ["orin", "dgx-spark", "h100-sxm"])
def test_vllm_is_told_one_share_by_the_plan_and_by_memory(device: str) -> None:
    """Of memory that the system uses too: the plan's command had the profile's share, `plan memory`
    the default of a device of its own, and blocks for it."""
    plan = planner.plan("qwen3-8b", device, devices=1, engine="vllm", batch=1, tpot_seconds="none")
    said = re.search(r"--gpu-memory-utilization (\S+)", " ".join(serving_command(plan).words))
    memory = planner.memory_use("qwen3-8b", device, engine="vllm").engine
    assert memory is not None
    share = dict(memory.settings)["gpu-memory-utilization"]
    assert share == (float(said[1]) if said else 0.92)
    own = plan.memory_per_device
    assert share <= own.usable_bytes / own.capacity_bytes + 1e-6


def test_a_share_in_hundredths_is_the_profile_s_own() -> None:
    """Bytes that were rounded down took a hundredth with them."""
    capacity = (64 << 30) - 12_345
    for hundredths in range(1, 100):
        usable = int(capacity * (hundredths / 100))
        assert shared_memory_utilization(usable, capacity) == hundredths / 100
    assert shared_memory_utilization(int(capacity * 0.7599), capacity) == 0.75
