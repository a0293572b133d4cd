"""Types of tensors against llama.cpp's own snapshots, and against what llama-quantize wrote."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from planner.base.errors import UnsupportedError
from planner.planning.engines.gguf_types import (
    GgufTraits,
    TypedTensor,
    _holds,
    _Place,
    asks_for_imatrix,
    more_bits,
    quantised_types,
    tensor_rules,
    type_for_width,
)
from planner.planning.engines.mixes import engine_mixes

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "gguf_types.json").read_text(encoding="utf-8")
)


def ranged(text: str) -> list[int]:
    """``0-2, 5`` → 0, 1, 2, 5; -1 of an empty text."""
    if not text:
        return [-1]
    ends = [part.partition("-") for part in text.split(", ")]
    return [n for a, dash, b in ends for n in range(int(a), int(b if dash else a) + 1)]


def whole(stem: str, layer: int) -> str:
    return stem if layer < 0 else f"blk.{layer}.{stem}"


@pytest.mark.parametrize("name", list(RECORDED["snapshots"]))
def test_every_tensor_of_a_snapshot_has_its_type(name: str) -> None:
    model = RECORDED["snapshots"][name]
    tensors = [
        TypedTensor(whole(stem, layer), columns, bool(stacked))
        for stem, (columns, stacked, layers) in model["tensors"].items()
        for layer in ranged(layers)
    ]
    traits = GgufTraits(
        model["layers"], model["heads"] // model["kv_heads"], model["experts"], model["70b"]
    )
    assert set(model["mixes"]) == set(engine_mixes()) - {"Q1_0", "Q2_0"}
    for mix, changed in model["mixes"].items():
        base = engine_mixes()[mix].base
        wanted = {tensor.name: base for tensor in tensors}
        wanted |= {
            whole(stem, layer): kind
            for stem, kinds in changed.items()
            for kind, layers in kinds.items()
            for layer in ranged(layers)
        }
        found = quantised_types(mix, base, tensors, traits)
        assert {name: one.type for name, one in found.items()} == wanted, mix


def random_tensors(
    arch: str,
    layers: int,
    heads: int,
    kv_heads: int,
    hidden: int,
    width: int,
    experts: int,
    *,
    tied: bool,
) -> list[TypedTensor]:
    """The tensors of the models that were written: heads of 32, experts stacked, phi's joined."""
    found = [TypedTensor("token_embd.weight", hidden)]
    found += [] if tied else [TypedTensor("output.weight", hidden)]
    for layer in range(layers):
        joined = arch == "phi3"
        rows = (
            {"attn_qkv": hidden}
            if joined
            else dict.fromkeys(("attn_q", "attn_k", "attn_v"), hidden)
        )
        end = "_exps" if experts else ""
        rows |= {"attn_output": heads * 32, f"ffn_up{end}": hidden, f"ffn_down{end}": width}
        rows |= {} if joined else {f"ffn_gate{end}": hidden}
        if experts == 3:
            rows |= {"ffn_gate_shexp": hidden, "ffn_up_shexp": hidden, "ffn_down_shexp": width}
        found += [
            TypedTensor(f"blk.{layer}.{stem}.weight", columns, "_exps" in stem)
            for stem, columns in rows.items()
        ]
    return found


@pytest.mark.parametrize("case", RECORDED["written"], ids=lambda c: "-".join(map(str, c[:-1])))
def test_what_llama_quantize_wrote(case: list[Any]) -> None:
    """Every mixture on models with and without experts, odd widths and importance matrices."""
    arch, layers, heads, kv_heads, hidden, width, experts, tied, imatrix, digest = case
    tensors = random_tensors(arch, layers, heads, kv_heads, hidden, width, experts, tied=tied)
    large = layers == 80 and (arch == "qwen2" or (arch == "llama" and heads != kv_heads))
    traits = GgufTraits(layers, heads // kv_heads, experts, large, imatrix)
    lines = []
    for mix, one in engine_mixes().items():
        try:
            found = quantised_types(mix, one.base, tensors, traits)
        except UnsupportedError:
            lines.append(f"{mix} refused")
            continue
        lines += [f"{mix} {name} {found[name].type}" for name in sorted(found)]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


def test_a_type_that_does_not_fit_says_what_it_stands_in_for() -> None:
    assert type_for_width("q4_k", TypedTensor("x", 576)).type == "q5_0"
    assert type_for_width("q4_k", TypedTensor("x", 576)).instead_of == "q4_k"
    assert not type_for_width("q4_k", TypedTensor("x", 512)).instead_of
    assert type_for_width("q6_k", TypedTensor("x", 80)).type == "f16"
    with pytest.raises(UnsupportedError, match="q1_0"):
        type_for_width("q1_0", TypedTensor("x", 96))


def test_more_bits_are_both_ends_and_every_third_layer() -> None:
    assert [n for n in range(32) if more_bits(n, 32)] == [
        0,
        1,
        2,
        3,
        6,
        9,
        12,
        15,
        18,
        21,
        24,
        27,
        28,
        29,
        30,
        31,
    ]


def test_what_needs_an_importance_matrix() -> None:
    assert asks_for_imatrix("iq2_xs", "IQ2_XS")
    assert asks_for_imatrix("q2_k", "Q2_K_S")
    assert not asks_for_imatrix("q2_k", "Q2_K")
    assert not asks_for_imatrix("q4_k", "Q4_K_M")


def test_rules_name_mixes_that_exist() -> None:
    for rule in tensor_rules():
        assert set(rule.mixes) - {"*"} <= set(engine_mixes())
        assert rule.source.title


@pytest.mark.parametrize(
    ("name", "experts", "more"),
    [("attn_v", 0, True), ("attn_v", 8, True), ("ffn_down", 0, True), ("ffn_down", 8, False)],
)
def test_tensors_are_counted_but_those_of_models_with_experts_are_told_by_layer(
    name: str, experts: int, more: bool
) -> None:
    """The first of its kind, in layer 8 of 16: counted it is in the first eighth, by layer not."""
    place = _Place(TypedTensor(f"blk.8.{name}.weight", 4096), counted=0, total=16, layer=8)
    assert _holds("more-bits", place, "q4_k", GgufTraits(16, 4, experts)) == more
