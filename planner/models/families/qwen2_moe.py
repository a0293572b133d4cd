"""Qwen1.5-MoE and Qwen2-MoE: biased queries, keys and values; a gated shared expert."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    refuse_windows,
    spec_of,
)
from planner.models.families.delta import experts_rows, read_shared_expert
from planner.models.fields import MAX_LAYERS, Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec
from planner.models.storage import read_storage

MODEL_TYPES = ("qwen2_moe",)


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Qwen2 mixture-of-experts configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: sliding-window attention.
    """
    size, storage = read_backbone(fields), read_storage(fields)
    a = read_grouped_query(fields, size.hidden, biases=fields.boolean("qkv_bias", default=True))
    step = fields.integer("decoder_sparse_step", high=MAX_LAYERS, default=1)
    dense_only = set(fields.integers("mlp_only_layers", low=0, high=size.layers - 1))
    moe = tuple(n for n in size.all_layers if n not in dense_only and (n + 1) % step == 0)
    width = fields.integer("intermediate_size")
    experts = read_shared_expert(
        fields,
        read_routing(
            fields, moe, count_key="num_experts", width=fields.integer("moe_intermediate_size")
        ),
    )
    refuse_windows(fields, switch_default=False)
    fields.finish()
    hidden, dense = size.hidden, others(size.all_layers, moe)
    tensors = [
        *size.ends(storage),
        *a.rows(storage, hidden, size.all_layers, out_bias=False),
        *rows.layer_norms(storage, hidden, size.all_layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, dense, hidden=hidden, width=width),
        *(experts_rows(storage, experts, hidden, moe, stacked=False) if moe else []),
    ]
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   dense_width=width if dense else 0,
                   attention=[a.attention(size.all_layers)])  # fmt: skip
