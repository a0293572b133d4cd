"""Qwen3 mixture of experts: Qwen3 attention, routed experts in every ``decoder_sparse_step``."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    GroupedQuery,
    read_backbone,
    read_grouped_query,
    read_routing,
    refuse_windows,
    spec_of,
)
from planner.models.fields import HARMLESS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("qwen3_moe",)
_HARMLESS = HARMLESS | {"norm_topk_prob", "use_qk_norm"}


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Qwen3 mixture-of-experts configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: sliding-window attention.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = fields.boolean("attention_bias", default=False)
    for key, none in (("qkv_bias", False), ("shared_expert_intermediate_size", 0)):
        if fields.take(key) not in (None, none):
            raise fields.error(key, f"is not {none}, which Qwen3 does not know")
    attention = read_grouped_query(fields, size.hidden, biases=biases)
    width = fields.integer("intermediate_size")
    moe = _expert_layers(fields, size.layers)
    experts = read_routing(
        fields, moe, count_key="num_experts", width=fields.integer("moe_intermediate_size")
    )
    refuse_windows(fields, switch_default=False)
    fields.finish(_HARMLESS)
    dense = tuple(sorted(set(size.all_layers) - set(moe)))
    hidden = size.hidden
    tensors = [
        *size.ends(storage),
        *_normed_attention(storage, attention, hidden, size.all_layers),
        *rows.layer_norms(storage, hidden, size.all_layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, dense, hidden=hidden, width=width),
        *rows.router(storage, "mlp.gate", hidden, experts.count, moe),
        *rows.gated_mlp(storage, rows.EXPERT_MLP, moe, hidden=hidden, width=experts.width,
                        experts=experts.count),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   dense_width=width if dense else 0,
                   attention=[attention.attention(size.all_layers)])  # fmt: skip


def _expert_layers(fields: Fields, layers: int) -> tuple[int, ...]:
    """Layers with experts: every ``decoder_sparse_step``-th that is not in ``mlp_only_layers``."""
    step = fields.integer("decoder_sparse_step", high=MAX_LAYERS, default=1)
    dense_only = set(fields.integers("mlp_only_layers", low=0, high=layers - 1))
    return tuple(
        layer for layer in range(layers) if layer not in dense_only and (layer + 1) % step == 0
    )


def _normed_attention(
    storage: Storage, attention: GroupedQuery, hidden: int, layers: tuple[int, ...]
) -> list[TensorRow]:
    """Grouped-query projections and the norms over one query head and one key head."""
    return [
        *attention.rows(storage, hidden, layers),
        rows.norm(storage, LAYER + "self_attn.q_norm", attention.head_dim, layers),
        rows.norm(storage, LAYER + "self_attn.k_norm", attention.head_dim, layers),
    ]  # fmt: skip
