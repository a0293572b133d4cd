"""GPT-2: learned positions, biases everywhere, one head-shared matrix for query, key and value."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.common import Backbone, GroupedQuery, spec_of
from planner.models.fields import HARMLESS, MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec, ShardAxis, StoredAs, TensorRow
from planner.models.storage import Storage, read_storage, stored_type

MODEL_TYPES = ("gpt2",)
_HARMLESS = HARMLESS | {
    "activation_function", "attn_pdrop", "embd_pdrop", "resid_pdrop", "layer_norm_epsilon",
    "n_ctx", "summary_activation", "summary_first_dropout", "summary_proj_to_labels",
    "summary_type", "summary_use_proj", "task_specific_params", "scale_attn_weights",
    "reorder_and_upcast_attn", "scale_attn_by_inverse_layer_idx", "gradient_checkpointing",
}  # fmt: skip
_LAYER = "h.{layer}."


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a GPT-2 configuration; absent sizes are those of GPT-2 124M.

    Raises:
        DataError: a key is malformed or not understood.
    """
    size = Backbone(
        hidden=fields.integer("n_embd", default=768),
        layers=fields.integer("n_layer", high=MAX_LAYERS, default=12),
        vocab=fields.integer("vocab_size", default=50257),
        context=fields.integer("n_positions", high=MAX_CONTEXT, default=1024),
        tied=fields.boolean("tie_word_embeddings", default=True),
    )
    storage = read_storage(fields, default="fp32")
    heads = fields.integer("n_head", high=MAX_EXPERTS, default=12)
    width = fields.integer("n_inner", default=4 * size.hidden)
    if fields.boolean("add_cross_attention", default=False):
        raise fields.error("add_cross_attention", "is true; encoders are not understood")
    for name in ("attention_bias", "mlp_bias"):
        fields.agree(name, True)
    fields.finish(_HARMLESS)
    if size.hidden % heads:
        raise fields.error("n_head", f"is {heads}; it must divide {size.hidden}")
    attention = GroupedQuery(heads, heads, size.hidden // heads, True)
    return spec_of(origin, model_type, size, storage, rows=_rows(storage, size, width),
                   dense_width=width, attention=[attention.attention(size.all_layers)])  # fmt: skip


def _rows(storage: Storage, size: Backbone, width: int) -> list[TensorRow]:
    hidden, layers = size.hidden, size.all_layers
    head = [rows.plain(storage, "lm_head.weight", "head", (size.vocab, hidden), (), fused="head",
                       shard="vocab")]  # fmt: skip
    return [
        rows.plain(storage, "wte.weight", "embedding", (size.vocab, hidden), (),
                   fused="embedding", shard="vocab"),
        rows.plain(storage, "wpe.weight", "embedding", (size.context, hidden), (),
                   fused="positions"),
        *_norm(storage, "ln_f", hidden, ()),
        *_linear(storage, "attn.c_attn", "attention-qkv", (3 * hidden, hidden), layers, "column"),
        *_linear(storage, "attn.c_proj", "attention-out", (hidden, hidden), layers, "row"),
        *_norm(storage, _LAYER + "ln_1", hidden, layers),
        *_norm(storage, _LAYER + "ln_2", hidden, layers),
        *_linear(storage, "mlp.c_fc", "mlp-gate-up", (width, hidden), layers, "column"),
        *_linear(storage, "mlp.c_proj", "mlp-down", (hidden, width), layers, "row"),
        *([] if size.tied else head),
    ]  # fmt: skip


def _linear(
    storage: Storage, name: str, kind: str, shape: tuple[int, int], layers: tuple[int, ...],
    shard: ShardAxis,
) -> list[TensorRow]:  # fmt: skip
    """A matrix that is stored (inputs, outputs), and its bias."""
    row = rows.linear(storage, _LAYER + name, kind, shape, layers, fused=name.replace(".", "-"),
                      shard=shard)  # fmt: skip
    lies = StoredAs(row.name, stored_type(storage.plain).name, (shape[1], shape[0]))
    return rows.with_biases(storage, [replace(row, stored=lies)], True)


def _norm(storage: Storage, name: str, width: int, layers: tuple[int, ...]) -> list[TensorRow]:
    fused = name.removeprefix(_LAYER).replace("_", "-")
    return [
        rows.plain(storage, f"{name}.{part}", "norm", (width,), layers, fused=f"{fused}-{part}")
        for part in ("weight", "bias")
    ]
