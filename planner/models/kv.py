"""What each layer of a model keeps for a sequence: entries that grow, windows, fixed states.

A layer has one or more :class:`LayerCache` records. Sources: FlashMLA and SGLang for latent,
indexer and V4 records; the model code of Hugging Face Transformers for windows and states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from planner.base.errors import InputError, UnsupportedError
from planner.base.records import record
from planner.formats.elements import element
from planner.formats.kv import entry_bytes as head_bytes
from planner.formats.kv import indexer_bytes, kv_layout, latent_bytes, shared_vector_bytes
from planner.models.spec import Attention, ModelSpec

CacheKind = Literal["kv", "latent", "shared", "indexer", "state"]
_WIDE = ("bf16", "fp16", "fp32")
_SHARED_LAYOUTS = {"bf16": True, "fp8": False, "fp8-ds-mla": False}


@record
class LayerCache:
    """One kind of entry that a layer keeps for a sequence.

    ``parts`` are (name, elements) of one entry: ``k`` and ``v`` of one of ``heads``, ``latent``
    and ``rope``, ``vector`` and ``rope`` (V4's shared vector), ``indexer``, ``state`` and
    ``conv``, or ``partial`` (a group of tokens that is not compressed yet). There is one entry
    for ``ratio`` tokens; ``window`` > 0 keeps the last that many entries only. A ``state`` is
    one entry a sequence, in the types of ``dtypes`` whatever the layout; ``heads`` is its
    number of shardable heads. Heads are split over tensor-parallel ranks, everything else is
    copied. A ``borrowed`` one is an earlier layer's, read and not kept. ``grouped`` of a
    state's last part are split by ``groups`` alone, and copied where there are more ranks.
    """

    layer: int
    kind: CacheKind
    parts: tuple[tuple[str, int], ...]
    heads: int = 1
    ratio: int = 1
    window: int = 0
    dtypes: tuple[str, ...] = ()
    borrowed: bool = False
    groups: int = 0
    grouped: int = 0

    @property
    def grows(self) -> bool:
        """Whether every further token costs bytes, however long the sequence is."""
        return self.kind != "state" and self.window == 0 and not self.borrowed

    def entries(self, tokens: int) -> int:
        """Entries kept after ``tokens`` tokens; a group of tokens is compressed when it is full."""
        if self.borrowed:
            return 0
        return 1 if self.kind == "state" else entries_kept(tokens, self.ratio, self.window)


def entries_kept(tokens: int, ratio: int, window: int) -> int:
    """Entries after ``tokens`` tokens, one for ``ratio`` of them, the last ``window`` (0: all)."""
    complete = tokens // ratio
    return min(complete, window) if window else complete


def cache_description(
    spec: ModelSpec, *, windows: bool = True, latent: bool = True, prediction: bool = False
) -> tuple[LayerCache, ...]:
    """The caches that every layer of ``spec`` keeps, in layer order; borrowed ones are left out.

    Args:
        windows: False for engines that keep the whole past of windowed layers too.
        latent: False for engines that keep decompressed keys and values of latent attention.
        prediction: include the multi-token prediction layers, after the last.
    """
    caches: list[LayerCache] = []
    for attention in spec.attention:
        caches += [cache for layer in attention.layers
                  for cache in layer_caches(attention, layer, latent=latent)]  # fmt: skip
    if prediction:
        caches += [cache for layer in range(spec.layers, spec.layers + spec.mtp_layers)
                  for cache in layer_caches(_prediction(spec), layer, latent=latent)]  # fmt: skip
    if not windows:
        caches = [replace(cache, window=0) if cache.kind == "kv" else cache for cache in caches]
    kept = (cache for cache in caches if not cache.borrowed)
    return tuple(sorted(kept, key=lambda cache: cache.layer))


def part_bytes(cache: LayerCache, part: str, layout: str) -> int:
    """Bytes of ``part`` of one entry (of one head, for ``k`` and ``v``) in cache layout ``layout``.

    Raises:
        InputError: the entry has no such part, or its parts are one record.
        UnsupportedError: the layout does not store it.
    """
    sizes = dict(cache.parts)
    if part not in sizes:
        raise InputError(f"a {cache.kind} entry has no part {part!r}",
                         hint="its parts are " + ", ".join(sizes))  # fmt: skip
    if cache.kind == "kv":
        return head_bytes(kv_layout(layout), width=sizes[part], kind=f"kv-{part}")
    if cache.kind == "state":
        return _state_part_bytes(cache, part, 1)
    if cache.kind == "indexer":
        return indexer_bytes(kv_layout(layout).id in _WIDE, sizes[part])
    raise InputError(f"the parts of a {cache.kind} entry are one record",
                     hint="ask for the whole entry")  # fmt: skip


def entry_bytes(cache: LayerCache, layout: str | Sequence[str], tp: int = 1) -> int:
    """Bytes of one entry in cache layout ``layout`` that one of ``tp`` ranks keeps [B].

    Heads are divided over the ranks and copied beyond their number, a state's elements are divided,
    and every other entry is whole on every rank. Keys and values may have a layout each. An
    indexer's key is BF16 in plain layouts, its FP8 record in all others.

    Raises:
        UnsupportedError: the layout does not store it.
    """
    sizes = dict(cache.parts)
    if cache.kind == "state":
        return sum(_state_part_bytes(cache, part, tp) for part in sizes)
    layouts = (layout,) * len(sizes) if isinstance(layout, str) else layout
    record = kv_layout(layouts[0])
    if cache.kind == "latent":
        return latent_bytes(record, sizes["latent"], sizes["rope"])
    if cache.kind == "shared":
        if record.id not in _SHARED_LAYOUTS:
            raise UnsupportedError(
                f"KV layout {record.id} does not store a vector that is key and value",
                hint="understood: " + ", ".join(_SHARED_LAYOUTS),
            )
        width = sizes["vector"] + sizes["rope"]
        return shared_vector_bytes(_SHARED_LAYOUTS[record.id], width, sizes["rope"])
    one_entry = sum(
        part_bytes(cache, part, of_part) for part, of_part in zip(sizes, layouts, strict=True)
    )
    return local_heads(cache, tp) * one_entry


def local_heads(cache: LayerCache, tp: int) -> int:
    """Heads of an entry that one of ``tp`` ranks keeps: copied where there are fewer than ranks; 1
    for what is not split into heads."""
    return max(cache.heads // tp, 1) if cache.kind == "kv" else 1


def _state_part_bytes(cache: LayerCache, part: str, tp: int) -> int:
    number = [name for name, _ in cache.parts].index(part)
    size = cache.parts[number][1]
    if cache.groups and tp > cache.groups and number == len(cache.parts) - 1:
        size += cache.grouped * (tp // cache.groups - 1)
    return -(-size * element(cache.dtypes[number]).bits // (8 * tp))


def sequence_bytes(caches: Iterable[LayerCache], tokens: int, layout: str) -> int:
    """Bytes of one sequence of ``tokens`` tokens on one copy of the model, without pages [B]."""
    return sum(cache.entries(tokens) * entry_bytes(cache, layout) for cache in caches)


def fixed_bytes(caches: Iterable[LayerCache], layout: str) -> int:
    """Bytes of full windows and states, which no further token adds to [B]."""
    return sum(max(cache.window, 1) * entry_bytes(cache, layout)
               for cache in caches if not cache.grows)  # fmt: skip


def _prediction(spec: ModelSpec) -> Attention:
    """The attention of prediction layers: as the full group's; V4's attends to the window alone."""
    first = spec.attention[0]
    if first.kind in ("csa", "hca", "swa"):
        return replace(first, kind="swa", ratio=1, indexer_heads=0, indexer_dim=0, indexer_topk=0)
    return first


def layer_caches(a: Attention, layer: int, *, latent: bool = True) -> tuple[LayerCache, ...]:
    """The caches of one layer of attention ``a``; ``latent`` as in :func:`cache_description`."""
    if a.kind == "linear":
        both = (("state", a.state_elements, a.state_dtype), ("conv", a.conv_elements, a.conv_dtype))
        kept = tuple(part for part in both if part[1])
        shared = a.rule == "mamba2"
        width = a.heads * a.head_dim + 2 * a.kv_heads * a.key_dim
        return (
            LayerCache(
                layer,
                "state",
                tuple((name, size) for name, size, _ in kept),
                heads=a.heads,
                dtypes=tuple(dtype for _, _, dtype in kept),
                groups=a.kv_heads if shared else 0,
                grouped=2 * a.kv_heads * a.key_dim * (a.conv_elements // width) if shared else 0,
            ),
        )
    indexer = LayerCache(layer, "indexer", (("indexer", a.indexer_dim),), ratio=a.ratio)
    selects = (indexer,) if a.indexer_heads else ()
    if a.kind == "mla":
        parts = (("latent", a.kv_lora_rank), ("rope", a.rope_dim))
        if latent:
            return (LayerCache(layer, "latent", parts), *selects)
        wide = (("k", a.nope_dim + a.rope_dim), ("v", a.value_dim))
        return (LayerCache(layer, "kv", wide, heads=a.heads), *selects)
    if a.kind == "gqa":
        parts = (("k", a.head_dim), ("v", a.value_dim or a.head_dim))
        return (
            LayerCache(layer, "kv", parts, heads=a.kv_heads, window=a.window, borrowed=a.borrows),
            *selects,
        )
    vector = (("vector", a.nope_dim), ("rope", a.rope_dim))
    local = LayerCache(layer, "shared", vector, window=a.window)
    if a.kind == "swa":
        return (local,)
    return (local, LayerCache(layer, "shared", vector, ratio=a.ratio), *selects, _partial(a, layer))


def _partial(a: Attention, layer: int) -> LayerCache:
    """Keys and gates of the tokens of a group that is not full, in FP32 and whole on every rank.

    A csa entry pools two groups, each token with two vectors, and so does its indexer. Source:
    vLLM 0.32, models/deepseek_v4/compressor.py (CompressorStateCache).
    """
    overlap = 2 if a.kind == "csa" else 1
    width = 2 * overlap * (a.head_dim + (a.indexer_dim if a.indexer_heads else 0))
    size = overlap * a.ratio * width
    return LayerCache(
        layer, "state", (("partial", size),), dtypes=("fp32",), groups=1, grouped=size
    )
