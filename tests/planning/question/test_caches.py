"""The release's own cache format holds in every command; another is asked for by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

import planner
from planner.lookup import load_device, load_model
from planner.planning.question import caches
from planner.planning.question.caches import released_kv
from tests.support import theory

NVFP4 = "deepseek-v3.1-nvfp4"


def layouts(plan: planner.Plan) -> set[str]:
    return {u.kv_layout for u in plan.units if u.kv_layout}


def test_an_estimate_takes_the_cache_of_the_release() -> None:
    plan = theory.estimate(NVFP4, "b200-sxm", devices=8, tp=8, ep=8, batch=16)
    assert layouts(plan) == {"fp8"}
    assert any(a.key == "cache format" and a.value == "fp8" for a in plan.assumptions)


def test_a_named_cache_goes_before_that_of_the_release() -> None:
    plan = theory.estimate(NVFP4, "b200-sxm", devices=8, tp=8, ep=8, batch=16, kv="bf16")
    assert layouts(plan) == {"bf16"}
    assert not any(a.key == "cache format" for a in plan.assumptions)


def test_exclude_lists_of_the_release_hold_in_an_estimate() -> None:
    plan = theory.estimate(NVFP4, "b200-sxm", devices=8, tp=8, ep=8, batch=16)
    schemes = {u.kind: u.scheme for u in plan.units}
    assert schemes["mla-q"] == schemes["mla-kv"] == "bf16"
    assert schemes["experts-gate-up"] == schemes["attention-out"] == "nvfp4"


def test_memory_and_estimate_agree_on_the_cache() -> None:
    answer = planner.memory_use(NVFP4, "b200-sxm", tp=8, ep=8, batch=16)
    assert answer.kv == "fp8"


def test_a_served_loop_takes_the_cache_of_the_release() -> None:
    found = planner.serve(NVFP4, "b200-sxm", devices=8, tp=8, ep=8, concurrency=16)
    assert found.kv == "fp8"


@pytest.mark.parametrize(
    ("model", "device", "expected", "noted"),
    [
        (NVFP4, "b200-sxm", "fp8", True),
        (NVFP4, "a100-sxm", "bf16", True),
        ("deepseek-v3", "h100-sxm", "bf16", False),
    ],
)
def test_what_a_release_asks_for(model: str, device: str, expected: str, noted: bool) -> None:
    kv, notes = released_kv(load_model(model), load_device(device))
    assert kv == expected
    assert bool(notes) == noted


def test_a_cache_that_does_not_store_the_model_is_told() -> None:
    spec = replace(load_model("llama-3.1-8b"), kv_scheme="fp8-ds-mla")
    kv, (note,) = released_kv(spec, load_device("h100-sxm"))
    assert kv == "bf16"
    assert "does not store" in note.reason


@pytest.mark.parametrize("scheme", ["Q4_K_M", "ggml-q8_0", ""])
@pytest.mark.parametrize("model", ["smollm2-135m", "deepseek-v2-lite"])
def test_an_engine_with_a_cache_of_its_own_keeps_it(model: str, scheme: str) -> None:
    """llama.cpp keeps its cache in F16 unless it is told otherwise, whatever the checkpoint is."""
    plan = planner.estimate(model, "xeon-6980p", scheme=scheme, engine="llama.cpp", isl=256, osl=64)
    assert {u.kv_layout for u in plan.units} - {None} == {"fp16"}
    told = next(a for a in plan.assumptions if a.key == "cache format")
    assert told.value == "fp16"
    assert "llama.cpp" in told.reason
    assert "-ctk" in told.reason
    asked = planner.estimate(
        model, "xeon-6980p", scheme=scheme, engine="llama.cpp", kv="bf16", isl=256, osl=64
    )
    assert {u.kv_layout for u in asked.units} - {None} == {"bf16"}
    assert not any(a.key == "cache format" for a in asked.assumptions)
    assert asked.performance.ttft_seconds.value > plan.performance.ttft_seconds.value


@pytest.mark.parametrize("engine", ["vllm", "pytorch", "any"])
def test_an_engine_that_follows_the_model_keeps_bf16(engine: str) -> None:
    plan = planner.estimate("smollm2-135m", "xeon-6980p", engine=engine, isl=256, osl=64)
    assert {u.kv_layout for u in plan.units} - {None} == {"bf16"}
    assert not any(a.key == "cache format" for a in plan.assumptions)


def test_a_layout_that_stores_not_every_cache_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys would fit, values would not: neither is kept in it."""
    spec = replace(load_model("llama-3.1-8b"), kv_scheme="fp8")
    kv, (note,) = released_kv(spec, load_device("h100-sxm"))
    assert kv == "fp8"
    assert "the release's own" in note.reason
    monkeypatch.setattr(caches, "stores", lambda unit, layout: unit.kind == "kv-k")
    kv, (note,) = released_kv(spec, load_device("h100-sxm"))
    assert kv == "bf16"
    assert note.reason == "the release asks for fp8: it does not store every cache of the model"
