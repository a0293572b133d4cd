"""Step-3.5 and Step-3.7 Flash: windowed layers of more heads, gated heads, experts after three.

The vision encoder of Step-3.7 is a CLIP-like stack with layer scales, two convolutions that halve a
side each, and one projection. Source: the model code of Hugging Face Transformers 5.24, and its
names of the release's tensors (conversion_mapping.py).
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.strict_json import short_repr
from planner.messages.message import Note, message
from planner.models import rows
from planner.models.families.common import (
    ATTENTION,
    MLP,
    NO_VISION,
    Backbone,
    GroupedQuery,
    entry_of_layers,
    layers_of,
    listed_kinds,
    others,
    read_backbone,
    spec_of,
    text_of,
)
from planner.models.families.towers import Seen, Tower
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, MAX_WIDTH, Fields
from planner.models.rows import LAYER, GatedMlp, Provenance
from planner.models.spec import Experts, ImageEncoder, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("step3p5", "step3p7")
_FIRST_SPARSE = 3
_SHARED = GatedMlp("share_expert.", "gate_proj", "up_proj", "down_proj", "shared")


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Step-3.5 or Step-3.7 configuration, flat or inside one that also sees.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    text, seeing = fields, None
    left: tuple[str, ...] = ()
    outer = None
    if fields.take("text_config") is not None:
        outer = fields.boolean("tie_word_embeddings", default=False)  # the class reads no other
        bias = fields.boolean("projector_bias", default=False)
        text, seeing = text_of(fields, ("step3p5",), unnamed="step3p5")
    elif model_type == "step3p7":
        left = (NO_VISION,)
    size, storage = read_backbone(text), read_storage(text)
    size = size if outer is None else replace(size, tied=outer)
    after = text.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0)
    full, local, window = _attention(text, size, after)
    experts = _experts(text, size, after)
    width = text.integer("intermediate_size")
    text.finish()
    hidden, every = size.hidden, size.all_layers
    kinds = _kinds(text, size, after)
    near = layers_of(kinds[: size.layers], "window")
    far = others(every, near)
    tensors = [
        *size.ends(storage),
        *_attending(storage, full, hidden, far), *_attending(storage, local, hidden, near),
        *rows.layer_norms(storage, hidden, every),
        *rows.gated_mlp(storage, rows.DENSE_MLP, others(every, experts.layers), hidden=hidden,
                        width=width),
        *_routed(storage, experts, hidden),
        *_prediction(storage, full, size, width, _behind(kinds, size, near=False)),
        *_prediction(storage, local, size, width, _behind(kinds, size, near=True)),
    ]  # fmt: skip
    unlisted = (
        after
        and len(text.strings("layer_types")) == size.layers
        and not text.strings("mtp_layer_types")
    )
    seen = Seen(()) if seeing is None else read_vision(seeing, storage, hidden, bias=bias)
    spec = spec_of(
        origin, model_type, size, storage, rows=[*tensors, *seen.rows], experts=experts,
        not_counted=left, mtp_layers=after,
        dense_width=width if set(every) - set(experts.layers) else 0,
        attention=[full.attention(far), local.attention(near, window=window)],
    )  # fmt: skip
    note = Note(
        "prediction layers",
        message("assumptions.with_heads_of_full_attention"),
        message("assumptions.layer_types_ends_before_them"),
    )
    return replace(spec, encoder=seen.encoder, notes=(*spec.notes, *([note] if unlisted else [])))


def _kinds(text: Fields, size: Backbone, after: int) -> tuple[str, ...]:
    """The kind of every layer, of prediction layers too, which releases list behind the others and
    transformers writes into a list of their own; what is not listed is full."""
    listed = listed_kinds(text, "layer_types", size.layers, ATTENTION, after=after)
    if after and len(listed) == size.layers:
        listed += listed_kinds(text, "mtp_layer_types", after, ATTENTION)
    return (*listed, *("full",) * (size.layers + after - len(listed)))


def _behind(kinds: tuple[str, ...], size: Backbone, *, near: bool) -> tuple[int, ...]:
    """The prediction layers with a window, or those without."""
    return tuple(n for n in range(size.layers, len(kinds)) if (kinds[n] == "window") == near)


def _prediction(
    storage: Storage, a: GroupedQuery, size: Backbone, width: int, layers: tuple[int, ...]
) -> list[TensorRow]:
    """Prediction layers: a dense layer of the kind that is listed for it, and a head of its own
    (vLLM 0.32, step3p5_mtp; ggml-org/llama.cpp conversion/step3.py: names)."""
    hidden = size.hidden
    return [] if not layers else rows.part_of([
        *(rows.norm(storage, LAYER + name, hidden, layers) for name in ("enorm", "hnorm")),
        rows.plain(storage, LAYER + "eh_proj.weight", "mtp", (hidden, 2 * hidden), layers,
                   fused="eh-proj"),
        *_attending(storage, a, hidden, layers),
        *rows.layer_norms(storage, hidden, layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=hidden, width=width),
        rows.norm(storage, LAYER + "transformer.shared_head.norm", hidden, layers),
        rows.plain(storage, LAYER + "transformer.shared_head.output.weight", "mtp",
                   (size.vocab, hidden), layers, fused="head", shard="vocab"),
    ], "mtp")  # fmt: skip


def _attention(
    text: Fields,
    size: Backbone,
    after: int,
) -> tuple[GroupedQuery, GroupedQuery, int]:
    """Heads of full and of windowed layers, and the window. Those of windowed layers stand in one
    of three places, of which ``per_layer_config`` counts first, as in transformers."""
    heads = text.integer("num_attention_heads", high=MAX_EXPERTS)
    text.alias("num_key_value_heads", "num_attention_groups")
    kv_heads = text.integer("num_key_value_heads", high=MAX_EXPERTS)
    dim = text.integer("head_dim")
    biases = text.boolean("attention_bias", default=False)
    own = text.integer("num_sliding_attention_heads", high=MAX_EXPERTS, default=heads)
    own_kv, own_dim = kv_heads, dim
    other = text.nested("attention_other_setting")
    if other is not None:
        own = other.integer("num_attention_heads", high=MAX_EXPERTS)
        own_kv = other.integer("num_attention_groups", high=MAX_EXPERTS, default=kv_heads)
        own_dim = other.integer("head_dim", default=dim)
        other.choice("attention_type", ("sliding_attention",), default="sliding_attention")
        other.finish({"true_head_dim"})
    near = layers_of(_kinds(text, size, after)[: size.layers], "window")
    layered = text.nested("per_layer_config")
    if layered is not None and layered.names():
        entry = entry_of_layers(layered, near, "windowed layers")
        own = entry.integer("num_attention_heads", high=MAX_EXPERTS, default=own)
        own_kv = entry.integer("num_key_value_heads", high=MAX_EXPERTS, default=own_kv)
        own_dim = entry.integer("head_dim", default=own_dim)
        entry.finish()
    window = text.optional_integer("sliding_window", high=MAX_CONTEXT)
    if heads % kv_heads or own % own_kv:
        raise text.error("num_key_value_heads", f"is {kv_heads}; it must divide the heads")
    if near and window is None:
        raise text.error("sliding_window", "is missing, and layer_types has windowed layers")
    if text.boolean("mlp_bias", default=False):
        raise text.error("mlp_bias", "is true, which is not understood")
    return (GroupedQuery(heads, kv_heads, dim, biases), GroupedQuery(own, own_kv, own_dim, biases),
            window or 0)  # fmt: skip


def _experts(text: Fields, size: Backbone, after: int) -> Experts:
    count_key = "n_routed_experts" if text.take("n_routed_experts") is not None else "num_experts"
    if text.take("moe_num_experts") is not None:
        count_key = "moe_num_experts"
    count = text.integer(count_key, high=MAX_EXPERTS)
    chosen_key = "moe_top_k" if text.take("moe_top_k") is not None else "num_experts_per_tok"
    chosen = text.integer(chosen_key, high=MAX_EXPERTS)
    if chosen > count:
        raise text.error(chosen_key, f"is {chosen}; there are {count} experts")
    shared = text.integer("n_shared_experts", low=0, high=MAX_EXPERTS, default=1)
    shared_width = text.integer("share_expert_dim")
    return Experts(
        layers=_sparse(text, size, after), count=count, per_token=chosen,
        width=text.integer("moe_intermediate_size"), shared=shared,
        shared_width=shared * shared_width, groups=1, groups_per_token=1)  # fmt: skip


def _sparse(text: Fields, size: Backbone, after: int) -> tuple[int, ...]:
    """Layers with experts: those listed, by kind or by number, else all from the fourth on."""
    stated = text.optional_integer("first_k_dense_replace", low=0, high=MAX_LAYERS)
    listed = listed_kinds(text, "mlp_layer_types", size.layers, MLP, after=after)
    kinds, behind = listed[: size.layers], listed[size.layers :]
    behind = behind or (listed_kinds(text, "mtp_mlp_layer_types", after, MLP) if after else ())
    if "sparse" in behind:
        raise text.error(
            "mtp_mlp_layer_types", "has experts in prediction layers, which are not understood"
        )
    named = text.take("moe_layers_enum")
    if kinds:
        return layers_of(kinds, "sparse")
    if named is not None:
        numbers = [
            str(n).strip()
            for n in (
                named.split(",")
                if isinstance(named, str)
                else named
                if isinstance(named, list)
                else [named]
            )
        ]
        if not all(n.isascii() and n.isdecimal() for n in numbers):
            raise text.error("moe_layers_enum", "is no list of layer numbers")
        return tuple(layer for layer in size.all_layers if str(layer) in numbers)
    if stated is None:
        text.assume("first_k_dense_replace", f"{_FIRST_SPARSE} (default of step3p5)")
    first = _FIRST_SPARSE if stated is None else stated
    return tuple(layer for layer in size.all_layers if layer >= first)


def _attending(
    storage: Storage,
    a: GroupedQuery,
    hidden: int,
    layers: tuple[int, ...],
) -> list[TensorRow]:
    if not layers:
        return []
    prefix = LAYER + "self_attn."
    gate = rows.linear(storage, prefix + "g_proj", "attention-qkv", (a.heads, hidden), layers,
                       fused="head-gate", shard="column")  # fmt: skip
    return [*a.rows(storage, hidden, layers),
            *(rows.norm(storage, f"{prefix}{name}_norm", a.head_dim, layers) for name in "qk"),
            replace(gate, quantisable=False)]  # fmt: skip


def _routed(storage: Storage, e: Experts, hidden: int) -> list[TensorRow]:
    """Router and bias; the experts' gates, ups and downs are one tensor each a layer."""
    if not e.layers:
        return []
    prefix = LAYER + "moe."
    return [
        *rows.router(storage, "moe.gate", hidden, e.count, e.layers),
        rows.plain(storage, prefix + "router_bias", "router", (e.count,), e.layers,
                   fused="router-bias", dtype="fp32"),
        *(rows.stack(storage, f"{prefix}{name}_proj.weight", "experts-gate-up", (e.width, hidden),
                     e.layers, fused="experts-gate-up", shard="column", experts=e.count)
          for name in ("gate", "up")),
        rows.stack(storage, prefix + "down_proj.weight", "experts-down", (hidden, e.width),
                   e.layers, fused="experts-down", shard="row", experts=e.count),
        *(rows.gated_mlp(storage, _SHARED, e.layers, hidden=hidden, width=e.shared_width)
          if e.shared else []),
    ]  # fmt: skip


_CHANNELS = 3
_RATIO = 8960 / 1536
_KERNEL, _FEWER = (3, 3), 4
"""Of both convolutions together: patches a side for one token's."""
_FIXED = {"use_abs_posemb": True, "use_ln_post": False, "use_ln_pre": True, "use_rope2d": True,
          "ues_cls_token": False, "use_cls_token": False}  # fmt: skip
"""Parts that the model code has, or has not, whatever these keys of releases say."""
_HARMLESS = frozenset({"layer_scale_init_value", "ls_init_value", "max_position_embeddings",
                       "output_dim", "pool_type"})  # fmt: skip


def read_vision(fields: Fields, storage: Storage, text_hidden: int, *, bias: bool) -> Seen:
    """The encoder and its projector, with a ``bias`` or not.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    fields.assume_type("step3p5_vision")
    for name, other in (
        ("hidden_size", "width"),
        ("num_hidden_layers", "layers"),
        ("num_attention_heads", "heads"),
    ):
        fields.alias(name, other)
    width = fields.integer("hidden_size")
    layers = tuple(range(fields.integer("num_hidden_layers", high=MAX_LAYERS)))
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    image, patch = fields.integer("image_size"), fields.integer("patch_size")
    channels = fields.integer("num_channels", high=2**8, default=_CHANNELS)
    inner = _inner(fields, width)
    for name, has in _FIXED.items():
        if fields.boolean(name, default=has) is not has:
            raise fields.error(name, f"is {str(not has).lower()}, which is not understood")
    if image < patch:
        raise fields.error("image_size", f"is {image}; a patch has {patch} pixels a side")
    if width % heads:
        raise fields.error("num_attention_heads", f"is {heads}; it must divide {width}")
    fields.finish(_HARMLESS)
    side = image // patch
    base, block = "vision_model.", "transformer.resblocks.{layer}."
    t = Tower(storage, base, layers, block)
    tensors = [
        t.one("conv1.weight", "embedding", (width, channels, patch, patch)),
        t.one("positional_embedding", "embedding", (side**2, width)),
        *t.linear("ln_pre", "norm", (width,)),
        *(row for name in ("ln_1", "ln_2") for row in t.linear(block + name, "norm", (width,))),
        *(t.one(f"{block}ls_{n}.gamma", "norm", (width,)) for n in (1, 2)),
        t.one(block + "attn.in_proj_weight", "attention-qkv", (3 * width, width), "column"),
        t.one(block + "attn.in_proj_bias", "attention-qkv", (3 * width,), "column"),
        *t.linear(block + "attn.out_proj", "attention-out", (width, width), shard="row"),
        *t.linear(block + "mlp.c_fc", "mlp-gate-up", (inner, width), shard="column"),
        *t.linear(block + "mlp.c_proj", "mlp-down", (width, inner), shard="row"),
        *t.linear("vit_downsampler1", "mlp-down", (2 * width, width, *_KERNEL)),
        *t.linear("vit_downsampler2", "mlp-down", (4 * width, 2 * width, *_KERNEL)),
        *Tower(storage, "", ()).linear("vit_large_projector", "mlp-down",
                                       (text_hidden, 4 * width), bias=bias),
    ]  # fmt: skip
    tokens = (-(-side // _FEWER)) ** 2
    made = ImageEncoder(
        layers=len(layers), hidden=width, heads=heads, inner=inner, gated=False,
        pixels=channels * patch**2, merge=_FEWER**2, out=text_hidden, patches=side**2,
        tokens=tokens, limit=f"{tokens} tokens of {image} × {image} pixels (image_size): the "
        "processor cuts a larger image into several")  # fmt: skip
    return Seen(tuple(rows.part_of(tensors, "vision")), made)


def _inner(fields: Fields, width: int) -> int:
    """Features between the matrices of an MLP: the class computes them from ``mlp_ratio``, which
    counts whatever ``intermediate_size`` says."""
    ratio = fields.take("mlp_ratio")
    if ratio is None:
        ratio = _RATIO
        fields.assume("mlp_ratio", "8960/1536 (default of step3p5_vision)")
    if (
        isinstance(ratio, bool)
        or not isinstance(ratio, int | float)
        or not 1 <= width * ratio <= MAX_WIDTH
    ):
        raise fields.error("mlp_ratio", f"is {short_repr(ratio)}; a ratio of widths is needed")
    inner = int(width * ratio)
    stated = fields.take("intermediate_size")
    if stated not in (None, inner):
        raise fields.error("intermediate_size", f"is {short_repr(stated)}; mlp_ratio gives {inner}")
    return inner
