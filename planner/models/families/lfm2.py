"""LFM2, dense and with experts: gated short convolutions, grouped-query attention now and then."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    ATTENTION,
    Backbone,
    GroupedQuery,
    layers_of,
    listed_kinds,
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    spec_of,
)
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, GatedMlp, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("lfm2", "lfm2_moe")
_MLP = GatedMlp("feed_forward.", "w1", "w3", "w2", "mlp")
_EXPERT = GatedMlp("feed_forward.experts.{expert}.", "w1", "w3", "w2", "experts")
_KIND = "linear-attention"


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of an LFM2 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size, storage = read_backbone(fields), read_storage(fields)
    tied = fields.boolean("tie_embedding", default=size.tied)
    size = Backbone(size.hidden, size.layers, size.vocab, size.context, tied)
    a = read_grouped_query(fields, size.hidden, biases=False)
    full = _full(fields, size)
    biases = fields.boolean("conv_bias", default=False)
    conv = _conv(fields, size.hidden, a, others(size.all_layers, full), storage)
    experts, corrected = None, False
    width = _width(fields) if model_type == "lfm2" else fields.integer("intermediate_size")
    if model_type == "lfm2_moe":
        dense = fields.integer("num_dense_layers", low=0, high=MAX_LAYERS)
        experts = read_routing(
            fields,
            tuple(n for n in size.all_layers if n >= dense),
            count_key="num_experts",
            width=fields.integer("moe_intermediate_size"),
        )
        corrected = fields.boolean("use_expert_bias", default=True)
    fields.finish()
    hidden, moe = size.hidden, experts.layers if experts is not None else ()
    tensors = [
        *(row for row in size.ends(storage) if row.name != "model.norm.weight"),
        rows.norm(storage, "model.embedding_norm", hidden, ()),
        *_attending(storage, a, hidden, full),
        *_convolving(storage, conv, hidden, biases),
        *(rows.norm(storage, LAYER + name, hidden, size.all_layers)
          for name in ("operator_norm", "ffn_norm")),
        *rows.gated_mlp(storage, _MLP, others(size.all_layers, moe), hidden=hidden, width=width),
        *_routed(storage, experts, hidden, corrected),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   dense_width=width if len(moe) < size.layers else 0,
                   attention=[a.attention(full), conv])  # fmt: skip


def _full(fields: Fields, size: Backbone) -> tuple[int, ...]:
    kinds = listed_kinds(fields, "layer_types", size.layers, ATTENTION)
    listed = fields.integers("full_attn_idxs", low=0, high=size.layers - 1)
    full = layers_of(kinds, "full")
    if kinds and listed and tuple(sorted(listed)) != full:
        raise fields.error("full_attn_idxs", "contradicts layer_types")
    return full if kinds else tuple(sorted(listed)) or size.all_layers


def _width(fields: Fields) -> int:
    """The width of the MLP: two thirds of what is stated, rounded up, where it is adjusted."""
    width = fields.optional_integer("block_ff_dim") or fields.integer("intermediate_size")
    fields.take("intermediate_size")
    factor = fields.take_default("block_ffn_dim_multiplier")
    step = fields.integer("block_multiple_of", default=256)
    if not fields.boolean("block_auto_adjust_ff_dim", default=True):
        return width
    width = int(2 * width / 3)
    if factor is None:
        return width
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < 1024:
        raise fields.error("block_ffn_dim_multiplier", f"is {ascii(factor)[:60]}; a number above 0")
    return -(-int(factor * width) // step) * step


def _conv(
    fields: Fields, hidden: int, a: GroupedQuery, layers: tuple[int, ...], storage: Storage
) -> Attention:
    """A short convolution: it remembers all but one of its inputs, as engines keep them."""
    kernel = fields.integer("conv_L_cache", high=MAX_EXPERTS, low=2)
    heads = a.heads if hidden % a.heads == 0 else 1
    return Attention(
        kind="linear", layers=layers, heads=heads, kv_heads=heads, head_dim=hidden // heads,
        conv_elements=hidden * (kernel - 1), conv_dtype=storage.plain, state_dtype=storage.plain,
        rule="conv")  # fmt: skip


def _attending(
    storage: Storage,
    a: GroupedQuery,
    hidden: int,
    layers: tuple[int, ...],
) -> list[TensorRow]:
    if not layers:
        return []
    prefix = LAYER + "self_attn."
    return [
        *rows.renamed(a.rows(storage, hidden, layers), prefix + "o_proj", prefix + "out_proj"),
        *(rows.norm(storage, f"{prefix}{name}_layernorm", a.head_dim, layers) for name in "qk"),
    ]


def _convolving(storage: Storage, a: Attention, hidden: int, biases: bool) -> list[TensorRow]:
    if not a.layers:
        return []
    prefix = LAYER + "conv."
    kernel = a.conv_elements // hidden + 1
    both = [
        rows.linear(storage, prefix + "in_proj", _KIND, (3 * hidden, hidden), a.layers,
                    fused="linear-in", shard="column"),
        rows.linear(storage, prefix + "out_proj", _KIND, (hidden, hidden), a.layers,
                    fused="linear-out", shard="row"),
    ]  # fmt: skip
    tensors = [*rows.with_biases(storage, both, biases),
             rows.plain(storage, prefix + "conv.weight", _KIND, (hidden, 1, kernel), a.layers,
                        fused="linear-conv", shard="column")]  # fmt: skip
    return (
        [
            *tensors,
            rows.plain(
                storage,
                prefix + "conv.bias",
                _KIND,
                (hidden,),
                a.layers,
                fused="linear-conv-bias",
                shard="column",
            ),
        ]
        if biases
        else tensors
    )


def _routed(storage: Storage, e: Experts | None, hidden: int, corrected: bool) -> list[TensorRow]:
    if e is None or not e.layers:
        return []
    tensors = rows.router(storage, "feed_forward.gate", hidden, e.count, e.layers)
    if corrected:
        tensors.append(
            rows.plain(
                storage,
                LAYER + "feed_forward.expert_bias",
                "router",
                (e.count,),
                e.layers,
                fused="router-bias",
                dtype="fp32",
            )
        )
    return tensors + rows.gated_mlp(storage, _EXPERT, e.layers, hidden=hidden, width=e.width,
                                  experts=e.count)  # fmt: skip
