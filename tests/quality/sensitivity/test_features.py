"""Features of matrices: every kind of every model in the catalogue has some."""

import math
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.models.catalog import model_ids, resolve_model
from planner.quality.sensitivity.features import (
    CLASSES,
    LEVELS,
    MEASURED_KINDS,
    WAVES,
    class_of,
    features,
    kinds_of,
    matrices_of,
    role_of,
    structure_of,
)
from planner.quality.sensitivity.kld_data import kld_models
from planner.quality.sensitivity.prior_settings import RANGES, variances
from planner.quality.sensitivity.records import OUTSIDE, Matrix

STRUCTURES = {m.name: m.structure for m in kld_models()}
SETTINGS = {name: most for name, (_, most) in RANGES.items()}
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
            assert all((v > 0).all() for v in variances(SETTINGS, list(values)))
            assert all(math.isfinite(value) for value in values.values())


@given(layer=st.integers(0, MOE.layers - 1), stem=st.sampled_from(["attn_k", "ffn_down_exps"]))
def test_depth_functions_mirror_at_the_middle(layer: int, stem: str) -> None:
    """Slopes change their sign from one end to the other, curvatures do not."""
    kind = {"attn_k": "attention-qkv", "ffn_down_exps": "experts-down"}[stem]
    here = features(Matrix(stem, kind, layer), MOE)
    there = features(Matrix(stem, kind, MOE.layers - 1 - layer), MOE)
    waves = [name for name in here if name.startswith("depth-")]
    assert len(waves) == len(LEVELS) * WAVES
    for name in waves:
        sign = -1 if int(name.split("@")[1]) % 2 else 1
        assert here[name] == pytest.approx(sign * there[name])
        assert abs(here[name]) <= 1


def test_what_acts_on_every_token_and_routed_experts_are_apart() -> None:
    def path(stem: str, kind: str) -> set[str]:
        found = features(Matrix(stem, kind, 30), MOE)
        return {name.split("@")[0] for name in found if name.startswith("depth-path")}

    always = path("ffn_up_shexp", "shared-gate-up")
    assert always == path("attn_q", "attention-qkv")
    assert not always & path("ffn_up_exps", "experts-gate-up")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("Qwen3-4B-Thinking-2507", ("dense",)),
        ("Qwen3.5-27B", ("dense",)),
        ("Qwen3.5-35B-A3B", ("experts",)),
        ("GLM-4.6", ("experts", "dense layers lead")),
        ("DeepSeek-V3.1-Terminus", ("experts", "dense layers lead")),
    ],
)
def test_kinds_of_networks(name: str, kinds: tuple[str, ...]) -> None:
    assert kinds_of(STRUCTURES[name]) == kinds


def test_the_ends_of_the_stack_are_marked() -> None:
    def ends(layer: int) -> set[str]:
        found = features(Matrix("ffn_down_exps", "experts-down", layer), MOE)
        return {name.split("@")[1] for name in found if name.startswith("end-all:")}

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
