"""Phi-3 and Phi-4: Llama with query, key and value, and gate and up, each stored as one matrix."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.common import read_backbone, read_grouped_query, spec_of
from planner.models.fields import HARMLESS, MAX_CONTEXT, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import ModelSpec
from planner.models.storage import read_storage

MODEL_TYPES = ("phi3",)
_HARMLESS = HARMLESS | {
    "embd_pdrop", "original_max_position_embeddings", "partial_rotary_factor", "resid_pdrop",
}  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Phi-3 configuration; its window, where one is set, is in every layer.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    if fields.boolean("attention_bias", default=False):
        raise fields.error("attention_bias", "is true; Phi-3 has no biases")
    a = read_grouped_query(fields, size.hidden, biases=False, kv_heads_optional=True)
    width = fields.integer("intermediate_size")
    window = fields.optional_integer("sliding_window", high=MAX_CONTEXT) or 0
    fields.finish(_HARMLESS)
    layers, hidden = size.all_layers, size.hidden
    tensors = [
        *size.ends(storage),
        replace(
            rows.linear(storage, LAYER + "self_attn.qkv_proj", "attention-qkv",
                        ((a.heads + 2 * a.kv_heads) * a.head_dim, hidden), layers, fused="qkv",
                        shard="column"),
            kv_outputs=2 * a.kv_heads * a.head_dim),
        rows.linear(storage, LAYER + "self_attn.o_proj", "attention-out",
                    (hidden, a.heads * a.head_dim), layers, fused="o", shard="row"),
        *rows.layer_norms(storage, hidden, layers),
        rows.linear(storage, LAYER + "mlp.gate_up_proj", "mlp-gate-up", (2 * width, hidden),
                    layers, fused="gate-up", shard="column"),
        rows.linear(storage, LAYER + "mlp.down_proj", "mlp-down", (hidden, width), layers,
                    fused="down", shard="row"),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, dense_width=width,
                   attention=[a.attention(layers, window=window)])  # fmt: skip
