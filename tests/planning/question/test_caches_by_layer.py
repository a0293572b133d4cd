"""Caches by layer: how they are named, what is refused, and that every layer gets its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import theory
from support.examples import examples

import planner
from planner.base.errors import PlannerError, UnknownNameError
from planner.export.serve_line import serving_command
from planner.lookup import load_model
from planner.memory.engines.vllm_pool import pool_of
from planner.planning.engines.cache_rules import windowed_layers
from planner.planning.plan.record import Plan
from planner.planning.question.caches import named_by_layer

LLAMA, GPT_OSS = "llama-3.1-8b", "gpt-oss-20b"


def of_layers(plan: Plan) -> dict[int, set[str]]:
    """The layouts of each layer."""
    kept: dict[int, set[str]] = {}
    for unit in plan.units:
        if unit.kv_layout is not None:
            for layer in unit.layers:
                kept.setdefault(layer, set()).add(unit.kv_layout)
    return kept


def test_parts_are_words_or_numbers() -> None:
    spec = load_model(LLAMA)
    named = named_by_layer(spec, "fp8, 0-1=bf16, 31 = bf16")
    assert [n for n, name in enumerate(named) if name == "bf16"] == [0, 1, 31]
    assert set(named) == {"bf16", "fp8"}
    assert named_by_layer(spec, "fp8") == ()
    assert named_by_layer(spec, "q8_0/q4_0") == ()
    gpt = load_model(GPT_OSS)
    windows = named_by_layer(gpt, "fp8,windows=bf16")
    assert {n for n, name in enumerate(windows) if name == "bf16"} == windowed_layers(gpt)
    assert named_by_layer(gpt, "bf16,full=fp8") == windows


def test_layers_without_a_cache_have_no_layout() -> None:
    spec = load_model("qwen3-next-80b-a3b")
    named = named_by_layer(spec, "bf16,0-3=fp8")
    assert [n for n, name in enumerate(named) if name == "fp8"] == [3]
    assert named[0] == ""


@pytest.mark.parametrize(
    ("model", "kv", "said"),
    [
        (LLAMA, "0=bf16,fp8", "no layout for all other layers"),
        (LLAMA, "fp8,0-3=bf16,2=bf16", "named twice"),
        (LLAMA, "fp8,windows=bf16", "no cache in windows"),
        (LLAMA, "fp8,32=bf16", "no cache in 32"),
        (LLAMA, "fp8,3-1=bf16", "no cache in 3-1"),
        (LLAMA, "fp8,first=bf16", "names no layers"),
        ("qwen3-next-80b-a3b", "fp8,0=bf16", "no cache in 0"),
    ],
)
def test_what_names_no_layers_is_refused(model: str, kv: str, said: str) -> None:
    with pytest.raises(PlannerError) as found:
        named_by_layer(load_model(model), kv)
    assert said in str(found.value)
    assert found.value.hint


def test_an_unknown_layout_is_refused_by_name() -> None:
    with pytest.raises(UnknownNameError):
        named_by_layer(load_model(LLAMA), "fp8,0=fp9")


@given(st.sets(st.integers(0, 31), min_size=1, max_size=31))
@settings(max_examples=examples(3, 20))
def test_an_estimate_gives_each_layer_the_layout_named_for_it(plain: set[int]) -> None:
    kv = ",".join(("fp8", *(f"{n}=bf16" for n in sorted(plain))))
    ask = {"devices": 1, "batch": 4, "context": 4096}
    mixed = theory.estimate(LLAMA, "h100-sxm", kv=kv, **ask)
    assert of_layers(mixed) == {n: {"bf16"} if n in plain else {"fp8"} for n in range(32)}
    head = 2 * 8 * 128
    assert mixed.kv_cache.bytes_per_token == head * (32 + len(plain))
    alone = {name: theory.estimate(LLAMA, "h100-sxm", kv=name, **ask) for name in ("bf16", "fp8")}
    times = [alone[name].performance.tpot_seconds.value for name in ("fp8", "bf16")]
    assert times[0] < mixed.performance.tpot_seconds.value < times[1]
    assert 0 < mixed.quality.loss < alone["fp8"].quality.loss


def test_the_command_names_the_layers_that_the_engine_skips() -> None:
    plan = planner.estimate(
        LLAMA, "h100-sxm", engine="vllm", kv="fp8,0-1=bf16,31=bf16", batch=4, context=4096
    )
    words = serving_command(plan).words
    at = words.index("--kv-cache-dtype-skip-layers")
    assert words[words.index("--kv-cache-dtype") + 1] == "fp8"
    skipped = [word for word in words[at + 1 :] if word.isdigit()][:3]
    assert skipped == ["0", "1", "31"]
    # vllm/model_executor/layers/attention/attention.py: a layer in the list keeps auto.
    read = {n: {"bf16"} if str(n) in skipped else {"fp8"} for n in range(32)}
    assert read == of_layers(plan)


@pytest.mark.parametrize(
    ("model", "engine", "kv", "said"),
    [
        (LLAMA, "vllm@0.18", "fp8,0=bf16", "0.19"),
        ("deepseek-v2-lite", "vllm@0.25", "fp8,0=bf16", "0.26"),
        (GPT_OSS, "vllm", "fp8,0-23=bf16", ""),
        (GPT_OSS, "vllm", "fp8,full=bf16", "one type a server"),
        (LLAMA, "sglang", "fp8,0=bf16", "not merged"),
    ],
)
def test_engines_refuse_what_their_version_does_not_keep(
    model: str, engine: str, kv: str, said: str
) -> None:
    ask = {"engine": engine, "kv": kv, "batch": 4, "context": 4096}
    if not said:
        plan = planner.estimate(model, "h100-sxm", **ask)  # type: ignore[arg-type]
        assert {name for names in of_layers(plan).values() for name in names} == {"bf16"}
        return
    with pytest.raises(PlannerError) as found:
        planner.estimate(model, "h100-sxm", **ask)  # type: ignore[arg-type]
    assert said in str(found.value)
    assert found.value.hint


def test_by_layer_chooses_and_an_estimate_does_not() -> None:
    with pytest.raises(PlannerError) as found:
        theory.estimate(LLAMA, "h100-sxm", kv="by-layer")
    assert "plan" in found.value.hint


def test_memory_counts_each_layer_and_vllm_pages_by_layer() -> None:
    """Layers of whole pasts share one group whatever their pages (UniformTypeKVCacheSpecs); beside
    windows a page holds as many tokens more as its entries are smaller."""
    kv, head = "fp8,0-1=bf16", 2 * 8 * 128
    answer = planner.memory_use(LLAMA, "h100-sxm", kv=kv, engine="vllm", context=8192)
    assert answer.engine is not None
    assert answer.engine.block_bytes == 16 * head * (30 + 2 * 2)
    assert answer.engine.blocks == answer.engine.kv_bytes // answer.engine.block_bytes
    assert answer.kv == "bf16, fp8"
    windowed = planner.memory_use(GPT_OSS, "h100-sxm", kv="fp8,windows=bf16", engine="vllm")
    assert windowed.engine is not None
    assert windowed.engine.grouped
    pool = pool_of(windowed.engine.rank.caches, 16)
    assert pool is not None
    assert {(bool(g.window), g.tokens) for g in pool.groups} == {(True, 16), (False, 32)}


@pytest.mark.parametrize(
    ("model", "device", "kv", "engine"),
    [
        ("deepseek-v2-lite", "h100-sxm", "fp8,0=bf16", "vllm@0.25"),
        (GPT_OSS, "b200-sxm", "nvfp4,windows=bf16", "vllm"),
        (LLAMA, "h100-sxm", "fp8,0=bf16", "sglang"),
    ],
)
def test_memory_of_an_engine_that_does_not_keep_them_is_refused(
    model: str, device: str, kv: str, engine: str
) -> None:
    with pytest.raises(PlannerError) as found:
        planner.memory_use(model, device, kv=kv, engine=engine)
    assert found.value.hint
