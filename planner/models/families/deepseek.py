"""DeepSeek-V2, V3, R1 and V3.2, and Kimi-K2, which is V3 with other sizes.

Multi-head latent attention; the first layers dense, the others routed and shared experts; V3 adds
a multi-token prediction layer, V3.2 an indexer that selects the past to attend to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.models import rows
from planner.models.families.common import Backbone, read_backbone
from planner.models.fields import HARMLESS, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2")
_HARMLESS = HARMLESS | {
    "aux_loss_alpha", "ep_size", "norm_topk_prob", "routed_scaling_factor", "scoring_func",
    "seq_aux", "head_dim", "qk_head_dim", "rope_interleave",
}  # fmt: skip
_METHODS = {"deepseek_v2": ("greedy", "group_limited_greedy")}


@dataclass(frozen=True, slots=True)
class _Config:
    """The typed configuration; names follow the records of planner.models.spec."""

    size: Backbone
    attention: Attention
    experts: Experts | None
    dense_width: int
    moe_layers: tuple[int, ...]
    mtp_layers: tuple[int, ...]
    corrected_router: bool
    biases: bool


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a DeepSeek or Kimi-K2 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    storage = read_storage(fields)
    config = _read(fields, model_type)
    fields.finish(_HARMLESS)
    size = config.size
    tensors = [
        *rows.ends(storage, hidden=size.hidden, vocab=size.vocab, tied=size.tied),
        *_decoder(storage, config, size.all_layers),
        *_prediction(storage, config),
    ]
    return ModelSpec(
        id=origin.id, public_name=origin.public_name, model_type=model_type, layers=size.layers,
        hidden_size=size.hidden, vocab_size=size.vocab, max_context=size.context,
        tied_embeddings=size.tied, attention=(config.attention,), experts=config.experts,
        dense_width=config.dense_width if set(size.all_layers) - set(config.moe_layers) else 0,
        mtp_layers=len(config.mtp_layers), quantization=storage.quantization,
        source=origin.source, source_kind=origin.source_kind,
        config_sha256=origin.config_sha256, rows=tuple(tensors),
    )  # fmt: skip


def _read(fields: Fields, model_type: str) -> _Config:
    size = read_backbone(fields)
    mtp = fields.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0)
    first = fields.integer("first_k_dense_replace", low=0, high=MAX_LAYERS)
    step = fields.integer("moe_layer_freq", high=MAX_LAYERS, default=1)
    count = fields.integer("n_routed_experts", high=MAX_EXPERTS)
    after = tuple(range(size.layers, size.layers + mtp))
    moe = tuple(
        layer for layer in (*size.all_layers, *after)
        if layer >= first and layer % step == 0
    )  # fmt: skip
    methods = _METHODS.get(model_type, ("noaux_tc",))
    method = fields.choice("topk_method", methods, default=methods[0])
    return _Config(
        size=size,
        attention=_read_attention(fields, model_type, size.all_layers),
        experts=_read_experts(fields, model_type, count, moe, size.layers),
        dense_width=fields.integer("intermediate_size"),
        moe_layers=moe,
        mtp_layers=after,
        corrected_router=method == "noaux_tc",
        biases=fields.boolean("attention_bias", default=False),
    )


def _read_attention(fields: Fields, model_type: str, layers: tuple[int, ...]) -> Attention:
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    kv_heads = fields.integer("num_key_value_heads", high=MAX_EXPERTS, default=heads)
    if kv_heads != heads:
        raise fields.error("num_key_value_heads", f"is {kv_heads}; latent attention has {heads}")
    nope = fields.integer("qk_nope_head_dim")
    rope = fields.integer("qk_rope_head_dim")
    indexed = model_type == "deepseek_v32"
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


def _read_experts(
    fields: Fields, model_type: str, count: int, moe: tuple[int, ...], layers: int
) -> Experts | None:
    width = fields.integer("moe_intermediate_size")
    shared = fields.integer("n_shared_experts", low=0, high=MAX_EXPERTS)
    per_token = fields.integer("num_experts_per_tok", high=MAX_EXPERTS)
    ungrouped = 1 if model_type == "deepseek_v2" else None
    groups = fields.integer("n_group", high=MAX_EXPERTS, default=ungrouped)
    chosen = fields.integer("topk_group", high=MAX_EXPERTS, default=ungrouped)
    if count % groups:
        raise fields.error("n_group", f"is {groups}; it must divide {count} experts")
    if chosen > groups:
        raise fields.error("topk_group", f"is {chosen}; there are {groups} groups")
    if per_token > count // groups * chosen:
        raise fields.error(
            "num_experts_per_tok",
            f"is {per_token}; {chosen} groups hold {count // groups * chosen} experts",
        )
    if not moe:
        return None
    main = tuple(layer for layer in moe if layer < layers)
    return Experts(
        layers=main, count=count, per_token=per_token, width=width, shared=shared,
        shared_width=shared * width, groups=groups, groups_per_token=chosen,
    )  # fmt: skip


def _decoder(storage: Storage, config: _Config, layers: tuple[int, ...]) -> list[TensorRow]:
    """Every tensor of decoder layers ``layers``; none where there are no layers."""
    if not layers:
        return []
    return [
        *_attention(storage, config, layers),
        *rows.layer_norms(storage, config.size.hidden, layers),
        *_feed_forward(storage, config, layers),
    ]


def _attention(storage: Storage, config: _Config, layers: tuple[int, ...]) -> list[TensorRow]:
    a, hidden, prefix = config.attention, config.size.hidden, LAYER + "self_attn."
    q_width = a.heads * a.head_dim
    kv_a = rows.linear(storage, prefix + "kv_a_proj_with_mqa", "mla-kv",
                       (a.kv_lora_rank + a.rope_dim, hidden), layers, fused="kv-a",
                       shard="replicated")
    kv_b = rows.linear(storage, prefix + "kv_b_proj", "mla-kv",
                       (a.heads * (a.nope_dim + a.value_dim), a.kv_lora_rank), layers,
                       fused="kv-b", shard="column")
    out = rows.linear(storage, prefix + "o_proj", "attention-out",
                      (hidden, a.heads * a.value_dim), layers, fused="o", shard="row")
    kv_norm = rows.norm(storage, prefix + "kv_a_layernorm", a.kv_lora_rank, layers)
    if a.q_lora_rank is None:
        query = [rows.linear(storage, prefix + "q_proj", "mla-q", (q_width, hidden), layers,
                             fused="q", shard="column")]
    else:
        q_a = rows.linear(storage, prefix + "q_a_proj", "mla-q", (a.q_lora_rank, hidden), layers,
                          fused="q-a", shard="replicated")
        query = [
            *rows.with_biases(storage, [q_a], config.biases),
            rows.norm(storage, prefix + "q_a_layernorm", a.q_lora_rank, layers),
            rows.linear(storage, prefix + "q_b_proj", "mla-q", (q_width, a.q_lora_rank), layers,
                        fused="q-b", shard="column"),
        ]
    return [*query, *rows.with_biases(storage, [kv_a], config.biases), kv_norm, kv_b,
            *rows.with_biases(storage, [out], config.biases),
            *_indexer(storage, config, layers)]  # fmt: skip


def _indexer(storage: Storage, config: _Config, layers: tuple[int, ...]) -> list[TensorRow]:
    a, hidden, prefix = config.attention, config.size.hidden, LAYER + "self_attn.indexer."
    if a.q_lora_rank is None or not a.indexer_topk:
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
    hidden, experts = config.size.hidden, config.experts
    moe = tuple(sorted(set(layers) & set(config.moe_layers)))
    dense = tuple(sorted(set(layers) - set(moe)))
    found = rows.gated_mlp(storage, rows.DENSE_MLP, dense, hidden=hidden,
                           width=config.dense_width)  # fmt: skip
    if experts is None or not moe:
        return found
    found += rows.router(storage, "mlp.gate", hidden, experts.count, moe)
    if config.corrected_router:
        found.append(rows.plain(storage, LAYER + "mlp.gate.e_score_correction_bias", "router",
                                (experts.count,), moe, fused="router-bias", dtype="fp32"))
    found += rows.gated_mlp(storage, rows.EXPERT_MLP, moe, hidden=hidden, width=experts.width,
                            experts=experts.count)
    if experts.shared:
        found += rows.gated_mlp(storage, rows.SHARED_MLP, moe, hidden=hidden,
                                width=experts.shared_width)
    return found


def _prediction(storage: Storage, config: _Config) -> list[TensorRow]:
    """Multi-token prediction: decoder layers after the last, each with copies of both ends."""
    size, layers = config.size, config.mtp_layers
    if not layers:
        return []
    hidden, matrix = size.hidden, (size.vocab, size.hidden)
    head = "model.embed_tokens.weight" if size.tied else "lm_head.weight"
    own = [
        rows.plain(storage, LAYER + "embed_tokens.weight", "mtp", matrix, layers,
                   fused="embedding", shard="vocab", copy_of="model.embed_tokens.weight"),
        rows.norm(storage, LAYER + "enorm", hidden, layers),
        rows.norm(storage, LAYER + "hnorm", hidden, layers),
        rows.plain(storage, LAYER + "eh_proj.weight", "mtp", (hidden, 2 * hidden), layers,
                   fused="eh-proj"),
        rows.norm(storage, LAYER + "shared_head.norm", hidden, layers),
        rows.plain(storage, LAYER + "shared_head.head.weight", "mtp", matrix, layers,
                   fused="head", shard="vocab", copy_of=head),
    ]  # fmt: skip
    return [replace(row, kind="mtp", part="mtp")
            for row in (*own, *_decoder(storage, config, layers))]  # fmt: skip
