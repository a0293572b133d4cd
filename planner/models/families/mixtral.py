"""Mixtral: Llama attention and routed experts in every layer."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    read_backbone,
    read_grouped_query,
    read_routing,
    refuse_windows,
    spec_of,
)
from planner.models.fields import HARMLESS, Fields
from planner.models.rows import GatedMlp, Provenance
from planner.models.spec import ModelSpec
from planner.models.storage import read_storage

MODEL_TYPES = ("mixtral",)
_HARMLESS = HARMLESS | {"router_jitter_noise"}
# w1 is the gate, w3 the up and w2 the down projection.
_EXPERT = GatedMlp("block_sparse_moe.experts.{expert}.", "w1", "w3", "w2", "experts")


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Mixtral configuration; ``intermediate_size`` is the expert width.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: sliding-window attention.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    attention = read_grouped_query(fields, size.hidden, biases=False)
    layers, hidden = size.all_layers, size.hidden
    experts = read_routing(
        fields, layers, count_key="num_local_experts", width=fields.integer("intermediate_size")
    )
    refuse_windows(fields, switch_default=True)
    fields.finish(_HARMLESS)
    tensors = [
        *size.ends(storage),
        *attention.rows(storage, hidden, layers),
        *rows.layer_norms(storage, hidden, layers),
        *rows.router(storage, "block_sparse_moe.gate", hidden, experts.count, layers),
        *rows.gated_mlp(storage, _EXPERT, layers, hidden=hidden, width=experts.width,
                        experts=experts.count),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   attention=[attention.attention(layers)])  # fmt: skip
