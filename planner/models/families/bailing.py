"""Ling: Ling-2 (grouped-query attention in one matrix) and the hybrid that follows it; Sarvam-30B,
which is Ling-2 with other defaults.

The hybrid has Kimi delta attention at full rank and latent attention whose heads are gated.
"""

from __future__ import annotations

from dataclasses import replace

from planner.messages.message import message
from planner.models import rows
from planner.models.families.common import (
    ATTENTION,
    Backbone,
    GroupedQuery,
    layers_of,
    listed_kinds,
    others,
    read_grouped_query,
    spec_of,
)
from planner.models.families.delta import kda, kda_rows
from planner.models.families.kimi_linear import read_experts, read_latent, read_sizes
from planner.models.families.latent import latent_rows
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("bailing_hybrid", "bailing_moe", "sarvam_moe")


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Ling configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size, storage = read_sizes(fields), read_storage(fields)
    if model_type == "sarvam_moe":
        for usual, own in (("num_nextn_predict_layers", "num_mtp_layers"),
                           ("num_experts", "n_routed_experts"),
                           ("use_qkv_bias", "attention_bias")):  # fmt: skip
            fields.alias(usual, own)
    mtp = fields.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0)
    experts = read_experts(fields, size)
    shared = fields.optional_integer("moe_shared_expert_intermediate_size")
    if shared is not None and experts.shared:
        experts = replace(experts, shared_width=shared * experts.shared)
    hybrid = model_type == "bailing_hybrid"
    mixers, attention = (_hybrid if hybrid else _grouped)(fields, size, storage)
    corrected = fields.boolean("moe_router_enable_expert_bias", default=model_type != "bailing_moe")
    width = fields.integer("intermediate_size")
    fields.finish()
    hidden, dense = size.hidden, others(size.all_layers, experts.layers)
    tensors = [
        *mixers,
        *rows.layer_norms(storage, hidden, size.all_layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, dense, hidden=hidden, width=width),
        *_routed(storage, experts, hidden, corrected=corrected),
    ]  # fmt: skip
    tensor_rows = [
        *rows.renamed(size.ends(storage), "model.embed_tokens", "model.word_embeddings"),
        *rows.renamed(tensors, LAYER + "self_attn.", LAYER + "attention."),
    ]
    counted = mtp if hybrid else 0
    tensor_rows += _prediction(storage, attention[0], experts, size, counted, corrected=corrected)
    said = message("assumptions.prediction_layers_num_nextn_predict", mtp=mtp)
    left = (said,) if mtp > counted else ()
    return spec_of(origin, model_type, size, storage, rows=tensor_rows, experts=experts,
                   dense_width=width if dense else 0, attention=attention,
                   not_counted=left, mtp_layers=counted)  # fmt: skip


def _grouped(
    fields: Fields,
    size: Backbone,
    storage: Storage,
) -> tuple[list[TensorRow], list[Attention]]:
    """Attention whose queries, keys and values are one matrix."""
    biases = fields.boolean("use_bias", default=False)
    joined = biases or fields.boolean("use_qkv_bias", default=False)
    a: GroupedQuery = read_grouped_query(fields, size.hidden, biases=biases)
    layers, prefix = size.all_layers, LAYER + "self_attn."
    keys = 2 * a.kv_heads * a.head_dim
    matrix = replace(rows.linear(
        storage, prefix + "query_key_value", "attention-qkv",
        (a.heads * a.head_dim + keys, size.hidden), layers, fused="qkv", shard="column"),
        kv_outputs=keys)  # fmt: skip
    out = rows.linear(
        storage,
        prefix + "dense",
        "attention-out",
        (size.hidden, a.heads * a.head_dim),
        layers,
        fused="o",
        shard="row",
    )
    normed = fields.boolean("use_qk_norm", default=False)
    return [
        *rows.with_biases(storage, [matrix], joined),
        *rows.with_biases(storage, [out], biases),
        *(
            rows.norm(storage, f"{prefix}{name}_layernorm", a.head_dim, layers)
            for name in ("query", "key")
            if normed
        ),
    ], [a.attention(layers)]


def _hybrid(
    fields: Fields,
    size: Backbone,
    storage: Storage,
) -> tuple[list[TensorRow], list[Attention]]:
    """Every ``layer_group_size``-th layer is latent attention, the others delta attention."""
    if fields.boolean("attention_bias", default=False):
        raise fields.error("attention_bias", "is true, which is not understood")
    kinds = listed_kinds(fields, "layer_types", size.layers, ATTENTION)
    every = fields.integer("layer_group_size", high=MAX_LAYERS)
    full = (
        layers_of(kinds, "full")
        if kinds
        else tuple(n for n in size.all_layers if (n + 1) % every == 0)
    )
    latent = read_latent(fields, full)
    heads = fields.integer("linear_num_heads", high=MAX_EXPERTS, default=latent.heads)
    dim = fields.integer("linear_head_dim", default=128)
    kernel = fields.integer(
        "linear_conv_kernel_dim",
        high=MAX_EXPERTS,
        default=fields.integer("short_conv_kernel_size", default=4),
    )
    delta = kda(others(size.all_layers, full), storage, heads=heads, dim=dim, kernel=kernel)
    return [
        *_latent_mixer(storage, latent, size.hidden, full),
        *kda_rows(
            storage, delta, size.hidden, full_gate=True, full_decay=True, decay_shape=(heads,)
        ),
    ], [latent, delta]


def _prediction(
    storage: Storage, latent: Attention, e: Experts, size: Backbone, count: int, *, corrected: bool
) -> list[TensorRow]:
    """Prediction layers of a hybrid: latent attention and experts, the head and the embedding
    those of the model (vLLM 0.32, bailing_moe_v3_mtp)."""
    layers, hidden = tuple(range(size.layers, size.layers + count)), size.hidden
    if not layers:
        return []
    tensors = [
        *(rows.norm(storage, LAYER + name, hidden, layers)
          for name in ("enorm", "hnorm", "final_layernorm")),
        rows.plain(storage, LAYER + "eh_proj.weight", "mtp", (hidden, 2 * hidden), layers,
                   fused="eh-proj"),
        *_latent_mixer(storage, latent, hidden, layers),
        *rows.layer_norms(storage, hidden, layers),
        *_routed(storage, replace(e, layers=layers), hidden, corrected=corrected),
    ]  # fmt: skip
    return rows.part_of(rows.renamed(tensors, LAYER + "self_attn.", LAYER + "attention."), "mtp")


def _latent_mixer(
    storage: Storage,
    latent: Attention,
    hidden: int,
    layers: tuple[int, ...],
) -> list[TensorRow]:
    """Latent attention, with a gate a head before the output."""
    if not layers:
        return []
    gate = rows.linear(storage, LAYER + "self_attn.g_proj", "mla-q", (latent.heads, hidden),
                       layers, fused="o-gate", shard="column")  # fmt: skip
    return [
        *rows.renamed(
            latent_rows(storage, latent, hidden, layers),
            LAYER + "self_attn.o_proj",
            LAYER + "self_attn.dense",
        ),
        gate,
    ]


def _routed(storage: Storage, e: Experts, hidden: int, *, corrected: bool) -> list[TensorRow]:
    if not e.layers:
        return []
    tensors = rows.router(storage, "mlp.gate", hidden, e.count, e.layers)
    if corrected:
        tensors.append(
            rows.plain(
                storage,
                LAYER + "mlp.gate.expert_bias",
                "router",
                (e.count,),
                e.layers,
                fused="router-bias",
                dtype="fp32",
            )
        )
    tensors += rows.gated_mlp(
        storage, rows.EXPERT_MLP, e.layers, hidden=hidden, width=e.width, experts=e.count
    )
    return tensors + (rows.gated_mlp(storage, rows.SHARED_MLP, e.layers, hidden=hidden,
                                   width=e.shared_width) if e.shared else [])  # fmt: skip
