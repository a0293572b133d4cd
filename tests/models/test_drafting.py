"""Prediction layers and heads as models of their own: their bytes, their kinds, their shapes."""

import pytest

from planner.base.errors import InputError
from planner.models.catalog import model_ids, resolve_model
from planner.models.drafting import eagle_heads, eagle_spec, head_of, prediction_spec
from planner.models.inventory import Inventory, row_bytes
from planner.placement.modules import AS_RELEASED_KINDS, PLANNED_KINDS, modules

WITH_LAYERS = [name for name in model_ids() if resolve_model(name).mtp_layers]
MODELLED = [name for name in WITH_LAYERS if not name.startswith("deepseek-v4")]


def test_models_with_prediction_layers() -> None:
    assert {
        "deepseek-v3",
        "deepseek-r1",
        "deepseek-v3.2",
        "glm-4.5",
        "glm-5",
        "qwen3.5-27b",
        "qwen3.5-397b-a17b",
    } <= set(WITH_LAYERS)
    assert not {"kimi-k2.5", "glm-4.6", "minimax-m2", "llama-3.1-8b"} & set(WITH_LAYERS)


@pytest.mark.parametrize("name", MODELLED)
def test_no_byte_of_a_prediction_layer_is_lost(name: str) -> None:
    """Against the inventory: the stored bytes of the part, without the copies that are shared."""
    spec = resolve_model(name)
    own = [m for m in modules(prediction_spec(spec)) if m.kind not in ("embedding", "head")]
    expected = sum(row_bytes(row) for row in spec.rows if row.part == "mtp" and row.copy_of is None)
    found = sum(m.stored_bytes * max(1, len(m.layers)) for m in own)
    assert found == expected > 0
    assert {m.kind for m in own} <= {*PLANNED_KINDS, *AS_RELEASED_KINDS}


def test_the_prediction_layer_of_deepseek_is_a_decoder_layer_and_a_projection() -> None:
    spec = resolve_model("deepseek-v3")
    found = {m.kind: m for m in modules(prediction_spec(spec))}
    whole = {m.kind: m for m in modules(spec)}
    for kind in (
        "mla-q",
        "mla-kv",
        "attention-out",
        "experts-gate-up",
        "experts-down",
        "shared-down",
    ):
        assert found[kind].gemms == whole[kind].gemms
        assert found[kind].released_as == "fp8-block"
    assert found["mlp-gate-up"].gemms[0].members == ((7168, 2 * 7168),)
    assert Inventory(spec).parameters_mtp_unique == pytest.approx(11.5e9, rel=0.02)


def test_a_model_without_prediction_layers_has_none() -> None:
    with pytest.raises(InputError, match="no prediction layers"):
        prediction_spec(resolve_model("llama-3.1-8b"))


@pytest.mark.parametrize("head", eagle_heads(), ids=lambda head: head.models[0])
def test_heads_fit_their_models(head: object) -> None:
    for name in head.models:  # type: ignore[attr-defined]
        spec = resolve_model(name)
        assert head_of(spec) is head
        assert eagle_spec(spec, head).hidden_size == spec.hidden_size  # type: ignore[arg-type]


def test_the_bytes_of_a_head_by_hand() -> None:
    """EAGLE-3 of Llama 3.1 8B in BF16: fc, q, k, v of twice the width, o, a gated MLP, the head of
    32,000 tokens, five norms."""
    spec = resolve_model("llama-3.1-8b")
    head = head_of(spec)
    assert head is not None
    h, kv, width = 4096, 1024, 14336
    matrices = 3 * h * h + 2 * h * (h + 2 * kv) + h * h + 3 * h * width + 32_000 * h
    own = [m for m in modules(eagle_spec(spec, head)) if m.kind != "embedding"]
    assert sum(m.stored_bytes for m in own) == 2 * (matrices + 4 * h)
