"""Kimi-Linear and Kimi-K3: three Kimi delta attention layers to one of latent attention.

K3 adds a vision encoder, experts in a latent space, output gates of full rank and residuals that
attend to the outputs of earlier blocks (one small projection and norm each).
"""

from __future__ import annotations

from planner.base.records import record
from planner.models import rows
from planner.models.families import vision
from planner.models.families.common import Backbone, others, read_backbone, spec_of, text_of
from planner.models.families.delta import kda_rows, read_kda
from planner.models.families.latent import latent_rows
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, GatedMlp, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("kimi_linear", "kimi_k3")
_EXPERT = GatedMlp("block_sparse_moe.experts.{expert}.", "w1", "w3", "w2", "experts")
_SHARED = GatedMlp("block_sparse_moe.shared_experts.", "gate_proj", "up_proj", "down_proj",
                   "shared")  # fmt: skip


@record
class _Config:
    size: Backbone
    latent: Attention
    delta: Attention
    experts: Experts
    width: int
    full_gate: bool
    output_gate: bool
    expert_norm: bool
    residuals: bool


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Kimi-Linear or Kimi-K3 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    seeing = None
    text = fields
    if model_type == "kimi_k3":
        text, seeing = text_of(fields, ("kimi_linear",))
    storage = read_storage(text)
    config = _read(text, storage)
    text.finish()
    tensors = _decoder(storage, config)
    if model_type == "kimi_k3":
        tensors = rows.renamed(tensors, "", "language_model.")
        if seeing is not None:
            tensors += vision.kimi_k25(seeing, storage, config.size.hidden)
    return spec_of(
        origin, model_type, config.size, storage, rows=tensors, experts=config.experts,
        dense_width=config.width if set(config.size.all_layers) - set(config.experts.layers) else 0,
        attention=[config.latent, config.delta],
        not_counted=(vision.NO_VISION,) if model_type == "kimi_k3" and seeing is None else (),
    )  # fmt: skip


def _read(fields: Fields, storage: Storage) -> _Config:
    size = read_sizes(fields)
    if fields.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0):
        raise fields.error("num_nextn_predict_layers", "is not 0, which is not understood here")
    linear = fields.nested("linear_attn_config")
    full = _full_layers(fields, linear, size.layers)
    delta, gate = read_kda(fields, linear, others(size.all_layers, full), storage), False
    if linear is not None:
        gate = linear.boolean("use_full_rank_gate", default=False)
        linear.take("gate_lower_bound")
        linear.finish()
    residuals = fields.optional_integer("attn_res_block_size", high=MAX_LAYERS) is not None
    if fields.boolean("attention_bias", default=False):
        raise fields.error("attention_bias", "is true; Kimi-Linear has no biases")
    return _Config(
        size, read_latent(fields, full), delta, read_experts(fields, size),
        fields.integer("intermediate_size"), gate,
        fields.boolean("mla_use_output_gate", default=False),
        fields.boolean("latent_moe_use_norm", default=False), residuals)  # fmt: skip


def read_sizes(fields: Fields) -> Backbone:
    """The backbone of a configuration that may call its context ``model_max_length``."""
    longest = fields.optional_integer("model_max_length", high=MAX_CONTEXT)
    if longest is None or fields.take("max_position_embeddings") is not None:
        return read_backbone(fields)
    return Backbone(
        fields.integer("hidden_size"), fields.integer("num_hidden_layers", high=MAX_LAYERS),
        fields.integer("vocab_size"), longest,
        fields.boolean("tie_word_embeddings", default=False))  # fmt: skip


def _full_layers(fields: Fields, linear: Fields | None, layers: int) -> tuple[int, ...]:
    """The layers of latent attention; ``linear_attn_config`` counts from 1."""
    kinds = fields.strings("layer_types")
    if kinds:
        unknown = set(kinds) - {"full_attention", "linear_attention"}
        if unknown or len(kinds) != layers:
            raise fields.error(
                "layer_types",
                f"has {len(kinds)} entries for {layers} layers"
                if not unknown
                else f"holds {ascii(sorted(unknown)[0])[:60]}",
            )
    if linear is None:
        if not kinds:
            raise fields.error("layer_types", "is missing, and so is linear_attn_config")
        return tuple(n for n, kind in enumerate(kinds) if kind == "full_attention")
    full = linear.integers("full_attn_layers", low=1, high=layers)
    rest = linear.integers("kda_layers", low=1, high=layers)
    if sorted(full + rest) != list(range(1, layers + 1)):
        raise linear.error("kda_layers", "and full_attn_layers are not all layers once")
    return tuple(sorted(n - 1 for n in full))


def read_latent(fields: Fields, layers: tuple[int, ...]) -> Attention:
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    if fields.integer("num_key_value_heads", high=MAX_EXPERTS, default=heads) != heads:
        raise fields.error("num_key_value_heads", f"is not the {heads} heads of latent attention")
    nope, rope = fields.integer("qk_nope_head_dim"), fields.integer("qk_rope_head_dim")
    return Attention(
        kind="mla", layers=layers, heads=heads, kv_heads=heads, head_dim=nope + rope,
        q_lora_rank=fields.optional_integer("q_lora_rank"),
        kv_lora_rank=fields.integer("kv_lora_rank"), nope_dim=nope, rope_dim=rope,
        value_dim=fields.integer("v_head_dim"))  # fmt: skip


def read_experts(fields: Fields, size: Backbone) -> Experts:
    """Routed experts; the first layers, and those off the frequency, are dense."""
    count = _either(fields, "num_experts", "num_local_experts")
    per_token = _either(fields, "num_experts_per_token", "num_experts_per_tok")
    shared = _either(fields, "num_shared_experts", "n_shared_experts", low=0)
    groups = _either(fields, "num_expert_group", "n_group", default=1)
    chosen = fields.integer("topk_group", high=MAX_EXPERTS, default=1)
    if count % groups or chosen > groups or per_token > count // groups * chosen:
        raise fields.error("topk_group", f"is {chosen} of {groups} groups, which hold no "
                           f"{per_token} of {count} experts")  # fmt: skip
    first = fields.integer("first_k_dense_replace", low=0, high=MAX_LAYERS, default=1)
    step = fields.integer("moe_layer_freq", high=MAX_LAYERS, default=1)
    layers = tuple(n for n in size.all_layers if n >= first and n % step == 0)
    kinds = fields.strings("mlp_layer_types")
    if kinds:
        layers = tuple(n for n, kind in enumerate(kinds) if kind == "sparse")
        if len(kinds) != size.layers or set(kinds) - {"sparse", "dense"}:
            raise fields.error("mlp_layer_types", f"is not {size.layers} times dense or sparse")
    width = fields.integer("moe_intermediate_size")
    fields.choice("topk_method", ("noaux_tc",), default="noaux_tc")
    return Experts(
        layers=layers, count=count, per_token=per_token, width=width, shared=shared,
        shared_width=shared * width, groups=groups, groups_per_token=chosen,
        latent=fields.optional_integer("routed_expert_hidden_size") or 0)  # fmt: skip


def _either(
    fields: Fields,
    own: str,
    other: str,
    *,
    low: int = 1,
    default: int | None = None,
) -> int:
    """A key by the release's name, or by the one that transformers saves it under."""
    name = own if fields.take(own) is not None or fields.take(other) is None else other
    return fields.integer(name, low=low, high=MAX_EXPERTS, default=default)


def _decoder(storage: Storage, c: _Config) -> list[TensorRow]:
    hidden, every = c.size.hidden, c.size.all_layers
    tensors = [
        *c.size.ends(storage),
        *latent_rows(storage, c.latent, hidden, c.latent.layers, gate=c.output_gate),
        *kda_rows(storage, c.delta, hidden, full_gate=c.full_gate),
        *rows.layer_norms(storage, hidden, every),
        *rows.gated_mlp(storage, rows.DENSE_MLP, others(every, c.experts.layers), hidden=hidden,
                        width=c.width),
        *_routed(storage, c.experts, hidden, c.expert_norm),
    ]  # fmt: skip
    if not c.residuals:
        return tensors
    for name in ("self_attention_res", "mlp_res"):
        tensors += [rows.norm(storage, f"{LAYER}{name}_norm", hidden, every),
                  rows.plain(storage, f"{LAYER}{name}_proj.weight", "norm", (1, hidden), every,
                             fused=name.replace("_", "-"))]  # fmt: skip
    return [*tensors, rows.norm(storage, "model.output_attn_res_norm", hidden, ()),
            rows.plain(storage, "model.output_attn_res_proj.weight", "norm", (1, hidden), (),
                       fused="output-attn-res")]  # fmt: skip


def _routed(storage: Storage, e: Experts, hidden: int, normed: bool) -> list[TensorRow]:
    if not e.layers:
        return []
    moe = LAYER + "block_sparse_moe."
    tensors = [
        *rows.router(storage, "block_sparse_moe.gate", hidden, e.count, e.layers),
        rows.plain(storage, moe + "gate.e_score_correction_bias", "router", (e.count,), e.layers,
                   fused="router-bias", dtype="fp32"),
        *rows.gated_mlp(storage, _EXPERT, e.layers, hidden=e.latent or hidden, width=e.width,
                        experts=e.count),
    ]  # fmt: skip
    if e.shared:
        tensors += rows.gated_mlp(storage, _SHARED, e.layers, hidden=hidden, width=e.shared_width)
    if e.latent:
        tensors += [
            rows.linear(storage, moe + "routed_expert_down_proj", "shared-gate-up",
                        (e.latent, hidden), e.layers, fused="latent-in", shard="replicated"),
            *([rows.norm(storage, moe + "routed_expert_norm", e.latent, e.layers)] if normed
              else []),
            rows.linear(storage, moe + "routed_expert_up_proj", "shared-down",
                        (hidden, e.latent), e.layers, fused="latent-out", shard="replicated"),
        ]  # fmt: skip
    return tensors
