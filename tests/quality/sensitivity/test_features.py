"""Features of matrices: every kind of every model in the catalogue has some."""

import math
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.models.catalog import model_ids, resolve_model
from planner.quality.sensitivity.features import (
    CLASSES,
    MEASURED_KINDS,
    class_of,
    features,
    matrices_of,
    role_of,
    structure_of,
)
from planner.quality.sensitivity.kld_data import kld_models
from planner.quality.sensitivity.prior_fit import VARIANCES
from planner.quality.sensitivity.records import OUTSIDE, Matrix

STRUCTURES = {m.name: m.structure for m in kld_models()}
MOE, DENSE = STRUCTURES["GLM-4.6"], STRUCTURES["Qwen3-4B-Thinking-2507"]


@pytest.mark.sample(16)
@pytest.mark.parametrize("model_id", model_ids())
def test_every_kind_of_every_model_has_features(model_id: str) -> None:
    spec = resolve_model(model_id)
    structure = structure_of(spec)
    layers: dict[tuple[str, str], list[Matrix]] = defaultdict(list)
    for matrix in matrices_of(spec):
        layers[matrix.kind, matrix.stem].append(matrix)
    measured = {
        row.kind for row in spec.rows if row.part == "main" and row.is_matrix
    } & MEASURED_KINDS
    assert measured <= {kind for kind, _ in layers}
    for found in layers.values():
        for matrix in (found[0], found[len(found) // 2], found[-1]):
            values = features(matrix, structure)
            assert class_of(matrix) in CLASSES
            assert {name.split(":")[0] for name in values} <= VARIANCES.keys()
            assert all(math.isfinite(value) for value in values.values())


@given(layer=st.integers(0, MOE.layers - 1), stem=st.sampled_from(["attn_k", "ffn_down_exps"]))
def test_depth_functions_sum_to_one(layer: int, stem: str) -> None:
    kind = {"attn_k": "attention-qkv", "ffn_down_exps": "experts-down"}[stem]
    found = features(Matrix(stem, kind, layer), MOE)
    for level in range(4):
        hats = [v for name, v in found.items() if name.startswith(f"depth{level}:")]
        assert sum(hats) == pytest.approx(1.0)
        assert min(hats) >= 0


def test_the_ends_of_the_stack_are_marked() -> None:
    def ends(layer: int) -> set[str]:
        found = features(Matrix("ffn_down_exps", "experts-down", layer), MOE)
        return {name.split("@")[1] for name in found if name.startswith("end0:")}

    last = MOE.layers - 1
    assert [ends(n) for n in (0, 1, 2, 3, 50, last - 1, last)] == [
        {"first"},
        {"second"},
        set(),
        {"first with experts"},
        set(),
        {"last but one"},
        {"last"},
    ]


def test_head_and_embedding_stand_outside_the_stack() -> None:
    head = features(Matrix("output", "head", OUTSIDE), MOE)
    assert head == {"outside:head": 1.0}
    embedding = Matrix("token_embd", "embedding", OUTSIDE)
    assert features(embedding, MOE) == {"outside:embedding": 1.0}
    assert features(embedding, DENSE) == {"outside:embedding": 1.0, "outside:tied": 1.0}


def test_roles_are_the_same_in_different_networks() -> None:
    roles = {
        role_of(Matrix(f"ffn_down{ending}", kind, 5))
        for ending, kind in (("", "mlp-down"), ("_exps", "experts-down"), ("_shexp", "shared-down"))
    }
    assert roles == {"down"}
    assert role_of(Matrix("attn_output", "attention-out", 5)) == "out"
    assert role_of(Matrix("ssm_out", "linear-attention", 5)) == "out"
    assert role_of(Matrix("attn_kv_a_mqa", "mla-kv", 5)) == "latent"


def test_latent_attention_keeps_its_output_projection() -> None:
    latent = STRUCTURES["DeepSeek-V3.1-Terminus"]
    out = Matrix("attn_output", "attention-out", 30)
    assert "class:latent attention" in features(out, latent)
    assert "class:attention" in features(out, MOE)
