"""What each attention layer caches: exact bytes.

A *cache unit* is one decision about the caches of an attention group: keys, values, or the entry
that is both. Indexer keys and recurrent states take no layout of their own; they are *fixed*.
What memory keeps is what a decode step reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.formats.kv import indexer_bytes, kv_layout
from planner.formats.spec import KvLayout
from planner.hardware.profile import DeviceProfile
from planner.models.kv import LayerCache, entry_bytes, layer_caches, local_heads, part_bytes
from planner.models.spec import Attention, ModelSpec

PAGE_TOKENS = {"gqa": 16, "mla": 64, "linear": 16, "csa": 64, "hca": 64, "swa": 64}
"""Tokens of a cache page: vLLM's default block of 16, FlashMLA's 64."""
PLAIN = "bf16"
"""A state is kept in its own types, whatever the cache layout."""
_RECORD = {"latent": "kv-latent", "shared": "kv-latent"}


@record
class CacheUnit:
    """One kind of cache entry (kv-k, kv-v, kv-latent) of the layers of one attention group."""

    kind: str
    attention: Attention

    @property
    def layers(self) -> tuple[int, ...]:
        return self.attention.layers

    def parts(self) -> Iterator[tuple[LayerCache, str]]:
        """(cache, part of its entries; "" for the whole record) that the unit decides about."""
        for cache in layer_caches(self.attention, -1):
            if cache.kind == "kv":
                yield from ((cache, part) for part, _ in cache.parts if self.kind == f"kv-{part}")
            elif _RECORD.get(cache.kind) == self.kind:
                yield cache, ""


def cache_kinds(attention: Attention) -> tuple[str, ...]:
    """Kinds of cache units of a layer, in order; none where it keeps a state alone."""
    kinds: dict[str, None] = {}
    for cache in layer_caches(attention, -1):
        if cache.kind == "kv":
            kinds |= {f"kv-{part}": None for part, _ in cache.parts}
        elif cache.kind in _RECORD:
            kinds[_RECORD[cache.kind]] = None
    return tuple(kinds)


def cache_units(spec: ModelSpec) -> tuple[CacheUnit, ...]:
    """The cache units of a model, by attention group."""
    return tuple(CacheUnit(kind, group) for group in spec.attention for kind in cache_kinds(group))


def page_tokens(attention: Attention) -> int:
    """Tokens of a cache page of a layer."""
    return PAGE_TOKENS[attention.kind]


def slot_tokens(attention: Attention, context: int) -> int:
    """Tokens that one sequence's slot occupies: the context in whole pages."""
    page = page_tokens(attention)
    return -(-context // page) * page


def stores(unit: CacheUnit, layout: str) -> bool:
    """Whether a cache layout stores the entries of ``unit``."""
    if unit.kind not in kv_layout(layout).applies_to:
        return False
    try:
        return all(_one_entry(cache, part, layout, 1) > 0 for cache, part in unit.parts())
    except UnsupportedError:
        return False


def head_entry_bytes(attention: Attention, layout: KvLayout, kind: str) -> int:
    """Bytes of one cached token of one KV head (latents and shared vectors: of the record).

    Raises:
        UnsupportedError: the layout does not store it.
    """
    cache, part = next(CacheUnit(kind, attention).parts())
    return part_bytes(cache, part, layout.id) if part else entry_bytes(cache, layout.id)


def token_layer_bytes(unit: CacheUnit, layout: str, tp: int, context: int) -> int:
    """Bytes that one more token adds in one layer on one rank, rounded up [B]: nothing to windows
    that ``context`` exceeds. Heads are divided over ``tp`` ranks and copied beyond their number.

    Raises:
        UnsupportedError: the layout does not store the unit.
    """
    return sum(
        -(-_one_entry(cache, part, layout, tp) // cache.ratio)
        for cache, part in unit.parts()
        if not cache.borrowed and not 0 < cache.window < context
    )


Kept = Callable[[int, int], int]
"""(window, tokens) → entries that an engine keeps of a windowed layer."""


def slot_layer_bytes(
    unit: CacheUnit, layout: str, tp: int, context: int, kept: Kept | None = None
) -> int:
    """Bytes of one layer for a sequence of ``context`` tokens in whole pages on one rank [B];
    ``kept`` of windows of keys and values (default: the window).

    Raises:
        UnsupportedError: the layout does not store the unit.
    """
    tokens = slot_tokens(unit.attention, context)
    return sum(
        (
            kept(cache.window, tokens)
            if kept is not None and cache.window and cache.kind == "kv" and not cache.borrowed
            else cache.entries(tokens)
        )
        * _one_entry(cache, part, layout, tp)
        for cache, part in unit.parts()
    )


def window_layer_bytes(unit: CacheUnit, layout: str, tp: int, context: int) -> int:
    """The part of :func:`slot_layer_bytes` in windows that ``context`` exceeds [B]."""
    return sum(
        cache.window * _one_entry(cache, part, layout, tp)
        for cache, part in unit.parts()
        if not cache.borrowed and 0 < cache.window < context
    )


def _one_entry(cache: LayerCache, part: str, layout: str, tp: int) -> int:
    """Bytes of one entry of all local heads on one rank."""
    if not part:
        return entry_bytes(cache, layout)
    return local_heads(cache, tp) * part_bytes(cache, part, layout)


def indexer_record_bytes(attention: Attention, *, fp8: bool) -> int:
    """Bytes of one key of the sparse-attention indexer; 0 without an indexer."""
    return indexer_bytes(not fp8, attention.indexer_dim) if attention.indexer_heads else 0


def indexer_token_bytes(attention: Attention, *, fp8: bool) -> int:
    """Bytes a token and layer of the indexer's keys, rounded up; 0 without an indexer [B]."""
    return -(-indexer_record_bytes(attention, fp8=fp8) // attention.ratio)


def state_bytes(attention: Attention, tp: int) -> int:
    """Bytes of the recurrent state that a layer keeps for a sequence on one rank [B]."""
    return sum(
        entry_bytes(cache, PLAIN, tp)
        for cache in layer_caches(attention, -1)
        if cache.kind == "state"
    )


def fixed_slot_bytes(attention: Attention, tp: int, context: int, *, indexer_fp8: bool) -> int:
    """Bytes a layer and sequence of what has no layout of its own: indexer keys, in pages of
    latents whatever they choose from, and states [B]."""
    page = PAGE_TOKENS["mla"]
    keys = -(-context // page) * page // attention.ratio
    return keys * indexer_record_bytes(attention, fp8=indexer_fp8) + state_bytes(attention, tp)


def reads_fp8_cache(device: DeviceProfile) -> bool:
    """Whether the device reads FP8 cache entries: an FP8 unit, or conversion in software on a
    CPU."""
    return device.rate("fp8") is not None or (device.kind == "cpu" and "fp8" in device.conversion)
