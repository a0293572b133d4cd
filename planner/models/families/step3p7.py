"""Step-3.5 and Step-3.7 Flash: windowed layers of more heads, gated heads, experts after three."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families import vision
from planner.models.families.common import (
    Backbone,
    GroupedQuery,
    others,
    read_backbone,
    spec_of,
    text_of,
)
from planner.models.families.layer_kinds import ATTENTION, MLP, layers_of, listed_kinds
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, GatedMlp, Provenance
from planner.models.spec import Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("step3p5", "step3p7")
_SHARED = GatedMlp("share_expert.", "gate_proj", "up_proj", "down_proj", "shared")


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Step-3.5 or Step-3.7 configuration, flat or inside one that also sees.

    The encoder is not counted: the family's configurations inside ``vision_config`` state it, and
    its tensors are not modelled.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    text = fields
    left: tuple[str, ...] = ()
    outer = None
    if fields.take("text_config") is not None:
        outer = fields.boolean("tie_word_embeddings", default=False)  # the class reads no other
        fields.take("projector_bias")
        text, _ = text_of(fields, ("step3p5",), unnamed="step3p5")
        left = ("the vision encoder: its tensors are not modelled",)
    elif model_type == "step3p7":
        left = (vision.NO_VISION,)
    size, storage = read_backbone(text), read_storage(text)
    size = size if outer is None else replace(size, tied=outer)
    full, local, window = _attention(text, size)
    experts = _experts(text, size)
    width = text.integer("intermediate_size")
    after = text.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0)
    if after:
        left += (f"{after} prediction layers (num_nextn_predict_layers): no list of their tensors "
                 "is published",)
    text.finish()
    hidden, every = size.hidden, size.all_layers
    near = layers_of(_kinds(text, size), "window")
    far = others(every, near)
    tensors = [
        *size.ends(storage),
        *_attending(storage, full, hidden, far), *_attending(storage, local, hidden, near),
        *rows.layer_norms(storage, hidden, every),
        *rows.gated_mlp(storage, rows.DENSE_MLP, others(every, experts.layers), hidden=hidden,
                        width=width),
        *_routed(storage, experts, hidden),
    ]  # fmt: skip
    return spec_of(
        origin, model_type, size, storage, rows=tensors, experts=experts, not_counted=left,
        dense_width=width if set(every) - set(experts.layers) else 0,
        attention=[full.attention(far), local.attention(near, window=window)],
    )  # fmt: skip


def _kinds(text: Fields, size: Backbone) -> tuple[str, ...]:
    return listed_kinds(text, "layer_types", size.layers, ATTENTION) or ("full",) * size.layers


def _attention(text: Fields, size: Backbone) -> tuple[GroupedQuery, GroupedQuery, int]:
    """Heads of full and of windowed layers (``attention_other_setting``), and the window."""
    heads = text.integer("num_attention_heads", high=MAX_EXPERTS)
    groups = text.optional_integer("num_attention_groups", high=MAX_EXPERTS)
    kv_heads = text.integer("num_key_value_heads", high=MAX_EXPERTS, default=groups)
    dim = text.integer("head_dim")
    biases = text.boolean("attention_bias", default=False)
    own = text.integer("num_sliding_attention_heads", high=MAX_EXPERTS, default=heads)
    own_kv, own_dim = kv_heads, dim
    other = text.nested("attention_other_setting")
    if other is not None:
        own = other.integer("num_attention_heads", high=MAX_EXPERTS)
        own_kv = other.integer("num_attention_groups", high=MAX_EXPERTS, default=kv_heads)
        own_dim = other.integer("head_dim", default=dim)
        other.choice("attention_type", ("sliding_attention",), default="sliding_attention")
        other.finish({"true_head_dim"})
    if heads % kv_heads or own % own_kv:
        raise text.error("num_key_value_heads", f"is {kv_heads}; it must divide the heads")
    near = layers_of(_kinds(text, size), "window")
    window = text.optional_integer("sliding_window", high=MAX_CONTEXT)
    if near and window is None:
        raise text.error("sliding_window", "is missing, and layer_types has windowed layers")
    if text.boolean("mlp_bias", default=False):
        raise text.error("mlp_bias", "is true, which is not understood")
    return (GroupedQuery(heads, kv_heads, dim, biases), GroupedQuery(own, own_kv, own_dim, biases),
            window or 0)  # fmt: skip


def _experts(text: Fields, size: Backbone) -> Experts:
    count_key = "n_routed_experts" if text.take("n_routed_experts") is not None else "num_experts"
    if text.take("moe_num_experts") is not None:
        count_key = "moe_num_experts"
    count = text.integer(count_key, high=MAX_EXPERTS)
    chosen_key = "moe_top_k" if text.take("moe_top_k") is not None else "num_experts_per_tok"
    chosen = text.integer(chosen_key, high=MAX_EXPERTS)
    if chosen > count:
        raise text.error(chosen_key, f"is {chosen}; there are {count} experts")
    first = text.integer("first_k_dense_replace", low=0, high=MAX_LAYERS, default=0)
    kinds = listed_kinds(text, "mlp_layer_types", size.layers, MLP)
    listed = text.take("moe_layers_enum")
    if listed is not None and not isinstance(listed, str):
        raise text.error("moe_layers_enum", "is not a text of layer numbers")
    named = tuple(int(n) for n in str(listed or "").split(",") if n.strip().isdecimal())
    layers = layers_of(kinds, "sparse") if kinds \
        else tuple(n for n in named if n < size.layers) \
        or tuple(n for n in size.all_layers if n >= first)
    shared = text.integer("n_shared_experts", low=0, high=MAX_EXPERTS, default=1)
    shared_width = text.integer("share_expert_dim")
    return Experts(
        layers=layers, count=count, per_token=chosen, width=text.integer("moe_intermediate_size"),
        shared=shared, shared_width=shared * shared_width, groups=1,
        groups_per_token=1)  # fmt: skip


def _attending(storage: Storage, a: GroupedQuery, hidden: int, layers: tuple[int, ...],
               ) -> list[TensorRow]:
    if not layers:
        return []
    prefix = LAYER + "self_attn."
    gate = rows.linear(storage, prefix + "g_proj", "attention-qkv", (a.heads, hidden), layers,
                       fused="head-gate", shard="column")  # fmt: skip
    return [*a.rows(storage, hidden, layers),
            *(rows.norm(storage, f"{prefix}{name}_norm", a.head_dim, layers) for name in "qk"),
            replace(gate, quantisable=False)]  # fmt: skip


def _routed(storage: Storage, e: Experts, hidden: int) -> list[TensorRow]:
    """Router and bias; the experts' gates, ups and downs are one tensor each a layer."""
    if not e.layers:
        return []
    prefix = LAYER + "moe."
    return [
        *rows.router(storage, "moe.gate", hidden, e.count, e.layers),
        rows.plain(storage, prefix + "router_bias", "router", (e.count,), e.layers,
                   fused="router-bias", dtype="fp32"),
        *(rows.stack(storage, f"{prefix}{name}_proj.weight", "experts-gate-up", (e.width, hidden),
                     e.layers, fused="experts-gate-up", shard="column", experts=e.count)
          for name in ("gate", "up")),
        rows.stack(storage, prefix + "down_proj.weight", "experts-down", (hidden, e.width),
                   e.layers, fused="experts-down", shard="row", experts=e.count),
        *(rows.gated_mlp(storage, _SHARED, e.layers, hidden=hidden, width=e.shared_width)
          if e.shared else []),
    ]  # fmt: skip
