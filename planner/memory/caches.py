"""Cache bytes of one rank by kind of entry: what grows, windows, states a sequence. Exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from planner.formats.elements import element
from planner.formats.kv import kv_layout
from planner.models.kv import (
    LayerCache,
    cache_description,
    entries_kept,
    entry_bytes,
    local_heads,
)
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout

KvOf = Callable[[str, int], str]
"""(cache unit kv-k, kv-v or kv-latent; layer) → cache layout id."""


class Windows(Protocol):
    """A rule of an engine (:class:`planner.memory.windows.WindowRule`)."""

    def entries(self, window: int, tokens: int) -> int:
        """Entries kept of ``tokens``, of a layer with ``window``."""


@dataclass(frozen=True, slots=True)
class CacheClass:
    """Entries of one kind in like layers on one rank.

    ``entry_bytes`` a layer and entry; there is one entry for ``ratio`` tokens, and no more than
    ``window`` where that is not 0, or than an engine keeps of it (``kept``). ``fixed_bytes`` a
    layer and sequence do not grow. A layer may appear in several classes (a latent and its
    indexer's key).
    """

    kind: str
    layers: tuple[int, ...]
    entry_bytes: int
    ratio: int = 1
    window: int = 0
    fixed_bytes: int = 0
    kept: Windows | None = None

    @property
    def plain(self) -> bool:
        """One entry a token, for all tokens, and nothing else."""
        return self.ratio == 1 and not self.window and not self.fixed_bytes

    def layer_bytes(self, tokens: int) -> int:
        """Bytes of one layer for a sequence of ``tokens`` [B]."""
        entries = (
            entries_kept(tokens, self.ratio, self.window)
            if self.kept is None
            else self.kept.entries(self.window, tokens)
        )
        return entries * self.entry_bytes + self.fixed_bytes

    def token_bytes(self) -> int:
        """Bytes of all its layers that one more token of a long sequence adds, rounded up [B]."""
        if self.window:
            return 0
        return -(-self.entry_bytes * len(self.layers) // self.ratio)


def cache_classes(
    spec: ModelSpec,
    layout: Layout,
    kv: str | KvOf,
    *,
    layers: range | None = None,
    naive_width: int = 0,
    prediction: bool = False,
    indexer: str = "",
) -> tuple[CacheClass, ...]:
    """Caches of one rank under cache layout ``kv``, of the layers in ``layers`` (default: all).

    ``kv`` may differ by cache unit and layer. ``prediction``: and of the multi-token prediction
    layers. ``naive_width`` > 0: an engine without a latent cache keeps keys and values of every
    head, padded to that width. Latents and indexer keys are held by every tensor-parallel rank;
    key/value heads are divided over the ranks and copied beyond their number. ``indexer`` is the
    layout of an indexer's keys where it is not that of the latents.

    Raises:
        UnsupportedError: the layout does not store a kind that the model has.
    """
    grouped: dict[tuple[LayerCache, tuple[str, ...]], list[int]] = {}
    for cache in cache_description(spec, latent=not naive_width, prediction=prediction):
        if layers is None or cache.layer in layers or cache.layer >= spec.layers:
            chosen = (indexer,) if indexer and cache.kind == "indexer" else _layouts(cache, kv)
            grouped.setdefault((replace(cache, layer=-1), chosen), []).append(cache.layer)
    latents = {n for a in spec.attention if a.kind == "mla" for n in a.layers}
    if spec.attention[0].kind == "mla":
        latents |= set(range(spec.layers, spec.layers + spec.mtp_layers))
    return tuple(
        _class(
            cache,
            tuple(class_layers),
            layout.tp,
            chosen,
            naive_width if class_layers[0] in latents else 0,
        )
        for (cache, chosen), class_layers in grouped.items()
    )


def _layouts(cache: LayerCache, kv: str | KvOf) -> tuple[str, ...]:
    """The layouts of the parts of ``cache``: of keys and of values, or one for the record."""
    if isinstance(kv, str):
        return (kv, kv) if cache.kind == "kv" else (kv,)
    if cache.kind == "kv":
        return kv("kv-k", cache.layer), kv("kv-v", cache.layer)
    return (kv("kv-latent", cache.layer),)


def request_bytes(classes: Sequence[CacheClass], tokens: int) -> int:
    """Bytes of one sequence of ``tokens`` over all its layers on one rank [B]."""
    return sum(c.layer_bytes(tokens) * len(c.layers) for c in classes)


def token_bytes(classes: Sequence[CacheClass]) -> int:
    """Bytes that one more token of a long sequence takes on one rank [B]."""
    return sum(c.token_bytes() for c in classes)


def uniform(classes: Sequence[CacheClass]) -> bool:
    """Every layer keeps one entry a token and nothing else."""
    return all(c.plain for c in classes)


def _class(
    cache: LayerCache, layers_here: tuple[int, ...], tp: int, kv: tuple[str, ...], naive_width: int
) -> CacheClass:
    if cache.kind == "state":
        return CacheClass("state", layers_here, 0, fixed_bytes=entry_bytes(cache, kv[0], tp))
    if cache.kind == "kv" and naive_width:
        bits = element(kv_layout(kv[0]).element).bits
        return CacheClass("kv", layers_here, local_heads(cache, tp) * 2 * naive_width * bits // 8)
    layouts = kv if cache.kind == "kv" else kv[0]
    return CacheClass(
        cache.kind, layers_here, entry_bytes(cache, layouts, tp), cache.ratio, cache.window
    )
