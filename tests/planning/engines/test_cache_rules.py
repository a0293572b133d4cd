"""Which layouts of caches stand together in one server, by version; which caches an engine rotates
before it quantises them, by build, type, width and kind."""

import csv
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import parse_engine
from planner.models.catalog import bundled_model
from planner.placement.cache_entries import cache_units
from planner.planning.engines.cache_rules import (
    AXIS,
    MODES,
    cache_rotations,
    mixing_mode,
    mixing_refusal,
    mixing_word,
    rotates,
    windowed_layers,
)
from planner.planning.engines.rules import DATA, PLAIN

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


def mode(engine: str, model: str, layout: str, device: str = "h100-sxm") -> str:
    return mixing_mode(parse_engine(engine), load_device(device), load_model(model), layout)


def refusal(engine: str, model: str, by_layer: Sequence[str], device: str = "h100-sxm") -> str:
    """What speaks against a layout for each layer."""
    spec = load_model(model)
    caches = [(u.kind, n, by_layer[n]) for u in cache_units(spec) for n in u.layers]
    return str(mixing_refusal(parse_engine(engine), load_device(device), spec, caches))


@pytest.mark.parametrize(
    ("model", "word"),
    [
        ("llama-3.1-8b", "heads"),
        ("mistral-7b-v0.1", "heads"),
        ("gpt-oss-20b", "windowed"),
        ("gemma-3-1b", "windowed"),
        ("qwen3-next-80b-a3b", "states"),
        ("deepseek-v3", "latent-dense"),
        ("deepseek-v3.2", "latent-sparse"),
        ("deepseek-v4-flash", "compressed"),
    ],
)
def test_models_have_one_word_for_how_their_caches_may_differ(model: str, word: str) -> None:
    assert mixing_word(load_model(model)) == word


@pytest.mark.parametrize(
    ("engine", "model", "layout", "expected"),
    [
        ("vllm@0.18", "llama-3.1-8b", "fp8", "one"),
        ("vllm@0.19", "llama-3.1-8b", "fp8", "skip"),
        ("vllm@0.33", "llama-3.1-8b", "nvfp4", "skip"),
        ("vllm@0.25.1", "deepseek-v3", "fp8", "one"),
        ("vllm@0.26", "deepseek-v3", "fp8", "skip"),
        ("vllm@0.26", "deepseek-v3.2", "fp8-ds-mla", "skip"),
        ("vllm@0.24", "gpt-oss-20b", "fp8", "skip"),
        ("vllm@0.24", "gpt-oss-20b", "nvfp4", "one"),
        ("vllm@0.25", "gpt-oss-20b", "fp8", "windows"),
        ("vllm@0.25", "gpt-oss-20b", "nvfp4", "windows"),
        ("vllm@0.33", "qwen3-next-80b-a3b", "fp8", "one"),
        ("vllm@0.33", "deepseek-v4-flash", "fp8-ds-mla", "one"),
        ("sglang", "llama-3.1-8b", "fp8", "one"),
        ("tensorrt-llm", "llama-3.1-8b", "fp8", "one"),
        ("llama.cpp", "llama-3.1-8b", "q8_0", "keys-values"),
        ("pytorch", "llama-3.1-8b", "bf16", "one"),
    ],
)
def test_what_engines_let_stand_together_by_version(
    engine: str, model: str, layout: str, expected: str
) -> None:
    assert mode(engine, model, layout) == expected


def test_every_row_has_a_known_mode() -> None:
    with (DATA / "engine_matrix.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["axis"] == AXIS]
    assert {row["names"].split()[0] for row in rows} == set(MODES)


def test_latents_skip_no_layer_before_the_version_that_reads_the_flag() -> None:
    layers = load_model("deepseek-v3").layers
    mixed = ["bf16", *["fp8"] * (layers - 1)]
    assert "0.26" in refusal("vllm@0.25.1", "deepseek-v3", mixed)
    assert not refusal("vllm@0.26", "deepseek-v3", mixed)


def test_a_layout_by_layer_is_refused_with_what_was_not_merged() -> None:
    mixed = ["fp8", *["nvfp4"] * 31]
    for engine, said in (("vllm", "56116"), ("sglang", "17530"), ("tensorrt-llm", "13695")):
        assert said in refusal(engine, "llama-3.1-8b", mixed, "b200-sxm")
    assert "ik_llama" in refusal("llama.cpp", "llama-3.1-8b", ["q8_0", *["q4_0"] * 31])


@given(data=st.data())
@settings(max_examples=examples(20, 200))
def test_vllm_keeps_one_quantised_layout_beside_plain_windows(data: st.DataObject) -> None:
    """Any layers of whole pasts may stay plain where there are no windows, none where there are."""
    model = data.draw(st.sampled_from(("llama-3.1-8b", "gpt-oss-20b")))
    spec = load_model(model)
    names = data.draw(
        st.lists(st.sampled_from(("bf16", "fp8")), min_size=spec.layers, max_size=spec.layers)
    )
    windows = windowed_layers(spec)
    plain = {n for n, name in enumerate(names) if name in PLAIN}
    served = len(set(names)) < 2 or not windows or plain <= windows
    assert (not refusal("vllm@0.33", model, names)) == served
