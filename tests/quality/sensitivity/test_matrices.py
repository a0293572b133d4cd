"""What a configuration is matched by, and the matrices of models without names in llama.cpp."""

from __future__ import annotations

from collections import Counter

import pytest

from planner.models.catalog import resolve_model
from planner.quality.sensitivity.features import MEASURED_KINDS, matrices_of, structure_of
from planner.quality.sensitivity.records import OUTSIDE

STEMS = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}


def test_a_dense_width_counts_where_a_layer_is_dense_alone() -> None:
    """Gemma 4 26B has a dense MLP beside the experts of every layer: no layer is dense alone."""
    mixed, dense = structure_of(resolve_model("gemma-4-26b-a4b")), resolve_model("deepseek-v3")
    assert (mixed.dense_width, mixed.dense_layers) == (0, 0)
    assert (structure_of(dense).dense_width, structure_of(dense).dense_layers) == (18432, 3)


def test_a_dense_model_without_names_has_seven_matrices_a_layer() -> None:
    found = Counter((m.layer, m.stem) for m in matrices_of(resolve_model("mimo-7b")))
    assert set(found.values()) == {1}
    assert set(found) == {(n, stem) for n in range(36) for stem in STEMS} | {
        (OUTSIDE, "token_embd"),
        (OUTSIDE, "output"),
    }


@pytest.mark.parametrize("model", ["mimo-7b", "minimax-m3"])
def test_only_measured_kinds_of_the_main_model_count(model: str) -> None:
    spec = resolve_model(model)
    main = {row.kind for row in spec.rows if row.part == "main" and row.is_matrix}
    assert {m.kind for m in matrices_of(spec)} == main & MEASURED_KINDS
