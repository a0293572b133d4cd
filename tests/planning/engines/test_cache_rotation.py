"""Which caches an engine rotates before it quantises them, by build, type, width and kind."""

from dataclasses import replace

from planner.models.catalog import bundled_model
from planner.planning.engines.cache_rotation import cache_rotations, rotates

HEADS = bundled_model("qwen3-8b").attention[0]


def test_llama_cpp_rotates_quantised_heads_from_the_build_of_its_pull_request() -> None:
    (row,) = cache_rotations()
    assert "21038" in row.source.title
    before, since = f"b{row.since_build - 1}", f"b{row.since_build}"
    for kind in ("kv-k", "kv-v"):
        assert rotates("llama.cpp", since, "q4_0", HEADS, kind)
        assert rotates("llama.cpp", since.removeprefix("b"), "q8_0", HEADS, kind)
        assert not rotates("llama.cpp", before, "q4_0", HEADS, kind)


def test_a_version_that_is_not_told_is_the_newest() -> None:
    assert rotates("llama.cpp", "", "q4_0", HEADS, "kv-k")


def test_nothing_else_is_rotated() -> None:
    assert not rotates("vllm", "0.33.0", "q4_0", HEADS, "kv-k")
    assert not rotates("any", "", "q4_0", HEADS, "kv-k")
    for layout in ("fp16", "bf16", "fp8", "int8-token"):
        assert not rotates("llama.cpp", "", layout, HEADS, "kv-k")
    assert not rotates("llama.cpp", "", "q4_0", HEADS, "kv-latent")
    assert not rotates("llama.cpp", "", "q4_0", replace(HEADS, head_dim=96), "kv-k")
