"""Qwen3-Next: three gated delta nets to one gated attention layer, experts in every layer."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    NO_PREDICTION,
    full_layers,
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    refuse_dense_steps,
    spec_of,
)
from planner.models.families.delta import (
    delta_tail,
    experts_rows,
    gated_attention,
    kernel_of,
    read_delta,
    read_shared_expert,
)
from planner.models.fields import HARMLESS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("qwen3_next",)
_HARMLESS = HARMLESS | {
    "intermediate_size", "norm_topk_prob", "partial_rotary_factor", "use_sliding_window",
}  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Qwen3-Next configuration.

    It does not say whether the files hold a prediction layer: none is counted.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    if fields.boolean("attention_bias", default=False):
        raise fields.error("attention_bias", "is true; Qwen3-Next has no biases")
    a = read_grouped_query(fields, size.hidden, biases=False, head_dim_optional=False)
    every = fields.integer("full_attention_interval", high=MAX_LAYERS, default=4)
    full = full_layers(fields, size.layers, other="linear_attention", every=every)
    linear = read_delta(fields, others(size.all_layers, full), storage)
    refuse_dense_steps(fields)
    experts = read_routing(
        fields, size.all_layers, count_key="num_experts",
        width=fields.integer("moe_intermediate_size"),
    )  # fmt: skip
    experts = read_shared_expert(fields, experts)
    fields.finish(_HARMLESS)
    hidden, layers = size.hidden, size.all_layers
    tensors = [
        *size.ends(storage),
        *gated_attention(storage, a, hidden, full),
        *_delta(storage, linear, hidden),
        *rows.layer_norms(storage, hidden, layers),
        *experts_rows(storage, experts, hidden, layers, stacked=False),
    ]
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   not_counted=(NO_PREDICTION,), attention=[a.attention(full), linear])  # fmt: skip


def _delta(storage: Storage, a: Attention, hidden: int) -> list[TensorRow]:
    """The delta net with one projection for q, k, v and z, and one for b and a."""
    prefix, keys, values = LAYER + "linear_attn.", a.kv_heads * a.key_dim, a.heads * a.head_dim
    if not a.layers:
        return []
    return [
        rows.linear(storage, prefix + "in_proj_qkvz", "linear-attention",
                    (2 * keys + 2 * values, hidden), a.layers, fused="linear-qkvz",
                    shard="column"),
        rows.linear(storage, prefix + "in_proj_ba", "linear-attention", (2 * a.heads, hidden),
                    a.layers, fused="linear-ba", shard="column"),
        *delta_tail(storage, a, hidden, kernel=kernel_of(a)),
    ]  # fmt: skip
