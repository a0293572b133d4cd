"""What layers attend to and keep, from the caches that a run on the meta device filled.

Where the run fails, plain layers keep what their key projections make; all else is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod

from planner.models.spec import Attention, Recurrence, TensorRow
from planner.models.through_transformers.built import Built, KeptCache

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
    found = [replace(one, layers=tuple(layers)) for one, layers in groups.items()]
    return tuple(sorted(found, key=lambda one: (one.kind == "linear", one.window > 0)))


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
