"""LongCat-Flash: two latent attentions and two dense MLPs a layer, experts across both halves.

Some experts of the router do nothing (``zero_expert_num``): a token that chooses them takes less
work, on average in proportion to their number.
"""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.common import Backbone, spec_of
from planner.models.families.latent import latent_rows
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, GatedMlp, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("longcat_flash",)
_HALVES = (0, 1)
_PREDICTS = "model.mtp."
"""Where the prediction layer lies; no release's configuration names it, and each has it."""


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a LongCat-Flash configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    own = fields.optional_integer("num_layers", high=MAX_LAYERS)
    layers = fields.integer("num_hidden_layers", high=2 * MAX_LAYERS, default=own)
    size = Backbone(
        fields.integer("hidden_size"), own or layers, fields.integer("vocab_size"),
        fields.integer("max_position_embeddings", high=MAX_CONTEXT),
        fields.boolean("tie_word_embeddings", default=False))  # fmt: skip
    storage = read_storage(fields)
    a = _attention(fields, size.all_layers)
    biases = fields.boolean("attention_bias", default=False)
    experts, slots = _experts(fields, size.all_layers)
    width = fields.integer("ffn_hidden_size")
    routed = fields.boolean("router_bias", default=False)
    after = fields.optional_integer("num_nextn_predict_layers", low=0, high=1)
    if after is None:
        after = 1
        fields.assume("num_nextn_predict_layers", "1 (default of longcat_flash)")
    fields.finish()
    tensors = [
        *size.ends(storage),
        *(
            row
            for half in _HALVES
            for row in _sublayer(storage, a, size.hidden, width, half, biases=biases)
        ),
        *_routed(storage, experts, size.hidden, slots, biased=routed),
        *(_prediction(storage, a, size, width, biases=biases) if after else []),
    ]
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   dense_width=width, attention=[a, replace(a)], mtp_layers=after)  # fmt: skip


def _prediction(
    storage: Storage,
    a: Attention,
    size: Backbone,
    width: int,
    *,
    biases: bool,
) -> list[TensorRow]:
    """The prediction layer: one half of a layer, without experts, and a copy of the embedding
    (vLLM 0.32, longcat_flash_mtp)."""
    layers, hidden = (size.layers,), size.hidden
    mlp = GatedMlp("transformer_layer.mlp.", "gate_proj", "up_proj", "down_proj", "mlp")
    inside = [
        *(rows.norm(storage, f"{LAYER}{name}.m", hidden, layers) for name in ("enorm", "hnorm")),
        rows.linear(storage, LAYER + "eh_proj", "mtp", (hidden, 2 * hidden), layers,
                    fused="eh-proj", shard="replicated"),
        *latent_rows(storage, a, hidden, layers, biases=biases),
        *rows.layer_norms(storage, hidden, layers),
        *rows.gated_mlp(storage, mlp, layers, hidden=hidden, width=width),
    ]  # fmt: skip
    return rows.part_of([
        rows.plain(storage, _PREDICTS + "embed_tokens.weight", "mtp", (size.vocab, hidden), layers,
                   fused="embedding", shard="vocab", copy_of=rows.EMBEDDING),
        *rows.renamed(inside, LAYER, _PREDICTS + "layers.0."),
        rows.norm(storage, _PREDICTS + "norm", hidden, layers),
    ], "mtp")  # fmt: skip


def _attention(fields: Fields, layers: tuple[int, ...]) -> Attention:
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    if fields.integer("num_key_value_heads", high=MAX_EXPERTS, default=heads) != heads:
        raise fields.error("num_key_value_heads", f"is not the {heads} heads of latent attention")
    fields.choice("attention_method", ("MLA",), default="MLA")
    nope, rope = fields.integer("qk_nope_head_dim"), fields.integer("qk_rope_head_dim")
    return Attention(
        kind="mla", layers=layers, heads=heads, kv_heads=heads, head_dim=nope + rope,
        q_lora_rank=fields.optional_integer("q_lora_rank"),
        kv_lora_rank=fields.integer("kv_lora_rank"), nope_dim=nope, rope_dim=rope,
        value_dim=fields.integer("v_head_dim"))  # fmt: skip


def _experts(fields: Fields, layers: tuple[int, ...]) -> tuple[Experts, int]:
    """Experts that work, chosen as often as their share of the router's slots says, and slots."""
    count = fields.integer("n_routed_experts", high=MAX_EXPERTS)
    idle = fields.integer("zero_expert_num", low=0, high=MAX_EXPERTS, default=0)
    fields.choice("zero_expert_type", ("identity",), default="identity")
    chosen = fields.integer("moe_topk", high=MAX_EXPERTS)
    if chosen > count + idle:
        raise fields.error("moe_topk", f"is {chosen}; there are {count + idle} experts")
    working = max(1, round(chosen * count / (count + idle)))
    experts = Experts(
        layers=layers, count=count, per_token=working, shared=0, shared_width=0, groups=1,
        width=fields.integer("expert_ffn_hidden_size"), groups_per_token=1)  # fmt: skip
    return experts, count + idle


def _sublayer(
    storage: Storage,
    a: Attention,
    hidden: int,
    width: int,
    sublayer: int,
    *,
    biases: bool,
) -> list[TensorRow]:
    mlp = GatedMlp(f"mlps.{sublayer}.", "gate_proj", "up_proj", "down_proj", "mlp")
    tensors = [
        *latent_rows(storage, a, hidden, a.layers, module=f"self_attn.{sublayer}.", biases=biases),
        *(rows.norm(storage, f"{LAYER}{name}_layernorm.{sublayer}", hidden, a.layers)
          for name in ("input", "post_attention")),
        *rows.gated_mlp(storage, mlp, a.layers, hidden=hidden, width=width),
    ]  # fmt: skip
    return [replace(row, fused=f"{row.fused}-{sublayer}") for row in tensors]


def _routed(
    storage: Storage,
    e: Experts,
    hidden: int,
    slots: int,
    *,
    biased: bool,
) -> list[TensorRow]:
    router = rows.router(storage, "mlp.router.classifier", hidden, slots, e.layers)
    return [
        *rows.with_biases(storage, router, biased),
        rows.plain(storage, LAYER + "mlp.router.e_score_correction_bias", "router", (slots,),
                   e.layers, fused="router-bias", dtype="fp32"),
        *rows.gated_mlp(storage, rows.EXPERT_MLP, e.layers, hidden=hidden, width=e.width,
                        experts=e.count),
    ]  # fmt: skip
