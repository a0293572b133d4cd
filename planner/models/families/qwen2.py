"""Qwen2 and Qwen2.5, dense: Llama with biases on query, key and value."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    read_backbone,
    read_grouped_query,
    refuse_windows,
    spec_of,
)
from planner.models.fields import HARMLESS, Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec
from planner.models.storage import read_storage

MODEL_TYPES = ("qwen2",)


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Qwen2 or Qwen2.5 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: sliding-window attention.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    attention = read_grouped_query(fields, size.hidden, biases=True)
    width = fields.integer("intermediate_size")
    refuse_windows(fields, switch_default=False)
    fields.finish(HARMLESS | {"use_mrope"})
    layers = size.all_layers
    tensors = [
        *size.ends(storage),
        *attention.rows(storage, size.hidden, layers, out_bias=False),
        *rows.layer_norms(storage, size.hidden, layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=size.hidden, width=width),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, dense_width=width,
                   attention=[attention.attention(layers)])  # fmt: skip
