"""The ModelSpec of a configuration without a family of its own.

What layers attend to and keep, from the caches that a run on the meta device filled.

Where the run fails, plain layers keep what their key projections make; all else is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod

from planner.messages.message import Note, Text, message
from planner.models.families.common import Backbone, spec_of
from planner.models.fields import MAX_CONTEXT, Fields
from planner.models.rows import Provenance
from planner.models.spec import Attention, Experts, ModelSpec, Part, Recurrence, TensorRow
from planner.models.storage import Storage
from planner.models.through_transformers.built import Built, KeptCache, build_apart, check
from planner.models.through_transformers.kinds import Sizes, cross
from planner.models.through_transformers.tensors import rows_of

_TORCH = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_SELDOM = "float32"
"""What transformers takes where a configuration states no type."""
_NAMED = 4
_CONTEXT = (
    "max_position_embeddings",
    "n_positions",
    "max_target_positions",
    "max_seq_len",
    "seq_length",
)
_HEADLESS = ("Model", "ForSequenceClassification", "ForTokenClassification",
             "ForQuestionAnswering", "ForMultipleChoice", "ForNextSentencePrediction",
             "ForImageClassification", "ForAudioClassification")  # fmt: skip
"""Ends of the names of classes that have no language head."""
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts",
           "moe_k", "num_selected_experts", "experts_per_token")  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of any configuration that the installed transformers can build.

    Where its caches are of no known kind, the counts stand and ``unplanned`` says why nothing else
    is answered.

    Raises:
        MissingPackageError: transformers is not installed.
        DataError, UnsupportedError: it cannot be built, or a tensor is of no known kind.
    """
    values = fields.everything()
    check(values, fields.place)
    plain = _plain(values)
    built = build_apart(values, plain, fields.place)
    return spec_from(built, _TORCH[plain], origin, model_type, fields.place)


def spec_from(
    built: Built,
    plain: str,
    origin: Provenance,
    model_type: str,
    place: str,
) -> ModelSpec:
    """The ModelSpec of what a process beside has built."""
    experts = _experts_count(built)
    hidden = built.size("hidden_size") or _width(built)
    sizes = Sizes(hidden, experts, bool(built.size("kv_lora_rank")))
    encoder = bool(built.sizes.get("is_encoder_decoder"))
    towers: Part = "main" if encoder or not built.nested else "vision"
    rows, others = rows_of(built, sizes, towers=towers, place=place)
    attention, unplanned = _attention(built, rows, encoder)
    size = Backbone(
        hidden=hidden,
        layers=built.layers,
        vocab=next((t.shape[0] for t in built.tensors if t.region == "embedding"), 1),
        tied=_is_tied(built),
        context=built.size(*_CONTEXT) or MAX_CONTEXT,
    )
    spec = spec_of(
        origin,
        model_type,
        size,
        Storage(plain),
        attention=attention,
        rows=_with_key_values(rows, attention),
        experts=_experts(built, rows, experts),
        dense_width=max(
            (
                row.shape[1]
                for row in rows
                if row.kind == "mlp-down" and row.is_matrix and row.part == "main"
            ),
            default=0,
        ),
    )
    structure = f"transformers {built.version}, {built.class_name}"
    return replace(
        spec,
        structure=structure,
        unplanned=unplanned,
        notes=_others(others),
        source=f"{origin.source}; structure: transformers {built.version}",
    )


def _others(names: tuple[str, ...]) -> tuple[Note, ...]:
    if not names:
        return ()
    named: Text = ", ".join(names[:_NAMED])
    if len(names) > _NAMED:
        named = message("assumptions.and_more", some=named, count=len(names) - _NAMED)
    return (Note("other products", named, message("assumptions.linear_layers_whose_names_say")),)


def _plain(values: object) -> str:
    assert isinstance(values, dict)
    text = values.get("text_config")
    for place in (values, text if isinstance(text, dict) else {}):
        for key in ("dtype", "torch_dtype"):
            if place.get(key) in _TORCH:
                return str(place[key])
    return _SELDOM


def _attention(
    built: Built,
    rows: tuple[TensorRow, ...],
    encoder: bool,
) -> tuple[tuple[Attention, ...], str]:
    """(attention, why nothing but counts is answered, "" where everything is known)."""
    if encoder or any(
        cross(t.name, t.blocks) for t in built.tensors if t.region in ("stack", "decoder")
    ):
        return (), "it attends to an encoder's outputs, whose caches are not modelled"
    if not built.causal:
        return (), "its layers look both ways, so that nothing is kept from token to token"
    if built.shares:
        return (), "its layers share weights, and which work how often is not counted"
    if not built.layers:
        return (), "it has no stack of layers as long as its configuration says"
    try:
        attentions = attention_of(built, rows)
    except UnknownCacheError as error:
        return (), f"its caches are not known: {error}"
    return attentions, "" if attentions else "no layer keeps anything for a sequence"


def _experts_count(built: Built) -> int:
    """Experts of a layer: the numbered ones, else the outputs of stacked ones."""
    import re

    numbers = [int(match.group(1)) for tensor in built.tensors if tensor.region == "stack"
               and (match := re.search(r"experts?\.(\d+)\.", tensor.name))]  # fmt: skip
    if numbers:
        return max(numbers) + 1
    stacked = [
        t.shape[0]
        for t in built.tensors
        if t.region == "stack"
        and len(t.shape) == 3
        and re.search(r"expert|moe", t.name)
        and "conv" not in t.name
    ]
    return max(stacked, default=0)


def _width(built: Built) -> int:
    return next((t.shape[1] for t in built.tensors if t.region == "embedding"), 1)


def _is_tied(built: Built) -> bool:
    """Whether the embedding is the language head too: no head of its own, in a class that has
    one."""
    return not built.class_name.endswith(_HEADLESS) and all(
        tensor.region != "head" for tensor in built.tensors
    )


def _experts(built: Built, rows: tuple[TensorRow, ...], count: int) -> Experts | None:
    routed = [row for row in rows if row.kind == "experts-down" and row.is_matrix]
    if not routed or not count:
        return None
    layers = tuple(sorted({layer for row in routed for layer in row.layers}))
    shared = max(
        (row.shape[1] * row.experts for row in rows if row.kind == "shared-down" and row.is_matrix),
        default=0,
    )
    return Experts(
        layers=layers, count=count, per_token=min(built.size(*_CHOSEN) or count, count),
        width=routed[0].shape[1], shared=1 if shared else 0, shared_width=shared,
        groups=built.size("n_group") or 1, groups_per_token=built.size("topk_group") or 1,
    )  # fmt: skip


def _with_key_values(
    rows: tuple[TensorRow, ...],
    attention: tuple[Attention, ...],
) -> list[TensorRow]:
    """``rows`` with the outputs that are heads of keys and values."""
    of_layer = {layer: a for a in attention if a.kind == "gqa" for layer in a.layers}
    tensors = []
    for row in rows:
        a = of_layer.get(row.layers[0]) if row.layers and row.part == "main" else None
        if a is None or row.kind != "attention-qkv" or "norm" in row.name:
            tensors.append(row)
            continue
        keys, values = a.kv_heads * a.head_dim, a.kv_heads * (a.value_dim or a.head_dim)
        leaf = row.name.removesuffix(".weight").removesuffix(".bias").rpartition(".")[2].lower()
        outputs = row.shape[0]
        own = outputs if leaf[:1] in ("k", "v") and outputs in (keys, values) else 0
        both = a.heads * a.head_dim + keys + values
        tensors.append(replace(row, kv_outputs=own or (keys + values if outputs == both else 0)))
    return tensors


_TYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_PLAIN = ("DynamicLayer", "DynamicSlidingWindowLayer")
_WITH_STATE = (
    "LinearAttentionAndFullAttentionLayer",
    "LinearAttentionAndSlidingWindowAttentionLayer",
)
_GROUPS = ("linear_num_key_heads", "mamba_n_groups", "mamba_ngroups", "n_groups")


class UnknownCacheError(ValueError):
    """A layer keeps what no cache record describes; the text says which and why."""


def attention_of(built: Built, rows: Sequence[TensorRow]) -> tuple[Attention, ...]:
    """The groups of layers that attend alike, full attention first; layers that keep nothing are
    in none.

    Raises:
        UnknownCacheError: a layer's cache is of no known kind, or its shapes are not known.
    """
    main = [row for row in rows if row.part == "main" and row.layers]
    groups: dict[Attention, list[int]] = {}
    for layer, kept in enumerate(built.kept):
        for record in _layer(built, _filled(built, kept, layer, main), layer, main):
            groups.setdefault(record, []).append(layer)
    if len(built.kept) > built.layers:
        raise UnknownCacheError(f"{len(built.kept)} caches are kept for {built.layers} layers")
    if len(built.kept) < built.layers:
        raise UnknownCacheError(
            f"layers {len(built.kept)} to {built.layers - 1} use entries of other layers"
        )
    groups_found = [
        replace(attention, layers=tuple(layers)) for attention, layers in groups.items()
    ]
    return tuple(
        sorted(
            groups_found, key=lambda attention: (attention.kind == "linear", attention.window > 0)
        )
    )


def _filled(built: Built, kept: KeptCache, layer: int, rows: Sequence[TensorRow]) -> KeptCache:
    """``kept`` with the shapes that its layer's projections give, where no run gave them."""
    if not built.not_run:
        return kept
    heads = built.size("num_key_value_heads", "num_attention_heads")
    width = built.size("head_dim") or built.size("hidden_size") // max(
        built.size("num_attention_heads"), 1
    )
    keys = {
        row.shape[0]
        for row in rows
        if layer in row.layers
        and row.is_matrix
        and re.search(r"\.(k|key)(_proj|_lin)?\.weight$", row.name)
    }
    if kept.name not in _PLAIN or keys != {heads * width}:
        raise UnknownCacheError(f"transformers could not run it without weights ({built.not_run})")
    return replace(kept, keys=(1, heads, 1, width), values=(1, heads, 1, width))


def _layer(
    built: Built,
    kept: KeptCache,
    layer: int,
    rows: Sequence[TensorRow],
) -> Iterator[Attention]:
    """The records of one layer: entries, a state, or both beside each other."""
    recurrent, inner = bool(kept.conv or kept.states), _inputs_of_output(rows, layer)
    if not kept.keys:
        if inner and not recurrent:
            raise UnknownCacheError(f"layer {layer} attends and kept nothing ({kept.name})")
    elif len(kept.keys) != 4 or len(kept.values) != 4:
        raise UnknownCacheError(f"layer {layer} keeps entries of shape {kept.keys} ({kept.name})")
    elif kept.name not in (*_PLAIN, "DynamicIndexedLayer", *_WITH_STATE):
        raise UnknownCacheError(f"layer {layer} keeps a {kept.name}")
    elif built.size("kv_lora_rank"):
        yield _latent(built, kept, layer)
    else:
        yield _grouped(built, kept, layer, inner)
    if recurrent:
        yield _state(built, kept, layer, rows)


def _inputs_of_output(rows: Iterable[TensorRow], layer: int) -> int:
    """Inputs of the layer's output projection: heads × value width."""
    return max(
        (
            row.shape[1]
            for row in rows
            if row.kind == "attention-out" and row.is_matrix and layer in row.layers
        ),
        default=0,
    )


def _grouped(built: Built, kept: KeptCache, layer: int, inner: int) -> Attention:
    if kept.indexer:
        raise UnknownCacheError(f"layer {layer} selects entries with an index of its own")
    (_, heads, _, width), value = kept.keys, kept.values[3]
    queries = inner // value if value and inner % value == 0 else 0
    queries = queries or built.size("num_attention_heads")
    if not queries or queries % heads:
        raise UnknownCacheError(f"layer {layer} has {heads} key heads for {queries} heads")
    kinds = built.layer_types
    chunked = layer < len(kinds) and kinds[layer] == "chunked_attention"
    return Attention(
        kind="gqa", layers=(), heads=queries, kv_heads=heads, head_dim=width,
        value_dim=0 if value == width else value, window=kept.window, chunked=chunked,
    )  # fmt: skip


def _latent(built: Built, kept: KeptCache, layer: int) -> Attention:
    """Latent attention, whichever of latents and decompressed keys transformers keeps."""
    size = built.size
    nope, rope = size("qk_nope_head_dim"), size("qk_rope_head_dim")
    rank, value, width = size("kv_lora_rank"), size("v_head_dim"), kept.keys[3]
    known = ((rank, rope), (rope, rank), (rank + rope, 0), (nope + rope, value))
    if (width, kept.values[3]) not in known:
        raise UnknownCacheError(
            f"layer {layer} has latent entries of {width} and "
            f"{kept.values[3]}, not {rank} and {rope}"
        )
    indexed = bool(kept.indexer)
    if indexed and not (size("index_topk") and size("index_n_heads")):
        raise UnknownCacheError(f"layer {layer} selects entries with an index of its own")
    heads = size("num_attention_heads")
    return Attention(
        kind="mla", layers=(), heads=heads, kv_heads=heads, head_dim=nope + rope,
        q_lora_rank=size("q_lora_rank") or None, kv_lora_rank=rank, nope_dim=nope, rope_dim=rope,
        value_dim=value, window=kept.window, indexer_heads=size("index_n_heads") if indexed else 0,
        indexer_dim=kept.indexer[-1] if indexed else 0,
        indexer_topk=size("index_topk") if indexed else 0,
    )  # fmt: skip


def _state(built: Built, kept: KeptCache, layer: int, rows: Sequence[TensorRow]) -> Attention:
    """A recurrent layer: its state as transformers keeps it, its convolution's past inputs (all
    but one of the kernel's)."""
    if len(kept.states) > 1 or any(
        len(shape) not in (3, 4) for shape in (*kept.states, *kept.conv)
    ):
        raise UnknownCacheError(f"layer {layer} keeps {len(kept.states)} states ({kept.name})")
    state = kept.states[0][1:] if kept.states else ()
    rule = _rule(state, [row.name for row in rows if layer in row.layers])
    heads, first, second = {0: (1, 1, 1), 2: (*state, 1)[:3], 3: state}[len(state)]
    key, value = (second, first) if rule == "mamba2" else (first, second)
    past = sum(prod(shape[1:-1]) * (shape[-1] - 1) for shape in kept.conv)
    return Attention(
        kind="linear", layers=(), heads=heads, head_dim=value, key_dim=key, rule=rule,
        kv_heads=1 if rule in ("mamba1", "conv") else built.size(*_GROUPS) or heads,
        state_elements=prod(state) if state else 0,
        state_dtype=_TYPES.get(kept.state_dtype, "fp32") if state else "", conv_elements=past,
        conv_dtype=_TYPES.get(kept.conv_dtype, "bf16") if past else "",
    )  # fmt: skip


def _rule(state: Sequence[int], names: Iterable[str]) -> Recurrence:
    """How the state moves on, by what the layer's tensors are called; what is neither of Mamba nor
    a plain convolution is priced as a delta net."""
    if not state:
        return "conv"
    text = " ".join(names)
    if re.search(r"\.(A_log|dt_bias|x_proj|D)\b", text) and re.search(r"\.D\b", text):
        return "mamba1" if len(state) == 2 else "mamba2"
    return "kda" if re.search(r"\.f_(a|b)?_?proj\.", text) else "delta"
