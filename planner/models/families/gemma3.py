"""Gemma 3, text: five windowed layers to one full, norms before and after both halves."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    full_layers,
    others,
    read_backbone,
    read_grouped_query,
    spec_of,
)
from planner.models.fields import HARMLESS, MAX_CONTEXT, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("gemma3_text",)
_HARMLESS = HARMLESS | {
    "attn_logit_softcapping", "cache_implementation", "final_logit_softcapping",
    "hidden_activation", "query_pre_attn_scalar", "rope_local_base_freq",
    "use_bidirectional_attention",
}  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Gemma 3 text configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = fields.boolean("attention_bias", default=False)
    a = read_grouped_query(fields, size.hidden, biases=biases, head_dim_optional=False)
    fields.alias("sliding_window_pattern", "_sliding_window_pattern")
    every = fields.integer("sliding_window_pattern", low=1, high=MAX_LAYERS, default=6)
    full = full_layers(fields, size.layers, other="sliding_attention", every=every)
    window = fields.integer("sliding_window", high=MAX_CONTEXT)
    width = fields.integer("intermediate_size")
    fields.finish(_HARMLESS)
    layers, hidden = size.all_layers, size.hidden
    tensors = [
        *size.ends(storage),
        *a.rows(storage, hidden, layers),
        rows.norm(storage, LAYER + "self_attn.q_norm", a.head_dim, layers),
        rows.norm(storage, LAYER + "self_attn.k_norm", a.head_dim, layers),
        *sandwich_norms(storage, hidden, layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=hidden, width=width),
    ]  # fmt: skip
    return spec_of(
        origin, model_type, size, storage, rows=tensors, dense_width=width,
        attention=[a.attention(full), a.attention(others(layers, full), window=window)],
    )  # fmt: skip


def sandwich_norms(storage: Storage, hidden: int, layers: tuple[int, ...]) -> list[TensorRow]:
    """Norms before and after attention and before and after the MLP."""
    return [
        *rows.layer_norms(storage, hidden, layers),
        rows.norm(storage, LAYER + "pre_feedforward_layernorm", hidden, layers),
        rows.norm(storage, LAYER + "post_feedforward_layernorm", hidden, layers),
    ]
