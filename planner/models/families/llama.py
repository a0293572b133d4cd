"""Llama 2 and 3: grouped-query attention and one gated MLP a layer."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import read_backbone, read_grouped_query
from planner.models.fields import HARMLESS, Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec
from planner.models.storage import read_storage

MODEL_TYPES = ("llama",)


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Llama configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = fields.boolean("attention_bias", default=False)
    attention = read_grouped_query(fields, size.hidden, biases=biases, kv_heads_optional=True)
    width = fields.integer("intermediate_size")
    mlp_biases = fields.boolean("mlp_bias", default=False)
    fields.finish(HARMLESS)
    layers = size.all_layers
    tensors = [
        *rows.ends(storage, hidden=size.hidden, vocab=size.vocab, tied=size.tied),
        *rows.gqa(
            storage, layers, hidden=size.hidden, heads=attention.heads,
            kv_heads=attention.kv_heads, head_dim=attention.head_dim, biases=attention.biases,
        ),
        *rows.layer_norms(storage, size.hidden, layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=size.hidden, width=width,
                        biases=mlp_biases),
    ]  # fmt: skip
    return ModelSpec(
        id=origin.id, public_name=origin.public_name, model_type=model_type, layers=size.layers,
        hidden_size=size.hidden, vocab_size=size.vocab, max_context=size.context,
        tied_embeddings=size.tied, attention=(attention.attention(layers),), experts=None,
        dense_width=width, mtp_layers=0, quantization=storage.quantization,
        source=origin.source, source_kind=origin.source_kind,
        config_sha256=origin.config_sha256, rows=tuple(tensors),
    )  # fmt: skip
