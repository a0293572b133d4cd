"""Names of plans: the kind of one is told from its message, and from the words of older files."""

import pytest

from planner.messages.message import Text, message
from planner.messages.words import foreign, in_language
from planner.planning.plan.names import (
    FP16_INT8,
    MIX_WITH_4_BIT,
    ONE_SCHEME_IN_EACH_POOL,
    OPTIMUM,
    PUBLISHED,
    RELEASED,
    counted_formats,
    default_of,
    is_just,
    name_kind,
    on_engine,
    pooled_kind,
    uniform,
    with_cache,
    without_cache,
    without_pools,
)

MADE: list[tuple[Text, str]] = [
    (RELEASED, "released"),
    (OPTIMUM, "optimum"),
    (PUBLISHED, "recipe"),
    (uniform("fp8-block"), "uniform"),
    (counted_formats(1), "formats"),
    (counted_formats(3), "formats"),
    (default_of("vllm"), "default"),
    (default_of("vllm", "sglang"), "default"),
    (MIX_WITH_4_BIT, "mix"),
    (ONE_SCHEME_IN_EACH_POOL, "mix"),
    (FP16_INT8, ""),
    ("Q4_K_M", ""),
]
OLDER = [
    ("as released", "released"),
    ("as released, KV fp8 on vllm", "released"),
    ("aggregated: as released", "released"),
    ("optimum", "optimum"),
    ("pools: optimum", "optimum"),
    ("published recipe on sglang", "recipe"),
    ("uniform nvfp4, KV fp8", "uniform"),
    ("2 formats", "formats"),
    ("vllm default", "default"),
    ("org/model-FP8", ""),
]


@pytest.mark.parametrize(("name", "kind"), [*MADE, *OLDER])
def test_the_kind_of_a_name(name: Text, kind: str) -> None:
    assert name_kind(name) == kind


@pytest.mark.parametrize(("name", "kind"), MADE)
def test_cache_engine_and_pools_do_not_change_the_kind(name: Text, kind: str) -> None:
    longer = on_engine(with_cache(name, "fp8"), "sglang")
    assert longer == f"{name}, KV fp8 on sglang"
    assert without_cache(longer) == name
    for pools in ("pools", "two_pools", "aggregated"):
        pooled = message(f"reasons.{pools}", x=longer)
        assert (pooled_kind(pooled), name_kind(pooled)) == (pools, kind)
        assert without_pools(pooled) == longer
        assert not is_just(pooled, "released")
    assert not foreign(in_language(longer, "zh"))


def test_a_kind_alone_has_no_cache_engine_or_pools() -> None:
    assert is_just(RELEASED, "released")
    assert is_just("as released", "released")
    assert is_just("optimum", "optimum")
    for name in (with_cache(RELEASED, "fp8"), "as released, KV fp8", OPTIMUM, "pools: as released"):
        assert not is_just(name, "released")


def test_what_names_say_is_of_the_field() -> None:
    assert [str(name) for name in (RELEASED, OPTIMUM, PUBLISHED)] == [
        "published checkpoint",
        "exact optimum",
        "published recipe",
    ]
    assert in_language(default_of("vllm", "sglang"), "zh") == "vllm、sglang 的默认"
