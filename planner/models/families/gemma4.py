"""Gemma 4, text: windowed and full layers of different heads, a dense MLP beside the experts; the
E models have an embedding a layer and layers that borrow the caches of earlier ones."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families import vision
from planner.models.families.audio import gemma4_audio
from planner.models.families.common import (
    GroupedQuery,
    entry_of_layers,
    full_layers,
    others,
    read_backbone,
    read_grouped_query,
    spec_of,
    text_of,
)
from planner.models.families.gemma3 import sandwich_norms
from planner.models.families.per_layer import (
    groups_of,
    input_rows,
    read_shared,
    shared_attention,
)
from planner.models.families.towers import Seen
from planner.models.fields import GENERIC, MAX_CONTEXT, MAX_EXPERTS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("gemma4", "gemma4_unified")
_EVERY = 6
_HARMLESS = GENERIC | {
    "final_logit_softcapping", "hidden_activation", "use_bidirectional_attention",
}  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Gemma 4 configuration: text model and, where it is stated, the encoder.

    In full layers one projection makes keys and values (``attention_k_eq_v``); both are cached,
    since only keys are rotated.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    hearing = fields.nested("audio_config")
    no_encoder = model_type == "gemma4_unified"
    inner = "gemma4_unified_text" if no_encoder else "gemma4_text"
    text, seeing = text_of(fields, (inner,), hears=True)
    size = read_backbone(text)
    storage = read_storage(text)
    biases = text.boolean("attention_bias", default=False)
    local = read_grouped_query(text, size.hidden, biases=biases, head_dim_optional=False)
    shared_kv = text.boolean("attention_k_eq_v", default=False)
    full = full_layers(text, size.layers, other="sliding_attention", every=_EVERY)
    full = tuple(sorted({*full, size.layers - 1}))  # the class makes the last one full
    wide = _full_heads(text, local, full, shared_kv)
    window = text.integer("sliding_window", high=MAX_CONTEXT)
    borrowing = read_shared(text, size, full)
    per_layer = text.integer("hidden_size_per_layer_input", low=0, default=0)
    vocab = text.integer("vocab_size_per_layer_input", default=size.vocab)
    double = borrowing if text.boolean("use_double_wide_mlp", default=False) else ()
    width = text.integer("intermediate_size")
    experts = _read_experts(text, size.all_layers)
    text.finish(_HARMLESS)
    own, rest = (
        tuple(layer for layer in others(size.all_layers, borrowing) if (layer in full) == is_full)
        for is_full in (True, False)
    )
    tensors = [
        *size.ends(storage),
        *(input_rows(storage, size, per_layer, vocab) if per_layer else ()),
        *_attention(storage, wide, size.hidden, own, shared_kv),
        *_attention(storage, local, size.hidden, rest, False),
        *(row for a, is_full in ((wide, True), (local, False)) for row in shared_attention(
            storage, a, size.hidden, tuple(n for n in borrowing if (n in full) == is_full),
            values=not (is_full and shared_kv))),
        *sandwich_norms(storage, size.hidden, size.all_layers),
        *_scalars(storage, size.all_layers),
        *(row for times, layers in ((1, others(size.all_layers, double)), (2, double))
          for row in rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=size.hidden,
                                    width=times * width)),
        *([] if experts is None else _experts(storage, experts, size.hidden)),
    ]  # fmt: skip
    see, hear = vision.gemma4, gemma4_audio
    if no_encoder:
        see, hear = vision.gemma4_unified, vision.gemma4_unified_audio
    seen = Seen(()) if seeing is None else see(seeing, storage, size.hidden)
    heard = [] if hearing is None else hear(hearing, storage, size.hidden)
    spec = spec_of(
        origin, model_type, size, storage, experts=experts,
        dense_width=2 * width if double else width,
        rows=[*rows.renamed(tensors, "model.", "model.language_model."), *seen.rows, *heard],
        not_counted=() if seeing is not None else (vision.NO_VISION,),
        attention=groups_of(wide, local, full, borrowing, size, window),
    )  # fmt: skip
    return replace(spec, encoder=seen.encoder)


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
        own = entry_of_layers(layered, full, "layers of full attention")
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
    tensors = a.rows(storage, hidden, layers)
    if not layers:
        return []
    return [
        *(row for row in tensors if not (shared_kv and ".v_proj." in row.name)),
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
