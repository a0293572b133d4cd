"""What a query attends to: entries that one step reads, and pairs of a causal prompt.

Lengths are numbers or arrays; the answer has their shape. Windows and sparse indexers bound them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planner.models.spec import Attention, ModelSpec
from planner.throughput.points import Number

COMPRESSED = ("csa", "hca", "swa")
"""Attention over one vector that is key and value of all heads: a window of them as they are, and
in csa and hca one entry for ``ratio`` tokens."""


def model_class(spec: ModelSpec) -> str:
    """dense, moe, mla (latent attention) or compressed (attention to summaries of blocks)."""
    kinds = {attention.kind for attention in spec.attention}
    if kinds & set(COMPRESSED):
        return "compressed"
    if "mla" in kinds:
        return "mla"
    return "moe" if spec.experts is not None else "dense"


def decode_entries(attention: Attention, kv_len: Number) -> Number:
    """Cached entries that one query reads at a length of ``kv_len`` tokens, a number or an array.

    All of them, those of the window, or those an indexer selects. A chunked layer reads what its
    chunk holds so far: the chunk at most, taken here.
    """
    if attention.kind == "linear":
        return 0.0
    recent = elementwise_min(kv_len, attention.window) if attention.window else kv_len
    if attention.kind in ("csa", "hca"):
        compressed = kv_len / attention.ratio
        chosen = attention.indexer_topk or compressed
        return recent + elementwise_min(compressed, chosen)
    return elementwise_min(recent, attention.indexer_topk) if attention.indexer_topk else recent


def prompt_pairs(attention: Attention, length: Number) -> Number:
    """(query, entry) pairs of a causal prompt of ``length`` tokens, one head; arrays as well."""
    if attention.kind == "linear":
        return 0.0
    if attention.chunked and attention.window:
        full_blocks, rest = divmod(length, attention.window)
        return full_blocks * causal_pairs(attention.window, 0) + causal_pairs(rest, 0)
    if attention.kind in ("csa", "hca"):
        compressed = causal_pairs(length / attention.ratio, 0) * attention.ratio
        limit = attention.indexer_topk
        if limit:
            compressed = causal_pairs(length / attention.ratio, limit) * attention.ratio
        return causal_pairs(length, attention.window) + compressed
    limits = [n for n in (attention.window, attention.indexer_topk) if n]
    return causal_pairs(length, min(limits, default=0))


def computed_share(attention: Attention, length: Number, cached: Number) -> Number:
    """Share of a causal prompt's (query, entry) pairs whose query is not among its first
    ``cached`` tokens; of a sparse core, of all pairs that its indexer scores."""
    scored = replace(attention, indexer_topk=0) if attention.indexer_topk else attention
    every = prompt_pairs(scored, length)
    return 1.0 - prompt_pairs(scored, cached) / np.maximum(every, 1e-30)


def causal_pairs(length: Number, limit: int) -> Number:
    """(query, key) pairs of a causal prompt; each query attends at most ``limit`` keys (0: all)."""
    every = length * (length + 1) / 2
    if not limit:
        return every
    some = limit * (limit + 1) / 2 + (length - limit) * limit
    if isinstance(length, np.ndarray):
        return np.where(length <= limit, every, some)
    return every if length <= limit else some


def elementwise_min(a: Number, b: Number) -> Number:
    """The smaller of two numbers, by element where one is an array."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.minimum(a, b)
    return min(a, b)
