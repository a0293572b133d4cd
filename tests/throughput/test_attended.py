"""Entries that a query reads: what the mask lets through, for numbers and arrays alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planner.models.catalog import resolve_model
from planner.models.spec import Attention
from planner.throughput.attended import computed_share, decode_entries, prompt_pairs

CHANGES: list[dict[str, Any]] = [
    {},
    {"window": 1},
    {"window": 7},
    {"window": 64},
    {"window": 7, "chunked": True},
    {"window": 1, "chunked": True},
    {"indexer_topk": 9},
    {"window": 30, "indexer_topk": 9},
]
LENGTHS = (1, 6, 7, 8, 50, 64)


def counted_pairs(a: Attention, length: int) -> float:
    """(query, entry) pairs of a prompt, query by query."""
    pairs = 0
    for query in range(length):
        first = 0
        if a.window:
            first = query // a.window * a.window if a.chunked else max(0, query + 1 - a.window)
        seen = query + 1 - first
        pairs += min(seen, a.indexer_topk) if a.indexer_topk else seen
    return pairs


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("length", LENGTHS)
def test_entries_read_are_those_the_mask_lets_through(change: dict[str, Any], length: int) -> None:
    a = replace(resolve_model("llama-3.1-8b").attention[0], **change)
    assert prompt_pairs(a, length) == counted_pairs(a, length)
    last = counted_pairs(a, length) - counted_pairs(a, length - 1)
    assert decode_entries(a, length) == last or (a.chunked and decode_entries(a, length) >= last)
    assert decode_entries(a, length) <= length


@pytest.mark.parametrize(
    "change",
    [*CHANGES, {"kind": "linear"}, {"kind": "csa", "ratio": 4, "indexer_topk": 9, "window": 7}],
)
def test_an_array_of_lengths_is_each_length(change: dict[str, Any]) -> None:
    a = replace(resolve_model("llama-3.1-8b").attention[0], **change)
    lengths = np.array(LENGTHS, dtype=np.float64)
    for run in (decode_entries, prompt_pairs):
        found = np.broadcast_to(run(a, lengths), lengths.shape)
        assert found.tolist() == [run(a, float(n)) for n in LENGTHS]


@pytest.mark.parametrize("topk", [0, 1, 9])
def test_cached_tokens_spare_all_pairs_that_an_indexer_would_score(topk: int) -> None:
    a = replace(resolve_model("llama-3.1-8b").attention[0], indexer_topk=topk)
    dense = replace(a, indexer_topk=0)
    for cached in (0, 10, 50, 64):
        left = counted_pairs(dense, 64) - counted_pairs(dense, cached)
        assert computed_share(a, 64, cached) == pytest.approx(left / counted_pairs(dense, 64))
