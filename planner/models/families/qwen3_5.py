"""Qwen3.5, dense and with experts: Qwen3-Next inside a model that also sees, with prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.models import rows
from planner.models.families.common import (
    Backbone,
    GroupedQuery,
    full_layers,
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    refuse_dense_steps,
    spec_of,
    text_of,
)
from planner.models.families.delta import (
    delta_tail,
    experts_rows,
    gated_attention,
    kernel_of,
    read_delta,
    read_shared_expert,
)
from planner.models.families.towers import Seen
from planner.models.families.vision_qwen import qwen3
from planner.models.fields import GENERIC, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("qwen3_5", "qwen3_5_moe")
_TEXT = ("qwen3_5_text", "qwen3_5_moe_text")
_NO_SHAPE = {"partial_rotary_factor", "output_gate_type"}
"""What turns a part of each head, and what the output gate applies: no tensor depends on them."""


@dataclass(frozen=True, slots=True)
class _Config:
    size: Backbone
    attention: GroupedQuery
    experts: Experts | None
    width: int


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Qwen3.5 configuration: text model, prediction layers, vision encoder.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    text, vision = text_of(fields, _TEXT)
    size = read_backbone(text)
    storage = read_storage(text)
    if text.boolean("attention_bias", default=False):
        raise text.error("attention_bias", "is true; Qwen3.5 has no biases")
    if not text.boolean("attn_output_gate", default=True):
        raise text.error("attn_output_gate", "is false; attention without a gate is not understood")
    a = read_grouped_query(text, size.hidden, biases=False, head_dim_optional=False)
    every = text.integer("full_attention_interval", high=MAX_LAYERS, default=4)
    full = full_layers(text, size.layers, other="linear_attention", every=every)
    linear = read_delta(text, others(size.all_layers, full), storage)
    mtp = text.integer("mtp_num_hidden_layers", low=0, high=MAX_LAYERS, default=0)
    if text.boolean("mtp_use_dedicated_embeddings", default=False):
        raise text.error("mtp_use_dedicated_embeddings", "is true, which is not understood")
    refuse_dense_steps(text)
    config = _Config(size, a, *_read_mlp(text, size, model_type))
    text.finish(GENERIC | _NO_SHAPE)
    seen = Seen(()) if vision is None else qwen3(vision, storage, size.hidden, "model.visual.")
    tensors = [
        *rows.renamed(_decoder(storage, config, full, linear), "model.", "model.language_model."),
        *_prediction(storage, config, mtp),
        *seen.rows,
    ]
    spec = spec_of(origin, model_type, size, storage, rows=tensors, experts=config.experts,
                   dense_width=config.width, mtp_layers=mtp,
                   attention=[a.attention(full), linear])  # fmt: skip
    return replace(spec, encoder=seen.encoder)


def _read_mlp(text: Fields, size: Backbone, model_type: str) -> tuple[Experts | None, int]:
    if model_type == "qwen3_5":
        return None, text.integer("intermediate_size")
    width = text.integer("moe_intermediate_size")
    experts = read_routing(text, size.all_layers, count_key="num_experts", width=width)
    return read_shared_expert(text, experts), 0


def _decoder(
    storage: Storage, config: _Config, full: tuple[int, ...], linear: Attention
) -> list[TensorRow]:
    size = config.size
    return [
        *size.ends(storage),
        *gated_attention(storage, config.attention, size.hidden, full),
        *_delta(storage, linear, size.hidden),
        *rows.layer_norms(storage, size.hidden, size.all_layers),
        *_mlp(storage, config, size.all_layers),
    ]


def _mlp(storage: Storage, config: _Config, layers: tuple[int, ...]) -> list[TensorRow]:
    hidden = config.size.hidden
    if config.experts is None:
        return rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=hidden, width=config.width)
    return experts_rows(storage, config.experts, hidden, layers, stacked=True)


def _delta(storage: Storage, a: Attention, hidden: int) -> list[TensorRow]:
    """The delta net with a projection each for q, k, v together, z, b and a."""
    if not a.layers:
        return []
    prefix, keys, values = LAYER + "linear_attn.", a.kv_heads * a.key_dim, a.heads * a.head_dim
    return [
        *(rows.linear(storage, f"{prefix}in_proj_{name}", "linear-attention", (width, hidden),
                      a.layers, fused="linear-in", shard="column")
          for name, width in (("qkv", 2 * keys + values), ("z", values), ("b", a.heads),
                              ("a", a.heads))),
        *delta_tail(storage, a, hidden, kernel=kernel_of(a)),
    ]  # fmt: skip


def _prediction(storage: Storage, config: _Config, count: int) -> list[TensorRow]:
    """One projection and norms for all prediction layers, then gated attention layers."""
    if not count:
        return []
    size = config.size
    layers = tuple(range(size.layers, size.layers + count))
    tensors = [
        rows.plain(storage, "mtp.fc.weight", "mtp", (size.hidden, 2 * size.hidden), (),
                   fused="eh-proj"),
        *(rows.norm(storage, f"mtp.{name}", size.hidden, ())
          for name in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm")),
    ]  # fmt: skip
    for number, layer in enumerate(layers):
        block = [
            *gated_attention(storage, config.attention, size.hidden, (layer,)),
            *rows.layer_norms(storage, size.hidden, (layer,)),
            *_mlp(storage, config, (layer,)),
        ]
        tensors += rows.renamed(block, LAYER, f"mtp.layers.{number}.")
    return rows.part_of(tensors, "mtp")
