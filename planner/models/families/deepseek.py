"""DeepSeek-V2, V3, R1 and V3.2; Kimi-K2 and GLM-4.7-Flash, which are V3 with other sizes; GLM-5, as
V3.2; Mistral 4, whose router is not corrected; A.X-K1, with a norm behind its experts; Sarvam-105B.

Multi-head latent attention; the first layers dense, the others routed and shared experts; V3 adds
a multi-token prediction layer, V3.2 an indexer that selects the past to attend to. In GLM-5.3 most
layers have no indexer and attend to what the last layer with one has selected.
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.records import record
from planner.models import rows
from planner.models.families import vision
from planner.models.families.common import (
    Backbone,
    others,
    read_backbone,
    read_shared_routing,
    spec_of,
    text_of,
)
from planner.models.families.latent import latent_rows
from planner.models.fields import GENERIC, HARMLESS, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = (
    "axk1",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "kimi_k2",
    "kimi_k25",
    "glm_moe_dsa",
    "glm4_moe_lite",
    "mistral4",
    "sarvam_mla",
)
_HARMLESS = {
    "aux_loss_alpha", "ep_size", "norm_topk_prob", "routed_scaling_factor", "scoring_func",
    "seq_aux", "head_dim", "qk_head_dim", "rope_interleave", "indexer_rope_interleave",
    "index_share_for_mtp_iteration", "moe_router_dtype",
}  # fmt: skip
_INDEXED = ("deepseek_v32", "glm_moe_dsa")
_UNGROUPED = ("deepseek_v2", "glm4_moe_lite", "mistral4", "sarvam_mla")
_STACKED = ("mistral4",)
"""Types whose releases keep a layer's experts in one tensor. Sources: llama.cpp's conversion of
Mistral 4, which finds them so; transformers 5.24 has no conversion for the type."""
_METHODS = {"deepseek_v2": ("greedy", "group_limited_greedy"), "mistral4": ("greedy",)}


@record
class _Config:
    """The typed configuration; names follow the records of planner.models.spec."""

    size: Backbone
    attention: Attention
    indexed_layers: tuple[int, ...]
    experts: Experts
    dense_width: int
    moe_layers: tuple[int, ...]
    mtp_layers: tuple[int, ...]
    corrected_router: bool
    biases: bool
    copies: bool
    stacked: bool
    normed: bool


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a DeepSeek, Kimi-K2 or GLM-5 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    nested = model_type == "kimi_k25"
    if model_type == "sarvam_mla":
        fields.alias("n_shared_experts", "num_shared_experts")
        fields.alias("num_nextn_predict_layers", "num_mtp_layers")
    merged = fields.optional_integer("projection_hidden_size") if nested else None
    text, seeing = text_of(fields, ("kimi_k2", "deepseek_v3")) if nested else (fields, None)
    if seeing is not None and merged is not None:
        seeing.state("mm_hidden_size", merged)
    storage = read_storage(text)
    config = _read(text, model_type)
    text.finish((GENERIC if nested else HARMLESS) | _HARMLESS)
    size = config.size
    tensors = [
        *size.ends(storage),
        *_decoder(storage, config, size.all_layers),
        *_prediction(storage, config),
    ]
    if nested:
        tensors = rows.renamed(tensors, "", "language_model.")
        if seeing is not None:
            tensors += vision.kimi_k25(seeing, storage, size.hidden)
    return spec_of(
        origin, model_type, size, storage, rows=tensors, experts=config.experts,
        dense_width=config.dense_width if set(size.all_layers) - set(config.moe_layers) else 0,
        mtp_layers=len(config.mtp_layers), attention=_groups(config),
        not_counted=(vision.NO_VISION,) if nested and seeing is None else (),
    )  # fmt: skip


def _read(fields: Fields, model_type: str) -> _Config:
    size = read_backbone(fields)
    mtp = fields.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0)
    indexed = _indexed_layers(fields, size.layers) if model_type in _INDEXED else ()
    first = fields.integer(
        "first_k_dense_replace", low=0, high=MAX_LAYERS, default=_first_sparse(fields)
    )
    step = fields.integer("moe_layer_freq", high=MAX_LAYERS, default=1)
    after = tuple(range(size.layers, size.layers + mtp))
    moe = tuple(
        layer for layer in (*size.all_layers, *after)
        if layer >= first and layer % step == 0
    )  # fmt: skip
    main = tuple(layer for layer in moe if layer < size.layers)
    _check_mlp_types(fields, main, size.layers)
    methods = _METHODS.get(model_type, ("noaux_tc",))
    method = fields.choice("topk_method", methods, default=methods[0])
    return _Config(
        size=size,
        attention=_read_attention(fields, model_type, size.all_layers),
        indexed_layers=indexed + after if indexed else (),
        experts=read_shared_routing(fields, main, ungrouped=model_type in _UNGROUPED),
        dense_width=fields.integer("intermediate_size"),
        moe_layers=moe,
        mtp_layers=after,
        corrected_router=method == "noaux_tc",
        biases=fields.boolean("attention_bias", default=False),
        copies=model_type != "glm_moe_dsa",
        stacked=model_type in _STACKED,
        normed=model_type == "axk1",
    )


def _first_sparse(fields: Fields) -> int | None:
    """How many layers ``mlp_layer_types`` calls dense before the first sparse one."""
    kinds = fields.strings("mlp_layer_types")
    return kinds.index("sparse") if "sparse" in kinds else None


def _check_mlp_types(fields: Fields, moe: tuple[int, ...], layers: int) -> None:
    """Refuse a list of dense and sparse layers that contradicts where experts begin.

    Raises:
        DataError: it does.
    """
    kinds = fields.strings("mlp_layer_types")
    expected = tuple("sparse" if layer in moe else "dense" for layer in range(layers))
    if kinds and kinds != expected:
        raise fields.error("mlp_layer_types", "contradicts first_k_dense_replace")


def _indexed_layers(fields: Fields, layers: int) -> tuple[int, ...]:
    """Layers with an indexer: all, or those that ``indexer_types`` calls full.

    Raises:
        DataError: a list of another length or with other words, one that begins with a layer that
            has nothing to share, or sharing that is stated without the list.
    """
    kinds = fields.strings("indexer_types")
    for name in ("index_topk_freq", "index_skip_topk_offset"):
        if fields.integer(name, low=0, high=MAX_LAYERS, default=0) > 1 and not kinds:
            raise fields.error("indexer_types", f"is missing, and {name} says that layers share")
    if fields.take("index_topk_pattern") is not None:
        raise fields.error("index_topk_pattern", "is not null, which is not understood")
    if not kinds:
        return tuple(range(layers))
    if len(kinds) != layers:
        raise fields.error("indexer_types", f"has {len(kinds)} entries for {layers} layers")
    unknown = sorted(set(kinds) - {"full", "shared"})
    if unknown or kinds[0] != "full":
        raise fields.error(
            "indexer_types",
            f"holds {ascii((unknown or ['shared'])[0])[:60]}"
            f"{'' if unknown else ' first'}; understood: full, then full or shared",
        )
    return tuple(layer for layer, kind in enumerate(kinds) if kind == "full")


def _groups(config: _Config) -> list[Attention]:
    """The attention of layers with an indexer (or of all), and of those that share its choice."""
    a = config.attention
    if not config.indexed_layers:
        return [a]
    own = tuple(layer for layer in a.layers if layer in config.indexed_layers)
    rest = others(a.layers, own)
    return [replace(a, layers=own), replace(a, layers=rest, indexer_heads=0, indexer_dim=0)]


def _read_attention(fields: Fields, model_type: str, layers: tuple[int, ...]) -> Attention:
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    kv_heads = fields.integer("num_key_value_heads", high=MAX_EXPERTS, default=heads)
    if kv_heads != heads:
        raise fields.error("num_key_value_heads", f"is {kv_heads}; latent attention has {heads}")
    nope = fields.integer("qk_nope_head_dim")
    rope = fields.integer("qk_rope_head_dim")
    indexed = model_type in _INDEXED
    q_rank = fields.optional_integer("q_lora_rank")
    if indexed and q_rank is None:
        raise fields.error("q_lora_rank", "is null; the indexer reads the compressed query")
    return Attention(
        kind="mla", layers=layers, heads=heads, kv_heads=kv_heads, head_dim=nope + rope,
        q_lora_rank=q_rank, kv_lora_rank=fields.integer("kv_lora_rank"), nope_dim=nope,
        rope_dim=rope, value_dim=fields.integer("v_head_dim"),
        indexer_heads=fields.integer("index_n_heads", high=MAX_EXPERTS) if indexed else 0,
        indexer_dim=fields.integer("index_head_dim") if indexed else 0,
        indexer_topk=fields.integer("index_topk") if indexed else 0,
    )  # fmt: skip


def _decoder(storage: Storage, config: _Config, layers: tuple[int, ...]) -> list[TensorRow]:
    """Every tensor of decoder layers ``layers``; none where there are no layers."""
    if not layers:
        return []
    return [
        *latent_rows(storage, config.attention, config.size.hidden, layers, biases=config.biases),
        *_indexer(storage, config, layers),
        *rows.layer_norms(storage, config.size.hidden, layers),
        *_feed_forward(storage, config, layers),
    ]


def _indexer(storage: Storage, config: _Config, layers: tuple[int, ...]) -> list[TensorRow]:
    a, hidden, prefix = config.attention, config.size.hidden, LAYER + "self_attn.indexer."
    layers = tuple(layer for layer in layers if layer in config.indexed_layers)
    if a.q_lora_rank is None or not layers:
        return []
    dim = a.indexer_dim
    return [
        rows.linear(storage, prefix + "wq_b", "indexer", (a.indexer_heads * dim, a.q_lora_rank),
                    layers, fused="indexer-q", shard="replicated"),
        rows.linear(storage, prefix + "wk", "indexer", (dim, hidden), layers, fused="indexer-k",
                    shard="replicated"),
        rows.plain(storage, prefix + "k_norm.weight", "indexer", (dim,), layers,
                   fused="indexer-k-norm"),
        rows.plain(storage, prefix + "k_norm.bias", "indexer", (dim,), layers,
                   fused="indexer-k-norm-bias"),
        rows.plain(storage, prefix + "weights_proj.weight", "indexer", (a.indexer_heads, hidden),
                   layers, fused="indexer-weights"),
    ]  # fmt: skip


def _feed_forward(storage: Storage, config: _Config, layers: tuple[int, ...]) -> list[TensorRow]:
    moe = tuple(sorted(set(layers) & set(config.moe_layers)))
    dense = tuple(sorted(set(layers) - set(moe)))
    tensors = rows.gated_mlp(storage, rows.DENSE_MLP, dense, hidden=config.size.hidden,
                           width=config.dense_width)  # fmt: skip
    routed = rows.routed(storage, config.experts, moe, hidden=config.size.hidden,
                         corrected=config.corrected_router)  # fmt: skip
    if config.normed and moe:
        routed.append(rows.norm(storage, LAYER + "post_mlp_layernorm", config.size.hidden, moe))
    return tensors + (rows.stacked_experts(routed, transposed=False) if config.stacked else routed)


def _prediction(storage: Storage, config: _Config) -> list[TensorRow]:
    """Multi-token prediction: decoder layers after the last, each with what joins them."""
    size, layers = config.size, config.mtp_layers
    if not layers:
        return []
    own = rows.prediction_ends(storage, layers, hidden=size.hidden, vocab=size.vocab,
                               tied=size.tied, copies=config.copies)  # fmt: skip
    return rows.part_of([*own, *_decoder(storage, config, layers)], "mtp")
