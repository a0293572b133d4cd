"""GLM-5-next (GLM-5.3-Flash): delta attention, sparse latent attention, four residual streams.

Three Kimi delta attention layers to one of latent attention without rotation, whose indexer keeps
one pooled key for ``index_kpool`` tokens. Every half layer mixes ``hc_mult`` residual streams.

Its vision encoder takes patches of two frames, with normed heads and a gated merger.
"""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.common import (
    MLP,
    Backbone,
    layers_of,
    listed_kinds,
    others,
    read_backbone,
    read_shared_routing,
    spec_of,
    text_of,
)
from planner.models.families.delta import kda_rows, read_kda
from planner.models.families.latent import latent_rows
from planner.models.families.towers import Tower
from planner.models.families.vision import NO_VISION
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("glm5_next", "glm5_next_text")
_KINDS = {"linear_attention": "linear", "indexed_attention": "full",
          "deepseek_sparse_attention": "full", "full_attention": "full"}  # fmt: skip
_MOST_STREAMS = 64


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a GLM-5-next configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    nested = model_type == "glm5_next"
    text, seeing = text_of(fields, ("glm5_next_text",)) if nested else (fields, None)
    size, storage = read_backbone(text), read_storage(text)
    if text.boolean("attention_bias", default=False):
        raise text.error("attention_bias", "is true, which is not understood")
    kinds = listed_kinds(text, "layer_types", size.layers, _KINDS)
    if not kinds:
        raise text.error("layer_types", "is missing")
    full = layers_of(kinds, "full")
    latent = _latent(text, full)
    delta = _delta(text, others(size.all_layers, full), storage)
    experts = _experts(text, size)
    width = text.integer("intermediate_size")
    streams = text.integer("hc_mult", high=_MOST_STREAMS, default=4)
    mtp = text.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0)
    text.finish()
    hidden, dense = size.hidden, others(size.all_layers, experts.layers)
    tensors = [
        *size.ends(storage),
        *latent_rows(storage, latent, hidden, full),
        *_indexer(storage, latent, hidden),
        *kda_rows(storage, delta, hidden, full_gate=False, decay_shape=(delta.heads,)),
        *rows.layer_norms(storage, hidden, size.all_layers),
        *_streams(storage, hidden, size.all_layers, streams),
        *rows.gated_mlp(storage, rows.DENSE_MLP, dense, hidden=hidden, width=width),
        *rows.routed(storage, experts, experts.layers, hidden=hidden, corrected=True),
    ]  # fmt: skip
    left: tuple[str, ...] = (
        (f"{mtp} prediction layer (num_nextn_predict_layers): no list of its tensors is published",)
        if mtp
        else ()
    )
    if nested:
        tensors = rows.renamed(tensors, "model.", "model.language_model.")
        tensors += [] if seeing is None else read_vision(seeing, storage)
        left += (NO_VISION,) if seeing is None else ()
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   dense_width=width if dense else 0, attention=[latent, delta],
                   not_counted=left)  # fmt: skip


def _latent(text: Fields, layers: tuple[int, ...]) -> Attention:
    heads = text.integer("num_attention_heads", high=MAX_EXPERTS)
    if text.integer("num_key_value_heads", high=MAX_EXPERTS, default=heads) != heads:
        raise text.error("num_key_value_heads", f"is not the {heads} heads of latent attention")
    if set(text.strings("indexer_types")) - {"full"}:
        raise text.error("indexer_types", "holds layers that share a selection, which is not "
                         "understood here")  # fmt: skip
    nope, rope = text.integer("qk_nope_head_dim"), text.integer("qk_rope_head_dim", low=0)
    return Attention(
        kind="mla", layers=layers, heads=heads, kv_heads=heads, head_dim=nope + rope,
        q_lora_rank=text.integer("q_lora_rank"), kv_lora_rank=text.integer("kv_lora_rank"),
        nope_dim=nope, rope_dim=rope, value_dim=text.integer("v_head_dim"),
        indexer_heads=text.integer("index_n_heads", high=MAX_EXPERTS),
        indexer_dim=text.integer("index_head_dim"), indexer_topk=text.integer("index_topk"),
        ratio=text.integer("index_kpool", high=MAX_EXPERTS, default=1))  # fmt: skip


def _delta(text: Fields, layers: tuple[int, ...], storage: Storage) -> Attention:
    linear = text.nested("linear_attn_config")
    attention = read_kda(text, linear, layers, storage)
    if linear is None:
        return attention
    listed = linear.integers("kda_layers", low=0, high=MAX_LAYERS)
    if listed and tuple(sorted(listed)) != layers:
        raise linear.error("kda_layers", "contradicts layer_types")
    linear.finish({"full_attn_layers", "gate_lower_bound"})
    return attention


def _experts(text: Fields, size: Backbone) -> Experts:
    first = text.integer("first_k_dense_replace", low=0, high=MAX_LAYERS, default=0)
    kinds = listed_kinds(text, "mlp_layer_types", size.layers, MLP)
    moe = layers_of(kinds, "sparse") if kinds else tuple(n for n in size.all_layers if n >= first)
    text.choice("topk_method", ("noaux_tc",), default="noaux_tc")
    return read_shared_routing(text, moe)


def _indexer(storage: Storage, a: Attention, hidden: int) -> list[TensorRow]:
    if not a.layers:
        return []
    prefix, dim = LAYER + "self_attn.indexer.", a.indexer_dim
    tensors = [
        rows.linear(storage, prefix + "wq_b", "indexer",
                    (a.indexer_heads * dim, a.q_lora_rank or 0), a.layers, fused="indexer-q",
                    shard="replicated"),
        rows.linear(storage, prefix + "wk", "indexer", (dim, hidden), a.layers, fused="indexer-k",
                    shard="replicated"),
        *(rows.plain(storage, f"{prefix}k_norm.{name}", "indexer", (dim,), a.layers,
                     fused=f"indexer-k-norm-{name}") for name in ("weight", "bias")),
        rows.plain(storage, prefix + "weights_proj.weight", "indexer", (a.indexer_heads, hidden),
                   a.layers, fused="indexer-weights"),
    ]  # fmt: skip
    pooled = (("ape", (a.ratio, dim)), ("gate", (dim, hidden))) if a.ratio > 1 else ()
    return [*tensors, *(
        rows.plain(storage, f"{prefix}index_kpool_compress_{name}", "indexer", shape, a.layers,
                   fused=f"indexer-pool-{name}") for name, shape in pooled)]  # fmt: skip


def _streams(
    storage: Storage,
    hidden: int,
    layers: tuple[int, ...],
    count: int,
) -> list[TensorRow]:
    """What mixes the residual streams before and after attention and MLP (hyper-connections)."""
    mixes = (2 + count) * count
    return [
        replace(rows.plain(storage, f"{LAYER}hc_{half}_{name}", "norm", shape, layers,
                           fused=f"hc-{half}-{name}"), dtype="fp32")
        for half in ("attn", "ffn")
        for name, shape in (("fn", (mixes, count * hidden)), ("base", (mixes,)), ("scale", (3,)))
    ]  # fmt: skip


_CHANNELS = 3


def read_vision(fields: Fields, storage: Storage) -> list[TensorRow]:
    """The encoder and its merger.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    layers = tuple(range(fields.integer("depth", high=MAX_LAYERS)))
    heads, patch = fields.integer("num_heads", high=MAX_EXPERTS), fields.integer("patch_size")
    frames = fields.integer("temporal_patch_size", high=2**6)
    merge = fields.integer("spatial_merge_size", high=2**6)
    channels = fields.integer("in_channels", high=2**8, default=_CHANNELS)
    out, wide = fields.integer("out_hidden_size"), fields.integer("projection_intermediate_size")
    biases = fields.boolean("attention_bias", default=True)
    if width % heads:
        raise fields.error("num_heads", f"is {heads}; it must divide {width}")
    fields.finish({"dtype", "image_size", "swiglu_limit"})
    base = "model.visual."
    block = base + "blocks.{layer}."
    t = Tower(storage, "", layers, block)
    tensors = [
        *t.linear(base + "patch_embed.proj", "embedding", (width, channels, frames, patch, patch)),
        *(t.one(f"{block}norm{n}.weight", "norm", (width,)) for n in (1, 2)),
        *t.linear(block + "attn.qkv", "attention-qkv", (3 * width, width), bias=biases),
        *t.linear(block + "attn.proj", "attention-out", (width, width), bias=biases),
        *(t.one(f"{block}attn.{letter}_norm.weight", "norm", (width // heads,))
          for letter in "qk"),
        *(row for name in ("gate", "up")
          for row in t.linear(f"{block}mlp.{name}_proj", "mlp-gate-up", (inner, width),
                              bias=biases)),
        *t.linear(block + "mlp.down_proj", "mlp-down", (width, inner), bias=biases),
        t.one(base + "post_layernorm.weight", "norm", (width,)),
        *t.linear(base + "downsample", "mlp-down", (out, width, merge, merge)),
        t.one(base + "merger.proj.weight", "mlp-down", (out, out)),
        *t.linear(base + "merger.post_projection_norm", "norm", (out,)),
        *(t.one(f"{base}merger.{name}_proj.weight", "mlp-gate-up", (wide, out))
          for name in ("gate", "up")),
        t.one(base + "merger.down_proj.weight", "mlp-down", (out, wide)),
    ]  # fmt: skip
    return rows.part_of(tensors, "vision")
