"""Phi-1, Phi-1.5 and Phi-2: attention and an ungated MLP beside each other, biases everywhere."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    Backbone,
    GroupedQuery,
    read_backbone,
    read_grouped_query,
    spec_of,
)
from planner.models.fields import Fields
from planner.models.rows import EMBEDDING, LAYER, Provenance
from planner.models.spec import ModelSpec, ShardAxis, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("phi",)


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Phi-1 or Phi-2 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    a = read_grouped_query(fields, size.hidden, biases=True, kv_heads_optional=True)
    width = fields.integer("intermediate_size")
    normed = fields.boolean("qk_layernorm", default=False)
    for name in ("attention_bias", "mlp_bias"):
        fields.agree(name, True)
    fields.finish()
    tensors = [*_ends(storage, size), *_layers(storage, size, a, width)]
    if normed:
        tensors += [
            row
            for name in ("q_layernorm", "k_layernorm")
            for row in _norm(storage, LAYER + "self_attn." + name, a.head_dim, size.all_layers)
        ]
    return spec_of(origin, model_type, size, storage, rows=tensors, dense_width=width,
                   attention=[a.attention(size.all_layers)])  # fmt: skip


def _ends(storage: Storage, size: Backbone) -> list[TensorRow]:
    """Embedding, final norm, head and its bias, which is there even where the head is tied."""
    head = rows.plain(storage, "lm_head.weight", "head", (size.vocab, size.hidden), (),
                      fused="head", shard="vocab")  # fmt: skip
    return [
        rows.plain(storage, EMBEDDING, "embedding", (size.vocab, size.hidden), (),
                   fused="embedding", shard="vocab"),
        *_norm(storage, "model.final_layernorm", size.hidden, ()),
        *([] if size.tied else [head]),
        rows.bias(storage, head, shard="vocab"),
    ]  # fmt: skip


def _layers(storage: Storage, size: Backbone, a: GroupedQuery, width: int) -> list[TensorRow]:
    hidden, layers = size.hidden, size.all_layers
    inner = a.heads * a.head_dim
    parts: tuple[tuple[str, str, tuple[int, int], str, ShardAxis], ...] = (
        ("self_attn.dense", "attention-out", (hidden, inner), "o", "row"),
        ("mlp.fc1", "mlp-gate-up", (width, hidden), "fc1", "column"),
        ("mlp.fc2", "mlp-down", (hidden, width), "fc2", "row"),
    )
    rest = [rows.linear(storage, LAYER + name, kind, shape, layers, fused=fused, shard=shard)
            for name, kind, shape, fused, shard in parts]  # fmt: skip
    qkv = [row for row in a.rows(storage, hidden, layers) if row.kind == "attention-qkv"]
    return [*qkv, *rows.with_biases(storage, rest, True),
            *_norm(storage, LAYER + "input_layernorm", hidden, layers)]  # fmt: skip


def _norm(storage: Storage, name: str, width: int, layers: tuple[int, ...]) -> list[TensorRow]:
    fused = name.removeprefix(LAYER).removeprefix("model.").replace(".", "-").replace("_", "-")
    return [rows.plain(storage, f"{name}.{part}", "norm", (width,), layers,
                       fused=f"{fused}-{part}") for part in ("weight", "bias")]  # fmt: skip
