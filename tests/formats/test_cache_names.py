"""Cache layouts by the names that engines and people give them."""

from __future__ import annotations

import pytest

import planner
from planner.base.errors import UnknownNameError, UnsupportedError
from planner.formats.kv import (
    COMMON_CACHES,
    ENGINE_NAMES,
    GGML_CACHES,
    KV_LAYOUTS,
    NOT_MODELLED,
    is_common_cache,
    kv_layout,
)
from planner.planning.plan.record import Plan

PLACE = ("qwen3-8b", "h100-sxm")
TYPES = {
    "vllm": "float16 bfloat16 fp8 fp8_e4m3 fp8_ds_mla int8_per_token_head fp8_per_token_head nvfp4",
    "sglang": "fp8_e4m3 bf16 bfloat16 nvfp4",
    "tensorrt-llm": "fp8 nvfp4",
    "llama.cpp": "f32 f16 bf16 q8_0 q4_0 q4_1 iq4_nl q5_0 q5_1",
}
"""Values of --kv-cache-dtype, kv_cache_config.dtype and --cache-type-k that are layouts here."""


@pytest.mark.parametrize("engine", TYPES)
def test_types_of_engines_are_layouts(engine: str) -> None:
    for name in TYPES[engine].split():
        assert kv_layout(name).id in KV_LAYOUTS
        assert not is_common_cache(name)


@pytest.mark.parametrize("name", KV_LAYOUTS)
def test_spelling_does_not_matter(name: str) -> None:
    for typed in (name.upper(), name.replace("-", "_"), name.replace("_", "-"), f" {name} "):
        assert kv_layout(typed).id == name


def test_names_mean_layouts_that_exist() -> None:
    for names in (ENGINE_NAMES, COMMON_CACHES):
        assert set(names.values()) <= KV_LAYOUTS.keys()
        assert not names.keys() & KV_LAYOUTS.keys()
    assert set(COMMON_CACHES.values()) & set(GGML_CACHES)


@pytest.mark.parametrize("name", sorted(NOT_MODELLED))
def test_types_without_a_layout_are_refused_as_such(name: str) -> None:
    with pytest.raises(UnknownNameError, match="not modelled") as raised:
        kv_layout(name)
    assert raised.value.hint


def told(plan: Plan) -> list[tuple[str, str]]:
    return [(a.value, a.reason) for a in plan.assumptions if a.key == "kv"]


def test_a_family_is_its_commonest_layout_which_is_told() -> None:
    named, same = (
        planner.estimate(*PLACE, devices=1, batch=8, kv=kv) for kv in ("int8", "int8-token")
    )
    assert told(named) == [("int8-token", "int8 is read as its commonest variant")]
    assert told(same) == []
    assert named.performance == same.performance
    assert named.units == same.units


def test_names_for_keys_and_values_apart_are_told_each() -> None:
    plan = planner.estimate(
        *PLACE, devices=1, batch=8, kv="q8/q4", engine="llama.cpp", scheme="Q4_K_M"
    )
    assert [value for value, _ in told(plan)] == ["q8_0", "q4_0"]


def test_what_an_engine_has_not_stays_refused() -> None:
    with pytest.raises(UnsupportedError):
        planner.estimate(*PLACE, devices=1, batch=8, kv="int8", engine="sglang")


def test_bytes_are_counted_by_any_name() -> None:
    answers = [planner.memory_use(*PLACE, kv=kv) for kv in ("fp8_e4m3", "fp8")]
    assert answers[0].parts == answers[1].parts
    by_family = planner.memory_use(*PLACE, kv="int8")
    assert any(a.value == "int8-token" for a in by_family.assumptions)
