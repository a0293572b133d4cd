"""vLLM's pool where layers keep caches of different lengths: groups of layers that share blocks.

Layers of one kind are split into groups of as many layers as the rarest kind has; a block holds a
page of every layer of one group, and groups draw from one pool (vllm/v1/core/kv_cache_utils.py,
_get_kv_cache_groups_uniform_page_size, 0.10 to 0.33). A request takes of a windowed group the
blocks of its window and of the tokens of one step, and one block more, since a window does not
begin at a block's (vllm/v1/kv_cache_interface.py, SlidingWindowSpec).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from planner.base.records import record
from planner.memory.caches import CacheClass
from planner.memory.engines.catalog import Engine
from planner.models.spec import ModelSpec

Kind = TypeVar("Kind")
_ALIKE = 1.5
"""Kinds whose layers differ by less are padded to one group each."""
_CHUNKED = ("llama4", "llama4_text")
"""Models whose windows are chunks: the groups are turned off by default (vllm/config/vllm.py)."""


@record
class PoolGroup:
    """``groups`` groups of ``layers`` layers (padding included) of one ``window`` (0: none), in
    blocks of ``tokens``."""

    window: int
    groups: int
    layers: int
    tokens: int

    def blocks(self, length: int, batched: int) -> int:
        """Blocks that a request of ``length`` tokens takes while ``batched`` are read a step."""
        if not self.window:
            return self.groups * -(-length // self.tokens)
        kept = min(self.window - 1 + batched, length)
        return self.groups * (-(-kept // self.tokens) + 1)


@record
class Pool:
    """The groups of a rank and the bytes of a block of any of them."""

    groups: tuple[PoolGroup, ...]
    block_bytes: int

    @property
    def tables(self) -> int:
        """How many groups there are."""
        return sum(g.groups for g in self.groups)

    @property
    def block_tokens(self) -> int:
        """Tokens of the smallest block."""
        return min(g.tokens for g in self.groups)

    def request_blocks(self, length: int, batched: int) -> int:
        """Blocks of a request of ``length`` tokens, of all groups."""
        return sum(g.blocks(length, batched) for g in self.groups)


def groups_of(kinds: Mapping[Kind, int]) -> list[tuple[Kind, int, int]]:
    """(kind, groups, layers of a group) of kinds with so many layers."""
    least, most = min(kinds.values()), max(kinds.values())
    layers = most if most < least * _ALIKE else least
    return [(kind, -(-count // layers), layers) for kind, count in kinds.items()]


def in_groups(spec: ModelSpec, engine: Engine) -> bool:
    """Whether windowed layers of ``spec`` are given shorter tables than others by ``engine``."""
    return bool(engine.integer("pool_groups")) and spec.model_type not in _CHUNKED


def pool_of(caches: Sequence[CacheClass], block: int) -> Pool | None:
    """The groups of layers with ``caches``, in blocks of ``block`` tokens where pages are largest.

    None where all layers keep all tokens, or a layer keeps what is no entry of a token (states,
    compressed entries): those have no such groups.
    """
    kinds: dict[tuple[int, int], int] = {}
    for cache in caches:
        if cache.ratio != 1 or cache.fixed_bytes or cache.kind != "kv":
            return None
        key = (cache.window, cache.entry_bytes)
        kinds[key] = kinds.get(key, 0) + len(cache.layers)
    if len({window for window, _ in kinds}) < 2:
        return None
    page = max(size for _, size in kinds)
    grouped = groups_of(kinds)
    return Pool(
        tuple(
            PoolGroup(window, groups, layers, block * max(1, page // size))
            for (window, size), groups, layers in grouped
        ),
        grouped[0][2] * page * block,
    )
