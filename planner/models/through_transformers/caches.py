"""What layers attend to and keep, from the caches that a run on the meta device filled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod

from planner.models.spec import Attention, TensorRow
from planner.models.through_transformers.built import Built, Kept

_STATES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


class UnknownCacheError(ValueError):
    """A layer keeps what no cache record describes; the text says which and why."""


def attention_of(built: Built, rows: Sequence[TensorRow]) -> tuple[Attention, ...]:
    """The groups of layers that attend alike, full attention first.

    Raises:
        UnknownCacheError: a layer's cache is of no known kind, or its shapes are not known.
    """
    if built.not_run:
        raise UnknownCacheError(f"transformers could not run it without weights: {built.not_run}")
    by_layer = {layer: _outputs(rows, layer) for layer in range(built.layers)}
    groups: dict[Attention, list[int]] = {}
    for layer, kept in enumerate(built.kept):
        record = _layer(built, kept, layer, by_layer.get(layer, 0))
        if record is not None:
            groups.setdefault(record, []).append(layer)
    missing = range(len(built.kept), built.layers)
    if missing:
        raise UnknownCacheError(f"layers {missing[0]} to {missing[-1]} use other layers' entries")
    found = [replace(one, layers=tuple(layers)) for one, layers in groups.items()]
    return tuple(sorted(found, key=lambda one: (one.kind == "linear", one.window > 0)))


def _outputs(rows: Iterable[TensorRow], layer: int) -> int:
    """Inputs of the layer's output projection: heads × value width."""
    return max((row.shape[1] for row in rows if row.kind == "attention-out" and row.is_matrix
                and layer in row.layers and row.part == "main"), default=0)


def _layer(built: Built, kept: Kept, layer: int, out: int) -> Attention | None:
    recurrent = bool(kept.conv or kept.states)
    if kept.keys and recurrent:
        raise UnknownCacheError(f"layer {layer} keeps entries and a state ({kept.name})")
    if recurrent:
        return _state(built, kept, layer)
    if not kept.keys:
        if built.tensors and out:
            raise UnknownCacheError(f"layer {layer} attends and kept nothing ({kept.name})")
        return None
    if len(kept.keys) != 4 or len(kept.values) != 4:
        raise UnknownCacheError(f"layer {layer} keeps entries of shape {kept.keys} ({kept.name})")
    if kept.name not in ("DynamicLayer", "DynamicSlidingWindowLayer", "DynamicIndexedLayer"):
        raise UnknownCacheError(f"layer {layer} keeps a {kept.name}")
    latent = built.size("kv_lora_rank")
    if latent:
        return _latent(built, kept, layer)
    if kept.indexer:
        raise UnknownCacheError(f"layer {layer} selects entries with an index of its own")
    (_, heads, _, width), value = kept.keys, kept.values[3]
    queries = out // value if value and out % value == 0 else built.size("num_attention_heads")
    if not queries or queries % heads:
        raise UnknownCacheError(f"layer {layer} has {heads} key heads for {queries} heads")
    kinds = built.layer_types
    chunked = layer < len(kinds) and kinds[layer] == "chunked_attention"
    return Attention(
        kind="gqa", layers=(), heads=queries, kv_heads=heads, head_dim=width,
        value_dim=0 if value == width else value, window=kept.window, chunked=chunked,
    )  # fmt: skip


def _latent(built: Built, kept: Kept, layer: int) -> Attention:
    size = built.size
    nope, rope = size("qk_nope_head_dim"), size("qk_rope_head_dim")
    heads, width = kept.keys[1], kept.keys[3]
    rank, value = size("kv_lora_rank"), size("v_head_dim")
    kept_latent = (width, kept.values[3]) in ((rank, rope), (rank + rope, 0), (rope, rank))
    if not kept_latent and (width, kept.values[3]) != (nope + rope, value):
        raise UnknownCacheError(f"layer {layer} has latent entries of {width} and "
                                f"{kept.values[3]}, not {rank} and {rope}")
    heads = size("num_attention_heads") if kept_latent else heads
    if kept.indexer and not size("index_topk"):
        raise UnknownCacheError(f"layer {layer} selects entries with an index of its own")
    indexed = bool(kept.indexer)
    return Attention(
        kind="mla", layers=(), heads=heads, kv_heads=heads, head_dim=nope + rope,
        q_lora_rank=size("q_lora_rank") or None, kv_lora_rank=rank,
        nope_dim=nope, rope_dim=rope, value_dim=value, window=kept.window,
        indexer_heads=size("index_n_heads") if indexed else 0,
        indexer_dim=kept.indexer[-1] if indexed else 0,
        indexer_topk=size("index_topk") if indexed else 0,
    )  # fmt: skip


def _state(built: Built, kept: Kept, layer: int) -> Attention:
    """A recurrent layer: its states as transformers keeps them, its convolution's past inputs (all
    but one of the kernel's)."""
    if len(kept.states) > 1 or any(len(shape) not in (3, 4) for shape in (*kept.states,
                                                                          *kept.conv)):
        raise UnknownCacheError(f"layer {layer} keeps {len(kept.states)} states ({kept.name})")
    state = kept.states[0][1:] if kept.states else ()
    heads, rest = (state[0], state[1:]) if state else (1, (1, 1))
    first, second = rest if len(rest) == 2 else (1, rest[0])
    delta = bool(built.size("linear_num_key_heads"))
    key, value = (first, second) if delta else (second, first)
    groups = built.size("linear_num_key_heads", "mamba_n_groups", "mamba_ngroups", "n_groups") or 1
    kept_inputs = sum(prod(shape[1:-1]) * (shape[-1] - 1) for shape in kept.conv)
    return Attention(
        kind="linear", layers=(), heads=heads, kv_heads=groups, head_dim=value, key_dim=key,
        state_elements=prod(state) if state else 0,
        state_dtype=_STATES.get(kept.state_dtype, "fp32"), conv_elements=kept_inputs,
        conv_dtype=_STATES.get(kept.conv_dtype, "bf16"),
    )  # fmt: skip
