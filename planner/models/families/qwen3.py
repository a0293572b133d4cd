"""Qwen3, dense: grouped-query attention with a norm on each query and key head."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    GroupedQuery,
    read_backbone,
    read_grouped_query,
    refuse_windows,
    spec_of,
)
from planner.models.fields import HARMLESS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("qwen3",)


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a dense Qwen3 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: sliding-window attention.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = fields.boolean("attention_bias", default=False)
    attention = read_grouped_query(fields, size.hidden, biases=biases, head_dim_optional=False)
    width = fields.integer("intermediate_size")
    refuse_windows(fields, switch_default=False)
    fields.finish(HARMLESS)
    layers = size.all_layers
    tensors = [
        *size.ends(storage),
        *normed_attention(storage, attention, size.hidden, layers),
        *rows.layer_norms(storage, size.hidden, layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=size.hidden, width=width),
    ]
    return spec_of(origin, model_type, size, storage, rows=tensors, dense_width=width,
                   attention=[attention.attention(layers)])  # fmt: skip


def normed_attention(
    storage: Storage, attention: GroupedQuery, hidden: int, layers: tuple[int, ...]
) -> list[TensorRow]:
    """Grouped-query projections and the norms over one query head and one key head."""
    return [
        *attention.rows(storage, hidden, layers),
        rows.norm(storage, LAYER + "self_attn.q_norm", attention.head_dim, layers),
        rows.norm(storage, LAYER + "self_attn.k_norm", attention.head_dim, layers),
    ]  # fmt: skip
