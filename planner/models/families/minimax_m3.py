"""MiniMax-M3: grouped-query attention to blocks that an index selects, routed and shared experts.

The first layers attend to everything and have a dense MLP. In the others an index of a few heads
scores the past by one key a token; every query attends to the best blocks and the latest.

Its vision encoder takes patches of two frames: a CLIP-like stack, two projections.
"""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families import vision
from planner.models.families.common import (
    MLP,
    Backbone,
    GroupedQuery,
    flagged,
    layers_of,
    listed_kinds,
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    spec_of,
    text_of,
)
from planner.models.families.towers import Tower
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, GatedMlp, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("minimax_m3", "minimax_m3_vl", "minimax_m3_vl_text")
_SHARED = GatedMlp("block_sparse_moe.shared_experts.", "gate_proj", "up_proj", "down_proj",
                   "shared")  # fmt: skip
_KINDS = {"full_attention": "full", "minimax_m3_sparse": "sparse"}
NO_PREDICTION = "prediction modules (num_mtp_modules): releases of one model name 1 and 7 of them"


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a MiniMax-M3 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    nested = model_type == "minimax_m3_vl"
    text, seeing = _text(fields) if nested else (fields, None)
    size = read_backbone(text)
    storage = read_storage(text)
    a = read_grouped_query(text, size.hidden, biases=False)
    groups = _attention(text, size, a)
    experts = _experts(text, size)
    width = text.integer("dense_intermediate_size")
    predicts = _modules(text)
    text.finish()
    hidden, dense = size.hidden, others(size.all_layers, experts.layers)
    tensors = [
        *size.ends(storage),
        *a.rows(storage, hidden, size.all_layers),
        *(rows.norm(storage, f"{LAYER}self_attn.{name}_norm", a.head_dim, size.all_layers)
          for name in ("q", "k")),
        *_index(storage, groups[1], hidden),
        *rows.layer_norms(storage, hidden, size.all_layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, dense, hidden=hidden, width=width),
        *_routed(storage, experts, hidden),
    ]  # fmt: skip
    left: tuple[str, ...] = (NO_PREDICTION,) if predicts else ()
    if nested:
        tensors = rows.renamed(tensors, "", "language_model.")
        if seeing is None:
            left += (vision.NO_VISION,)
        else:
            projector = fields.integer("projector_hidden_size", default=hidden)
            tensors += read_vision(seeing, storage, hidden, projector=projector)
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   dense_width=width if dense else 0, attention=groups,
                   not_counted=left)  # fmt: skip


def _text(fields: Fields) -> tuple[Fields, Fields | None]:
    for key in ("projector_hidden_size", "img_token_compression_config"):
        fields.take(key)
    types = ("minimax_m3_vl_text", "minimax_m3")
    return text_of(fields, types, unnamed="minimax_m3_vl_text")


def _modules(fields: Fields) -> bool:
    counts = [
        fields.integer(name, low=0, high=MAX_LAYERS, default=0)
        for name in ("num_mtp_modules", "num_nextn_predict_layers")
    ]
    return any(counts)


def _attention(fields: Fields, size: Backbone, a: GroupedQuery) -> list[Attention]:
    """The layers that attend to everything, and those that an index selects for."""
    if fields.boolean("attention_output_gate", default=False):
        raise fields.error("attention_output_gate", "is true, which is not understood")
    if not fields.boolean("use_qk_norm", default=True):
        raise fields.error("use_qk_norm", "is false, which is not understood")
    fields.choice("qk_norm_type", ("per_head",), default="per_head")
    kinds = listed_kinds(fields, "layer_types", size.layers, _KINDS)
    sparse = layers_of(kinds, "sparse")
    index = fields.nested("sparse_attention_config")
    heads, dim, block, chosen = (
        fields.optional_integer(name, high=MAX_CONTEXT)
        for name in ("index_n_heads", "index_head_dim", "index_block_size", "index_topk_blocks")
    )
    if index is not None:
        sparse = flagged(index, "sparse_attention_freq", size.layers) or sparse
        heads = index.integer("sparse_num_index_heads", high=MAX_EXPERTS)
        dim, block = index.integer("sparse_index_dim"), index.integer("sparse_block_size")
        chosen = index.integer("sparse_topk_blocks", high=MAX_CONTEXT)
        if not index.boolean("use_sparse_attention", default=True):
            sparse = ()
        _check_values(index, sparse, size.layers)
        index.finish({"sparse_init_block", "sparse_local_block", "sparse_score_type"})
    fields.take("index_local_blocks")
    if sparse and not (heads and dim and block and chosen):
        raise fields.error("sparse_attention_config", "is missing: it says how blocks are chosen")
    own = replace(a.attention(sparse), indexer_heads=heads or 0, indexer_dim=dim or 0,
                  indexer_topk=(block or 0) * (chosen or 0))  # fmt: skip
    return [a.attention(others(size.all_layers, sparse)), own]


def _check_values(index: Fields, sparse: tuple[int, ...], layers: int) -> None:
    """Refuse an index that has values of its own: they would be cached too."""
    without = flagged(index, "sparse_disable_index_value", layers)
    if without is not None and set(sparse) - set(without):
        raise index.error("sparse_disable_index_value", "is 0 in a sparse layer: values of the "
                          "index are not understood")  # fmt: skip


def _experts(fields: Fields, size: Backbone) -> Experts:
    moe = layers_of(listed_kinds(fields, "mlp_layer_types", size.layers, MLP), "sparse") or flagged(
        fields, "moe_layer_freq", size.layers
    )
    first = fields.optional_integer("first_k_dense_replace", low=0, high=MAX_LAYERS)
    if moe is None:
        moe = tuple(n for n in size.all_layers if n >= (first or 0))
    width = fields.integer("moe_intermediate_size", default=fields.integer("intermediate_size"))
    experts = read_routing(fields, moe, count_key="num_local_experts", width=width)
    if not fields.boolean("use_routing_bias", default=True):
        raise fields.error("use_routing_bias", "is false, which is not understood")
    shared = fields.integer("n_shared_experts", low=0, high=MAX_EXPERTS, default=1)
    shared_width = fields.integer("shared_intermediate_size", low=0, default=0)
    return replace(experts, shared=shared, shared_width=shared * shared_width)


def _index(storage: Storage, a: Attention, hidden: int) -> list[TensorRow]:
    if not a.layers:
        return []
    prefix, dim = LAYER + "self_attn.index_", a.indexer_dim
    return [
        rows.linear(storage, prefix + "q_proj", "indexer", (a.indexer_heads * dim, hidden),
                    a.layers, fused="indexer-in", shard="replicated"),
        rows.linear(storage, prefix + "k_proj", "indexer", (dim, hidden), a.layers,
                    fused="indexer-in", shard="replicated"),
        *(rows.plain(storage, f"{prefix}{name}_norm.weight", "indexer", (dim,), a.layers,
                     fused=f"indexer-{name}-norm") for name in ("q", "k")),
    ]  # fmt: skip


def _routed(storage: Storage, e: Experts, hidden: int) -> list[TensorRow]:
    if not e.layers:
        return []
    tensors = [
        *rows.router(storage, "block_sparse_moe.gate", hidden, e.count, e.layers),
        rows.plain(storage, LAYER + "block_sparse_moe.e_score_correction_bias", "router",
                   (e.count,), e.layers, fused="router-bias", dtype="fp32"),
        *rows.gated_mlp(storage, rows.NUMBERED_MLP, e.layers, hidden=hidden, width=e.width,
                        experts=e.count),
    ]  # fmt: skip
    return tensors + (rows.gated_mlp(storage, _SHARED, e.layers, hidden=hidden,
                                   width=e.shared_width) if e.shared else [])  # fmt: skip


_CHANNELS = 3


def read_vision(
    fields: Fields,
    storage: Storage,
    text_hidden: int,
    *,
    projector: int,
) -> list[TensorRow]:
    """The encoder and both projectors, ``projector`` features between their matrices.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    layers = tuple(range(fields.integer("num_hidden_layers", high=MAX_LAYERS)))
    patch = fields.integer("patch_size")
    channels = fields.integer("num_channels", high=2**8, default=_CHANNELS)
    compression = fields.nested("img_token_compression_config")
    place = fields if compression is None else compression
    merge, frames = (
        place.integer(name, high=2**6, default=2)
        for name in ("spatial_merge_size", "temporal_patch_size")
    )
    for name, value in (("spatial_merge_size", merge), ("temporal_patch_size", frames)):
        if fields.integer(name, high=2**6, default=value) != value:
            raise fields.error(name, f"is not the {value} of img_token_compression_config")
    if compression is not None:
        compression.choice("image_token_compression_method", ("patch_merge",),
                           default="patch_merge")  # fmt: skip
        compression.finish()
    fields.finish({"dtype", "image_size", "num_attention_heads", "position_embedding_type",
                   "rope_mode", "projection_dim", "vocab_size", "vision_segment_max_frames",
                   "initializer_factor"})  # fmt: skip
    base = "vision_tower.vision_model."
    block = base + "encoder.layers.{layer}."
    t = Tower(storage, "", layers, block)
    tensors = [
        t.one(base + "embeddings.patch_embedding.weight", "embedding",
              (width, channels, frames, patch, patch)),
        *t.linear(base + "pre_layrnorm", "norm", (width,)),
        *(row for name in ("layer_norm1", "layer_norm2")
          for row in t.linear(block + name, "norm", (width,))),
        *(row for letter in "qkv"
          for row in t.linear(f"{block}self_attn.{letter}_proj", "attention-qkv", (width, width))),
        *t.linear(block + "self_attn.out_proj", "attention-out", (width, width)),
        *t.linear(block + "mlp.fc1", "mlp-gate-up", (inner, width)),
        *t.linear(block + "mlp.fc2", "mlp-down", (width, inner)),
        *t.linear("multi_modal_projector.linear_1", "mlp-gate-up", (projector, width)),
        *t.linear("multi_modal_projector.linear_2", "mlp-down", (text_hidden, projector)),
        *t.linear("patch_merge_mlp.linear_1", "mlp-gate-up",
                  (projector, text_hidden * merge * merge)),
        *t.linear("patch_merge_mlp.linear_2", "mlp-down", (text_hidden, projector)),
    ]  # fmt: skip
    return rows.part_of(tensors, "vision")
