"""Phi-3.5-MoE: Mixtral's experts with biased attention, biased norms and a biased head."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.common import (
    read_backbone,
    read_grouped_query,
    read_routing,
    spec_of,
)
from planner.models.fields import MAX_CONTEXT, Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("phimoe",)


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Phi-MoE configuration; ``intermediate_size`` is the expert width.

    A window as wide as the context is none.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size, storage = read_backbone(fields), read_storage(fields)
    a = read_grouped_query(
        fields, size.hidden, biases=fields.boolean("attention_bias", default=False)
    )
    experts = read_routing(
        fields,
        size.all_layers,
        count_key="num_local_experts",
        width=fields.integer("intermediate_size"),
    )
    window = fields.optional_integer("sliding_window", high=MAX_CONTEXT)
    headed = fields.boolean("lm_head_bias", default=False)
    fields.finish()
    hidden, layers = size.hidden, size.all_layers
    own = [
        *size.ends(storage),
        *a.rows(storage, hidden, layers),
        *rows.layer_norms(storage, hidden, layers),
        *rows.router(storage, "block_sparse_moe.gate", hidden, experts.count, layers),
        *rows.gated_mlp(storage, rows.NUMBERED_MLP, layers, hidden=hidden, width=experts.width,
                        experts=experts.count),
    ]  # fmt: skip
    limit = window if window is not None and window < size.context else 0
    return spec_of(origin, model_type, size, storage, experts=experts,
                   rows=[*own, *_biases(storage, own, headed and not size.tied)],
                   attention=[a.attention(layers, window=limit)])  # fmt: skip


def _biases(storage: Storage, own: list[TensorRow], headed: bool) -> list[TensorRow]:
    """Biases of the norms, and of the head."""
    return [
        replace(rows.bias(storage, row), layers=row.layers)
        for row in own
        if row.kind == "norm" or (headed and row.kind == "head")
    ]
