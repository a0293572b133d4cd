"""Llama 4, text: three layers attend to a chunk of the sequence, the fourth to all of it."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families import vision
from planner.models.families.common import (
    full_layers,
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    spec_of,
    text_of,
)
from planner.models.fields import GENERIC, MAX_CONTEXT, MAX_LAYERS, Fields
from planner.models.rows import LAYER, GatedMlp, Provenance
from planner.models.spec import Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("llama4",)
_HARMLESS = GENERIC | {"attn_scale", "attn_temperature_tuning", "floor_scale", "for_llm_compressor",
                       "router_jitter_noise", "use_qk_norm"}  # fmt: skip
_FULL_EVERY = 4
_DENSE = GatedMlp("feed_forward.", "gate_proj", "up_proj", "down_proj", "mlp")
_SHARED = GatedMlp("feed_forward.shared_expert.", "gate_proj", "up_proj", "down_proj", "shared")


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Llama 4 configuration: text model and, where it is stated, the encoder;
    that of the class, which transformers writes where none was stated, is of no release.

    ``intermediate_size`` is the width of routed and shared experts, ``intermediate_size_mlp`` of
    dense layers. Norms of queries and keys have no weights.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    text, seeing = text_of(fields, ("llama4_text",))
    if seeing is not None and seeing.is_class_default:
        fields.leave_out("the vision encoder: vision_config is its class's default")
        seeing = None
    size = read_backbone(text)
    storage = read_storage(text)
    biases = text.boolean("attention_bias", default=False)
    a = read_grouped_query(text, size.hidden, biases=biases)
    full = full_layers(text, size.layers, other="chunked_attention",
                       every=text.integer("no_rope_layer_interval", high=MAX_LAYERS,
                                          default=_FULL_EVERY))  # fmt: skip
    window = text.integer("attention_chunk_size", high=MAX_CONTEXT)
    step = text.integer("interleave_moe_layer_step", high=MAX_LAYERS, default=1)
    moe = tuple(layer for layer in size.all_layers if (layer + 1) % step == 0)
    width = text.integer("intermediate_size")
    experts = read_routing(text, moe, count_key="num_local_experts", width=width)
    experts = replace(experts, shared=1, shared_width=width)
    dense_width = text.integer("intermediate_size_mlp")
    _check_lists(text, size.layers, full, moe)
    text.finish(_HARMLESS)
    layers, hidden = size.all_layers, size.hidden
    dense = others(layers, moe)
    tensors = [
        *size.ends(storage),
        *a.rows(storage, hidden, layers),
        *rows.layer_norms(storage, hidden, layers),
        *rows.gated_mlp(storage, _DENSE, dense, hidden=hidden, width=dense_width),
        *_experts(storage, experts, hidden),
        *rows.gated_mlp(storage, _SHARED, moe, hidden=hidden, width=width),
    ]  # fmt: skip
    tensors = rows.renamed(tensors, "", "language_model.")
    if seeing is not None:
        tensors += vision.llama4(seeing, storage, hidden)
    return spec_of(
        origin, model_type, size, storage, rows=tensors, experts=experts,
        dense_width=dense_width if dense else 0,
        attention=[a.attention(full),
                   a.attention(others(layers, full), window=window, chunked=True)],
    )  # fmt: skip


def _check_lists(text: Fields, layers: int, full: tuple[int, ...], moe: tuple[int, ...]) -> None:
    """Refuse lists of layers that say something else than the intervals.

    Raises:
        DataError: they do.
    """
    turned = tuple(int(layer not in full) for layer in range(layers))
    if text.integers("no_rope_layers", low=0, high=1) not in ((), turned):
        raise text.error("no_rope_layers", "contradicts the layers of full attention")
    if text.integers("moe_layers", low=0, high=layers - 1) not in ((), moe):
        raise text.error("moe_layers", "contradicts interleave_moe_layer_step")


def _experts(storage: Storage, experts: Experts, hidden: int) -> list[TensorRow]:
    name, width, layers = LAYER + "feed_forward.experts.", experts.width, experts.layers
    return [
        *rows.router(storage, "feed_forward.router", hidden, experts.count, layers),
        rows.stack(storage, name + "gate_up_proj", "experts-gate-up", (2 * width, hidden), layers,
                   fused="experts-gate-up", shard="column", experts=experts.count,
                   transposed=True),
        rows.stack(storage, name + "down_proj", "experts-down", (hidden, width), layers,
                   fused="experts-down", shard="row", experts=experts.count, transposed=True),
    ]  # fmt: skip
