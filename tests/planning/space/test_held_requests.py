"""What a batch holds: requests as they are, a slot of the whole context, one of it in any case."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.api.estimate import estimate
from planner.base.errors import InfeasibleError, InputError
from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.planning.plan.record import Plan
from planner.planning.price.price import price
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question
from planner.planning.question.workload import reserves_context, workload
from planner.planning.search.formulate import problem_rows
from planner.planning.search.spaces import grid_space
from planner.planning.serving.serve import serve
from planner.planning.space.assignment import rank_bytes, tied_segments
from planner.planning.space.candidates import Space
from planner.planning.space.memory import budget
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

MODELS = ("llama-3.2-1b", "gemma-3-4b", "qwen3-next-80b-a3b", "deepseek-v2-lite", "deepseek-v3.2")
LAYOUTS = {"qwen3-next-80b-a3b": {"devices": 4, "tp": 4}, "deepseek-v3.2": {"devices": 8, "tp": 8}}


@cache
def question_of(model: str, batch: int | None = None) -> Question:
    return build_question(
        resolve_model(model),
        resolve_device("h200-sxm"),
        GivenValues(batch=batch, **LAYOUTS.get(model, {"devices": 1})),
        None,
        uniform="",
        given=None,
    )


def space_of(
    model: str,
    context: int,
    isl: int,
    osl: int,
    *,
    reserved: bool = False,
    batch: int | None = None,
) -> Space:
    question = question_of(model, batch)
    work = workload(question.spec.max_context, context=context, isl=isl, osl=osl, reserved=reserved)
    found = grid_space(build_model(replace(question, workload=work), load_prior()))
    assert found is not None
    return found


def choice_of(space: Space) -> np.ndarray:
    """The choice of every unit: there is one."""
    model = space.model
    return np.array(
        [
            int(np.flatnonzero(model.possible[i])[0]) if u.decision >= 0 else -1
            for i, u in enumerate(model.units)
        ],
        dtype=np.int64,
    )


def bytes_of(space: Space) -> np.ndarray:
    return rank_bytes(space, choice_of(space))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("batch", [1, 2, 8, 64])
def test_the_solver_the_price_and_the_fast_sum_count_the_same(model: str, batch: int) -> None:
    """Where few requests hold less than one of the context, and where many hold more."""
    space = space_of(model, 30000, 1500, 200, batch=batch)
    segments = tied_segments(space.model, choice_of(space).tolist())
    for c, used in enumerate(bytes_of(space).tolist()):
        priced = price(space, c, segments)
        assert priced.fullest.total == used
        rooms = [row for row in problem_rows(space, c) if row.name == "memory"]
        kept = [stage.total for stage in priced.stages]
        for row, total in zip(rooms, kept, strict=True):
            assert row.exact is not None
            assert row.exact_limit is not None
            options = np.where(space.legal[c].any(), row.exact, 0).max(axis=1)
            assert budget(space.model.question) - (row.exact_limit - int(options.sum())) == total
        for stage, cached in zip(priced.stages, priced.caches, strict=True):
            alone = sum(cached.once)
            assert stage.cache >= alone
            assert stage.cache >= batch // int(space.pts.dp[c]) * sum(cached.each)


@settings(max_examples=examples(10))
@given(
    st.sampled_from(MODELS),
    st.integers(1, 4000),
    st.integers(1, 4000),
    st.integers(0, 8000),
    st.integers(1, 300),
    st.sampled_from(("isl", "osl", "context")),
    st.integers(1, 500),
)
def test_bytes_never_fall_with_longer_requests_or_a_longer_context(
    model: str, isl: int, osl: int, spare: int, batch: int, what: str, more: int
) -> None:
    batch = max(1, batch if model != "deepseek-v3.2" else batch % 32)
    short = {"isl": isl, "osl": osl, "context": isl + osl + spare + 1000}
    long = {**short, what: short[what] + more}
    one, two = (bytes_of(space_of(model, **lengths, batch=batch)) for lengths in (short, long))
    full = bytes_of(space_of(model, **short, reserved=True, batch=batch))
    assert (one <= two[: len(one)]).all()
    assert (one <= full[: len(one)]).all()


def test_slots_follow_the_engine_unless_they_are_given() -> None:
    assert [
        reserves_context(None, name)
        for name in ("any", "vllm", "sglang", "tensorrt-llm", "pytorch", "llama.cpp")
    ] == [False] * 5 + [True]
    assert reserves_context("full", "vllm")
    assert reserves_context("full", "llama.cpp")
    with pytest.raises(InputError, match="keeps a slot of the whole context"):
        reserves_context("requests", "llama.cpp")
    with pytest.raises(InputError) as caught:
        reserves_context("half", "vllm")
    assert caught.value.hint == "requests or full"


CASES = {
    "dense": ("llama-3.2-1b", "h100-sxm", {"devices": 1, "tp": 1}),
    "windows": ("gemma-3-4b", "h100-sxm", {"devices": 2, "tp": 2}),
    "latent": ("deepseek-v2-lite", "h100-sxm", {"devices": 2, "tp": 1, "pp": 2}),
    "states": ("qwen3-next-80b-a3b", "h200-sxm", {"devices": 4, "tp": 2, "dp": 2, "ep": 4}),
}
WORK = {"context": 24000, "isl": 3000, "osl": 500}


def priced(name: str, **more: object) -> Plan:
    model, device, layout = CASES[name]
    return estimate(model, device, **{"engine": "any", **layout, **WORK, **more})


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", CASES)
def test_as_many_requests_fit_as_the_capacity_says(name: str) -> None:
    plan = priced(name, batch=4)
    room, step = plan.capacity, plan.layout.dp * plan.layout.pp
    assert room.max_concurrency_at_requests is not None
    assert room.max_concurrency_at_requests > room.max_concurrency_at_context
    most = room.max_concurrency_at_requests // step * step
    full = priced(name, batch=most)
    assert full.memory_per_device.total_bytes <= full.memory_per_device.usable_bytes
    with pytest.raises(InfeasibleError, match="memory"):
        priced(name, batch=most + step)
    slots = priced(name, batch=4, slots="full")
    assert (
        slots.capacity.max_concurrency_at_requests
        == room.max_concurrency_at_context
        == slots.capacity.max_concurrency_at_context
    )
    with pytest.raises(InfeasibleError, match="memory"):
        priced(name, slots="full", batch=most)


def test_where_requests_fill_the_context_slots_change_nothing() -> None:
    one, two = (
        estimate(
            "llama-3.2-1b",
            "h100-sxm",
            devices=1,
            context=4096,
            batch=16,
            engine="vllm",
            slots=slots,
        ).to_dict()
        for slots in ("requests", "full")
    )
    for plan in (one, two):
        plan["assumptions"] = [a for a in plan["assumptions"] if a["key"] != "asked"]
    assert one == two
    assert (
        one["capacity"]["max_concurrency_at_context"]
        == one["capacity"]["max_concurrency_at_requests"]
    )


def test_a_context_must_fit_once() -> None:
    fits = {"devices": 1, "isl": 1000, "osl": 100, "batch": 1, "engine": "vllm"}
    estimate("llama-3.1-8b", "a100-sxm", context=131072, **fits)
    with pytest.raises(InfeasibleError, match="at context 131072"):
        estimate("llama-3.1-8b", "a100-sxm", context=131072, **fits, memory_bytes=30 << 30)
    estimate("llama-3.1-8b", "a100-sxm", context=8192, **fits, memory_bytes=30 << 30)


def test_the_batch_of_a_paged_engine_is_one_of_requests() -> None:
    """64 requests of 5,120 tokens fit where 22 slots of 32,768 do."""
    plan = estimate(
        "deepseek-v3",
        "h200-sxm",
        devices=8,
        tp=8,
        ep=8,
        context=32768,
        isl=4096,
        osl=1024,
        batch=64,
        scheme="fp8-block",
        engine="vllm",
    )
    assert plan.device.count == 8
    assert (
        plan.capacity.max_concurrency_at_context
        < 64
        < (plan.capacity.max_concurrency_at_requests or 0)
    )
    told = {a.key: a.value for a in plan.assumptions}
    assert told["slots"].startswith("5120 tokens of cache for every sequence")
    with pytest.raises(InfeasibleError, match="at context 32768"):
        estimate(
            "deepseek-v3",
            "h200-sxm",
            devices=8,
            tp=8,
            ep=8,
            context=32768,
            isl=4096,
            osl=1024,
            batch=64,
            scheme="fp8-block",
            engine="vllm",
            slots="full",
        )


def test_a_loop_of_requests_keeps_as_many_as_there_are_slots() -> None:
    asked = {
        "devices": 8,
        "tp": 8,
        "ep": 8,
        "context": 32768,
        "isl": 4096,
        "osl": 1024,
        "concurrency": 64,
        "scheme": "fp8-block",
        "engine": "vllm",
    }
    free, full = (
        serve("deepseek-v3", "h200-sxm", **asked, slots=slots).point for slots in (None, "full")
    )
    assert free is not None
    assert full is not None
    assert free.active_sequences > 60
    assert 19 < full.active_sequences <= 21
    assert full.ttft_seconds > 10 * free.ttft_seconds


@pytest.mark.parametrize("model", ["llama-3.2-1b", "deepseek-v2-lite"])
def test_few_sequences_are_those_that_hold_less_than_one_of_the_context(model: str) -> None:
    question = replace(
        question_of(model), workload=workload(1 << 20, context=4096, isl=100, osl=50)
    )
    space = grid_space(build_model(question, load_prior()))
    assert space is not None
    tables = space.tables
    some = tables.cache > 0
    most = tables.plenty
    assert (tables.cache[some] * most >= tables.once[some]).all()
    assert (tables.cache[some] * (most - 1) < tables.once[some]).any()
