"""Granite 4 (Mamba-2 beside attention, experts beside a shared MLP) and Granite 3's experts.

Dense releases have no experts: the shared MLP is all there is.
"""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.common import (
    ATTENTION,
    Backbone,
    layers_of,
    listed_kinds,
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    spec_of,
)
from planner.models.families.mamba import mamba2, mamba2_rows
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("granitemoe", "granitemoe_swa", "granitemoehybrid", "granitemoeshared")


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Granite configuration with experts or with Mamba-2 layers.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size, storage = read_backbone(fields), read_storage(fields)
    biases = fields.boolean("attention_bias", default=False)
    a = read_grouped_query(fields, size.hidden, biases=biases)
    windowed = model_type == "granitemoe_swa"
    kinds = listed_kinds(fields, "layer_types", size.layers, ATTENTION) or listed_kinds(
        fields, "layers_block_type", size.layers, ATTENTION
    )
    linear = layers_of(kinds, "linear")
    near = layers_of(kinds, "window")
    if windowed and not kinds:
        raise fields.error("layer_types", "is missing")
    window = fields.integer("sliding_window", high=MAX_CONTEXT) if windowed else 0
    if near and not window:
        raise fields.error("layer_types", "holds windows, which this type does not have")
    groups: list[Attention] = [a.attention(others(size.all_layers, (*linear, *near)),
                                           sinks=windowed)]  # fmt: skip
    conv = inner = False
    if model_type == "granitemoehybrid":
        groups.append(_mamba(fields, size, storage, linear))
        conv = fields.boolean("mamba_conv_bias", default=True)
        inner = fields.boolean("mamba_proj_bias", default=False)
    width = fields.integer("intermediate_size")
    shared = 0 if model_type == "granitemoe" else fields.integer("shared_intermediate_size", low=0)
    experts = _experts(fields, size, width, shared)
    fields.finish()
    hidden, keeping = size.hidden, others(size.all_layers, linear)
    tensors = [
        *size.ends(storage),
        *(a.rows(storage, hidden, keeping) if keeping else []),
        *([rows.plain(storage, LAYER + "self_attn.sinks", "attention-qkv", (a.heads,), keeping,
                      fused="sinks", shard="column")] if windowed else []),
        *(mamba2_rows(storage, groups[1], hidden, module="mamba.", conv_bias=conv, biases=inner)
          if linear else []),
        *rows.layer_norms(storage, hidden, size.all_layers),
        *_shared(storage, hidden, shared, size.all_layers, "mlp" if experts is None else "shared"),
        *(_routed(storage, experts, hidden) if experts is not None else []),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   dense_width=shared if experts is None else 0,
                   attention=[*groups, a.attention(near, window=window, sinks=windowed)]
                   )  # fmt: skip


def _mamba(
    fields: Fields,
    size: Backbone,
    storage: Storage,
    layers: tuple[int, ...],
) -> Attention:
    """Mamba-2, whose state engines keep in the model's type (vLLM 0.32, mamba_ssm_cache_dtype)."""
    heads = fields.integer("mamba_n_heads", high=MAX_EXPERTS)
    expand = fields.integer("mamba_expand", high=MAX_EXPERTS, default=2)
    stated = fields.take("mamba_d_head")
    dim = (
        expand * size.hidden // heads
        if stated in (None, "auto")
        else fields.integer("mamba_d_head")
    )
    if heads * dim != expand * size.hidden:
        raise fields.error("mamba_d_head", f"is {dim}: {heads} heads of it are not {expand} times "
                           f"the hidden size of {size.hidden}")  # fmt: skip
    return mamba2(
        fields, layers, storage, heads=heads, head_dim=dim,
        groups=fields.integer("mamba_n_groups", high=MAX_EXPERTS, default=1),
        states=fields.integer("mamba_d_state"), default=storage.plain,
        kernel=fields.integer("mamba_d_conv", high=MAX_EXPERTS, default=4))  # fmt: skip


def _experts(fields: Fields, size: Backbone, width: int, shared: int) -> Experts | None:
    if fields.integer("num_local_experts", low=0, high=MAX_EXPERTS) == 0:
        fields.integer("num_experts_per_tok", low=0, high=MAX_EXPERTS, default=0)
        return None
    experts = read_routing(fields, size.all_layers, count_key="num_local_experts", width=width)
    return replace(experts, shared=1 if shared else 0, shared_width=shared)


def _shared(
    storage: Storage,
    hidden: int,
    width: int,
    layers: tuple[int, ...],
    kind: str,
) -> list[TensorRow]:
    """The MLP that every token passes: gate and up are one matrix."""
    if not width:
        return []
    group = "" if kind == "mlp" else "shared-"
    return [
        rows.linear(storage, LAYER + "shared_mlp.input_linear", kind + "-gate-up",
                    (2 * width, hidden), layers, fused=group + "gate-up", shard="column"),
        rows.linear(storage, LAYER + "shared_mlp.output_linear", kind + "-down", (hidden, width),
                    layers, fused=group + "down", shard="row"),
    ]  # fmt: skip


def _routed(storage: Storage, e: Experts, hidden: int) -> list[TensorRow]:
    prefix = LAYER + "block_sparse_moe."
    return [
        *rows.router(storage, "block_sparse_moe.router.layer", hidden, e.count, e.layers),
        rows.stack(storage, prefix + "input_linear.weight", "experts-gate-up",
                   (2 * e.width, hidden), e.layers, fused="experts-gate-up", shard="column",
                   experts=e.count),
        rows.stack(storage, prefix + "output_linear.weight", "experts-down", (hidden, e.width),
                   e.layers, fused="experts-down", shard="row", experts=e.count),
    ]  # fmt: skip
