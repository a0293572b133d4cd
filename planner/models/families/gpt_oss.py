"""gpt-oss: every second layer attends to a window, sinks, experts in one tensor a layer."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.common import (
    GroupedQuery,
    full_layers,
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    spec_of,
)
from planner.models.fields import HARMLESS, MAX_CONTEXT, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("gpt_oss",)
_HARMLESS = HARMLESS | {
    "experts_per_token", "initial_context_length", "max_seq_len", "swiglu_limit",
}  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a gpt-oss configuration; ``intermediate_size`` is the expert width.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size = read_backbone(fields)
    storage = read_storage(fields, default="bf16")
    biases = fields.boolean("attention_bias", default=True)
    fields.agree("mlp_bias", True)
    a = read_grouped_query(fields, size.hidden, biases=biases)
    layers, hidden = size.all_layers, size.hidden
    full = full_layers(fields, size.layers, other="sliding_attention")
    window = fields.integer("sliding_window", high=MAX_CONTEXT)
    experts = read_routing(
        fields, layers, count_key="num_local_experts", width=fields.integer("intermediate_size")
    )
    fields.finish(_HARMLESS)
    gate = rows.router(storage, "mlp.router", hidden, experts.count, layers)
    tensors = [
        *size.ends(storage),
        *_attention(storage, a, hidden, layers),
        *rows.layer_norms(storage, hidden, layers),
        *rows.with_biases(storage, gate, True),
        *_experts(storage, experts, hidden),
    ]
    return spec_of(
        origin, model_type, size, storage, rows=tensors, experts=experts,
        attention=[a.attention(full, sinks=True),
                   a.attention(others(layers, full), window=window, sinks=True)],
    )  # fmt: skip


def _attention(
    storage: Storage, a: GroupedQuery, hidden: int, layers: tuple[int, ...]
) -> list[TensorRow]:
    return [
        *a.rows(storage, hidden, layers),
        rows.plain(storage, LAYER + "self_attn.sinks", "attention-qkv", (a.heads,), layers,
                   fused="sinks", shard="column"),
    ]  # fmt: skip


def _experts(storage: Storage, experts: Experts, hidden: int) -> list[TensorRow]:
    """Gate and up rows alternate in one matrix an expert; both matrices have biases."""
    name, width, layers = LAYER + "mlp.experts.", experts.width, experts.layers
    tensors: list[TensorRow] = []
    for stem, kind, shape, fused, column in (
        ("gate_up_proj", "experts-gate-up", (2 * width, hidden), "experts-gate-up", True),
        ("down_proj", "experts-down", (hidden, width), "experts-down", False),
    ):
        matrix = rows.stack(storage, name + stem, kind, shape, layers, fused=fused,
                            shard="column" if column else "row", experts=experts.count,
                            transposed=True)  # fmt: skip
        bias = rows.plain(
            storage,
            f"{name}{stem}_bias",
            kind,
            shape[:1],
            layers,
            fused=fused + "-bias",
            shard="column" if column else "replicated",
        )
        tensors += [matrix, replace(bias, experts=experts.count, stacked=True)]
    return tensors
