"""Cache bytes of one rank by kind of layer: entries a token, windows, states a sequence. Exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.errors import UnsupportedError
from planner.formats.kv import indexer_bytes, kv_layout, latent_bytes
from planner.memory.footprint import cache_token_bytes
from planner.models.dtypes import stored_bytes, stored_type
from planner.models.spec import Attention, ModelSpec
from planner.placement.layout import Layout

V4_ENTRY_BYTES = 584
"""FP8 entry of compressed attention: 448 E4M3, 64 BF16, 7 E8M0 scales, one byte of padding
(deepseek-ai/FlashMLA, MODEL1 layout)."""


@dataclass(frozen=True, slots=True)
class CacheClass:
    """The cache of a set of like layers on one rank.

    ``entry_bytes`` a layer and entry; there is one entry for ``ratio`` tokens, of at most
    ``window`` tokens where that is not 0. ``kept_tokens`` more are held uncompressed, of
    ``kept_bytes`` each. ``fixed_bytes`` a layer and sequence do not grow.
    """

    kind: str
    layers: tuple[int, ...]
    entry_bytes: int
    ratio: int = 1
    window: int = 0
    kept_tokens: int = 0
    kept_bytes: int = 0
    fixed_bytes: int = 0

    @property
    def plain(self) -> bool:
        """One entry a token, for all tokens, and nothing else."""
        return self.ratio == 1 and not (self.window or self.kept_tokens or self.fixed_bytes)

    def layer_bytes(self, tokens: int) -> int:
        """Bytes of one layer for a sequence of ``tokens`` [B]."""
        seen = min(tokens, self.window) if self.window else tokens
        kept = min(tokens, self.kept_tokens) * self.kept_bytes
        return seen // self.ratio * self.entry_bytes + kept + self.fixed_bytes

    def token_bytes(self) -> int:
        """Bytes of all its layers that one more token of a long sequence adds, rounded up [B]."""
        if self.window:
            return 0
        return -(-self.entry_bytes * len(self.layers) // self.ratio)


def cache_classes(spec: ModelSpec, layout: Layout, kv: str, *,
                  layers: range | None = None, naive_width: int = 0,
                  indexer_fp8: bool | None = None) -> tuple[CacheClass, ...]:
    """Caches of one rank under cache layout ``kv``, of the layers in ``layers`` (default: all).

    ``naive_width`` > 0: an MLA engine without a latent cache keeps keys and values of every head,
    padded to that width. Latents are held by every tensor-parallel rank, key/value heads are
    divided over the ranks and copied beyond their number. The indexer's record is FP8 where the
    main one is, unless ``indexer_fp8`` says otherwise.

    Raises:
        UnsupportedError: the layout does not store a kind that the model has.
    """
    found = []
    for attention in spec.attention:
        held = tuple(n for n in attention.layers if layers is None or n in layers)
        if held:
            found.append(_class(attention, held, layout, kv, naive_width, indexer_fp8))
    return tuple(found)


def request_bytes(classes: Sequence[CacheClass], tokens: int) -> int:
    """Bytes of one sequence of ``tokens`` over all its layers on one rank [B]."""
    return sum(c.layer_bytes(tokens) * len(c.layers) for c in classes)


def token_bytes(classes: Sequence[CacheClass]) -> int:
    """Bytes that one more token of a long sequence takes on one rank [B]."""
    return sum(c.token_bytes() for c in classes)


def uniform(classes: Sequence[CacheClass]) -> bool:
    """Every layer keeps one entry a token, of one size."""
    return all(c.plain for c in classes) and len({c.entry_bytes for c in classes}) <= 1


def _class(attention: Attention, held: tuple[int, ...], layout: Layout, kv: str,
           naive_width: int, indexer_fp8: bool | None) -> CacheClass:
    if attention.kind == "linear":
        return CacheClass("linear", held, 0, fixed_bytes=_state(attention, layout))
    if attention.kind in ("csa", "hca", "swa"):
        return _compressed(attention, held, kv)
    if attention.kind == "mla":
        return CacheClass("mla", held, _latent(attention, layout, kv, naive_width, indexer_fp8))
    heads = ("kv-k", "kv-v")
    entry = sum(cache_token_bytes(attention, kind, kv, layout.tp) for kind in heads)
    if attention.value_dim and attention.value_dim != attention.head_dim:
        width = attention.head_dim + attention.value_dim
        entry = -(-entry * width // (2 * attention.head_dim))
    return CacheClass("gqa", held, entry, window=attention.window)


def _latent(attention: Attention, layout: Layout, kv: str, naive_width: int,
            indexer_fp8: bool | None) -> int:
    if naive_width:
        bits = 8 if kv_layout(kv).element == "e4m3fn" else 16
        return attention.heads // layout.tp * 2 * naive_width * bits // 8
    record = kv_layout(kv)
    entry = latent_bytes(record, attention.kv_lora_rank, attention.rope_dim)
    if attention.indexer_topk and attention.indexer_heads:
        fp8 = record.element == "e4m3fn" if indexer_fp8 is None else indexer_fp8
        entry += indexer_bytes(not fp8, attention.indexer_dim)
    return entry


def _state(attention: Attention, layout: Layout) -> int:
    size = stored_bytes(stored_type(attention.state_dtype).name,
                        attention.state_elements // layout.tp)
    return size + stored_bytes(stored_type(attention.conv_dtype).name,
                               attention.conv_elements // layout.tp)


def _compressed(attention: Attention, held: tuple[int, ...], kv: str) -> CacheClass:
    record = kv_layout(kv)
    if record.element == "e4m3fn":
        entry, indexer = V4_ENTRY_BYTES, indexer_bytes(False, attention.indexer_dim)
    elif record.id in ("bf16", "fp16"):
        entry, indexer = 2 * attention.head_dim, 2 * attention.indexer_dim
    else:
        raise UnsupportedError(f"KV layout {kv!r}: compressed attention is stored in bf16 or fp8",
                               hint="use bf16, fp16, fp8 or fp8-ds-mla")
    if attention.kind == "swa":
        return CacheClass("swa", held, 0, kept_tokens=attention.window, kept_bytes=entry)
    whole = entry + (indexer if attention.kind == "csa" else 0)
    return CacheClass(attention.kind, held, whole, ratio=attention.ratio,
                      kept_tokens=attention.window, kept_bytes=entry)
