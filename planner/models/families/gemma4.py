"""Gemma 4, text: windowed and full layers of different heads, a dense MLP beside the experts."""

from __future__ import annotations

from dataclasses import replace

from planner.errors import DataError
from planner.models import rows
from planner.models.families import vision
from planner.models.families.common import (
    GroupedQuery,
    full_layers,
    others,
    read_backbone,
    read_grouped_query,
    spec_of,
    text_of,
)
from planner.models.families.gemma3 import sandwich_norms
from planner.models.fields import GENERIC, MAX_CONTEXT, MAX_EXPERTS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("gemma4",)
_HARMLESS = GENERIC | {
    "final_logit_softcapping", "hidden_activation", "use_bidirectional_attention",
    "vocab_size_per_layer_input",
}  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Gemma 4 configuration: text model and, where it is stated, the encoder.

    In full layers one projection makes keys and values (``attention_k_eq_v``); both are cached,
    since only keys are rotated.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    text, seeing = text_of(fields, ("gemma4_text",))
    size = read_backbone(text)
    storage = read_storage(text)
    biases = text.boolean("attention_bias", default=False)
    local = read_grouped_query(text, size.hidden, biases=biases, head_dim_optional=False)
    shared_kv = text.boolean("attention_k_eq_v", default=False)
    full = full_layers(text, size.layers, other="sliding_attention")
    wide = _full_heads(text, local, full, shared_kv)
    window = text.integer("sliding_window", high=MAX_CONTEXT)
    for name in ("num_kv_shared_layers", "hidden_size_per_layer_input"):
        text.integer(name, low=0, high=0, default=0)
    if text.boolean("use_double_wide_mlp", default=False):
        raise text.error("use_double_wide_mlp", "is true, which is not understood")
    width = text.integer("intermediate_size")
    experts = _read_experts(text, size.all_layers)
    text.finish(_HARMLESS)
    rest = others(size.all_layers, full)
    tensors = [
        *size.ends(storage),
        *_attention(storage, wide, size.hidden, full, shared_kv),
        *_attention(storage, local, size.hidden, rest, False),
        *sandwich_norms(storage, size.hidden, size.all_layers),
        *_scalars(storage, size.all_layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, size.all_layers, hidden=size.hidden,
                        width=width),
        *([] if experts is None else _experts(storage, experts, size.hidden)),
    ]  # fmt: skip
    return spec_of(
        origin, model_type, size, storage, experts=experts, dense_width=width,
        rows=[*rows.renamed(tensors, "model.", "model.language_model."),
              *([] if seeing is None else vision.gemma4(seeing, storage, size.hidden))],
        not_counted=() if seeing is not None else (vision.NO_VISION,),
        attention=[wide.attention(full), local.attention(rest, window=window)],
    )  # fmt: skip


def _full_heads(
    text: Fields, local: GroupedQuery, full: tuple[int, ...], shared_kv: bool
) -> GroupedQuery:
    """The heads of full layers: stated once, or layer by layer in ``per_layer_config``. Their
    number of key and value heads counts where one projection makes both.

    Raises:
        DataError: heads that do not divide, or layers that differ otherwise.
    """
    layered = text.nested("per_layer_config")
    if layered is not None:
        own = _only_entry(layered, full)
        head_dim = own.integer("head_dim", default=local.head_dim)
        kv_heads = own.integer("num_key_value_heads", high=MAX_EXPERTS, default=local.kv_heads)
        own.finish()
        for name in ("global_head_dim", "num_global_key_value_heads"):
            text.take(name)
    else:
        head_dim = text.integer("global_head_dim", default=local.head_dim)
        name = "num_global_key_value_heads"
        stated = text.integer(name, high=MAX_EXPERTS, default=local.kv_heads)
        kv_heads = stated if shared_kv else local.kv_heads
    if local.heads % kv_heads:
        raise text.error("num_global_key_value_heads", f"is {kv_heads}; it must divide "
                         f"{local.heads} heads")  # fmt: skip
    return replace(local, kv_heads=kv_heads, head_dim=head_dim)


def _only_entry(layered: Fields, full: tuple[int, ...]) -> Fields:
    """The one entry that all ``full`` layers have, and no other layer.

    Raises:
        DataError: another set of layers, or entries that differ.
    """
    names = layered.names()
    values = [layered.take(name) for name in names]
    if {int(name) for name in names if name.isdecimal()} != set(full) or len(names) != len(full):
        raise DataError(f"{layered.place} is not about the layers of full attention",
                        hint="compare it with the configuration of the release")
    if any(value != values[0] for value in values):
        raise DataError(f"{layered.place} differs between layers, which is not understood",
                        hint="compare it with the configuration of the release")
    return layered.nested(names[0]) or layered


def _read_experts(text: Fields, layers: tuple[int, ...]) -> Experts | None:
    if not text.boolean("enable_moe_block", default=False):
        for name in ("moe_intermediate_size", "num_experts", "top_k_experts"):
            text.take(name)
        return None
    count = text.integer("num_experts", high=MAX_EXPERTS)
    per_token = text.integer("top_k_experts", high=MAX_EXPERTS)
    if per_token > count:
        raise text.error("top_k_experts", f"is {per_token}; there are {count} experts")
    width = text.integer("moe_intermediate_size")
    return Experts(
        layers=layers, count=count, per_token=per_token, width=width, shared=0,
        shared_width=0, groups=1, groups_per_token=1,
    )  # fmt: skip


def _attention(
    storage: Storage, a: GroupedQuery, hidden: int, layers: tuple[int, ...], shared_kv: bool
) -> list[TensorRow]:
    found = a.rows(storage, hidden, layers)
    if not layers:
        return []
    return [
        *(row for row in found if not (shared_kv and ".v_proj." in row.name)),
        rows.norm(storage, LAYER + "self_attn.q_norm", a.head_dim, layers),
        rows.norm(storage, LAYER + "self_attn.k_norm", a.head_dim, layers),
    ]


def _scalars(storage: Storage, layers: tuple[int, ...]) -> list[TensorRow]:
    """A buffer of one value a layer, which published counts leave out."""
    scalar = rows.plain(storage, LAYER + "layer_scalar", "norm", (1,), layers,
                        fused="layer-scalar")  # fmt: skip
    return [replace(scalar, counted=False)]


def _experts(storage: Storage, e: Experts, hidden: int) -> list[TensorRow]:
    """Router with two scales, stacked experts, and the norms around both branches."""
    layers = e.layers
    return [
        *(rows.norm(storage, LAYER + name, hidden, layers)
          for name in ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2",
                       "pre_feedforward_layernorm_2")),
        *rows.router(storage, "router.proj", hidden, e.count, layers),
        rows.plain(storage, LAYER + "router.scale", "router", (hidden,), layers,
                   fused="router-scale"),
        rows.plain(storage, LAYER + "router.per_expert_scale", "router", (e.count,), layers,
                   fused="router-expert-scale"),
        rows.stack(storage, LAYER + "experts.gate_up_proj", "experts-gate-up",
                   (2 * e.width, hidden), layers, fused="experts-gate-up", shard="column",
                   experts=e.count),
        rows.stack(storage, LAYER + "experts.down_proj", "experts-down", (hidden, e.width),
                   layers, fused="experts-down", shard="row", experts=e.count),
    ]  # fmt: skip
