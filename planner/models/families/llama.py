"""Llama 2 and 3 and Mistral 7B: grouped-query attention and one gated MLP a layer."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import read_backbone, read_grouped_query, spec_of
from planner.models.fields import HARMLESS, MAX_CONTEXT, Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec
from planner.models.storage import read_storage

MODEL_TYPES = ("llama", "mistral")


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Llama or Mistral configuration; Mistral's window is in every layer.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = fields.boolean("attention_bias", default=False)
    attention = read_grouped_query(fields, size.hidden, biases=biases, kv_heads_optional=True)
    width = fields.integer("intermediate_size")
    mlp_biases = fields.boolean("mlp_bias", default=False)
    window = 0
    if model_type == "mistral":
        window = fields.optional_integer("sliding_window", high=MAX_CONTEXT) or 0
    fields.finish(HARMLESS)
    layers = size.all_layers
    tensors = [
        *size.ends(storage),
        *attention.rows(storage, size.hidden, layers),
        *rows.layer_norms(storage, size.hidden, layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=size.hidden, width=width,
                        biases=mlp_biases),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, dense_width=width,
                   attention=[attention.attention(layers, window=window)])  # fmt: skip
