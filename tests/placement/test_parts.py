"""Matrices of a module apart: nothing is lost, and names are those of GGUF tensors."""

import pytest

from planner.models.catalog import bundled_model
from planner.models.inventory import row_bytes
from planner.placement.modules import modules
from planner.placement.parts import modules_apart, part_of_stem, parts_of, stored_apart


@pytest.mark.parametrize(
    "model",
    [
        "smollm2-135m",
        "llama-3.1-8b",
        "gpt-oss-20b",
        "deepseek-v3",
        "qwen3-next-80b-a3b",
        "gemma-4-26b-a4b",
        "phi-4",
        "qwen2.5-0.5b",
        "mixtral-8x7b",
    ],
)
def test_parts_add_up_to_their_modules(model: str) -> None:
    spec = bundled_model(model)
    for kind in {m.kind for m in modules(spec)}:
        whole = [m for m in modules(spec) if m.kind == kind]
        apart = [m for m in modules_apart(spec) if m.kind == kind]
        assert sum(m.stored_bytes * max(1, len(m.layers)) for m in whole) == sum(
            m.stored_bytes * max(1, len(m.layers)) for m in apart
        )
        assert {n for m in whole for n in m.layers} == {n for m in apart for n in m.layers}
    assert sum(m.stored_bytes * max(1, len(m.layers)) for m in modules_apart(spec)) == sum(
        row_bytes(row) * max(1, len(row.layers))
        for row in spec.rows
        if row.part in ("main", "lookup") and row.copy_of is None
    )


def test_queries_keys_and_values_gate_and_up_are_parts() -> None:
    found = parts_of(bundled_model("llama-3.1-8b"))
    assert found["attention-qkv", 0] == ("q", "k", "v")
    assert found["mlp-gate-up", 31] == ("gate", "up")
    assert ("mlp-down", 0) not in found
    assert parts_of(bundled_model("mixtral-8x7b"))["experts-gate-up", 3] == ("gate", "up")
    assert not any(kind == "attention-qkv" for kind, _ in parts_of(bundled_model("phi-4")))


def test_parts_are_named_after_gguf_tensors() -> None:
    assert part_of_stem("attn_q") == "q"
    assert part_of_stem("ffn_gate_exps") == "gate"
    assert part_of_stem("ffn_up_shexp") == "up"
    assert not part_of_stem("token_embd")


def test_what_a_release_stores_in_one_scheme_is_not_apart() -> None:
    assert not stored_apart(bundled_model("deepseek-v3"))
    assert not stored_apart(bundled_model("llama-3.1-8b"))
