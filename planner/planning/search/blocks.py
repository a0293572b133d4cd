"""Runs of slots that follow each other: bounded together in blocks, halved until none can win.

In a block every kernel and option costs at least its least share of a sequence in any of the slots:
a sum of these is no more than any slot's. What memory and limits exclude with the first slot, they
exclude with all.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from planner.planning.question.question import RATES
from planner.planning.search.batches import Pieces
from planner.planning.search.first_token import bound_relaxed_ttft
from planner.planning.search.formulate import bounds
from planner.planning.search.posed import candidate_problem
from planner.planning.space.candidates import Space, build_space

Array = NDArray[np.float64]
Int = NDArray[np.int64]
AT_ONCE = 2048
"""Slots that are priced together."""
BLOCK = 32
"""Slots of a block before it is halved."""


def dense_spaces(space: Space, runs: Pieces) -> Iterator[Space]:
    """The slots of ``runs`` as candidates, AT_ONCE at a time."""
    pairs = [
        (layout, slot)
        for (layout, start), last in sorted(runs.items())
        for slot in range(start, last + 1)
    ]
    for low in range(0, len(pairs), AT_ONCE):
        yield build_space(space.model, space.tables, space.stages, pairs[low : low + AT_ONCE])


def block(space: Space, starts: Int, ends: Int) -> Space:
    """Blocks [B] of the candidates ``starts`` to ``ends`` (inclusive) of a run of slots."""
    first = space.take(starts)
    timed = space.model.question.ttft_seconds is not None
    spans = replace(
        first, upper=space.slots[ends], first=first, above=space.alone[ends] if timed else None
    )
    if space.model.question.objective not in RATES:
        return spans
    decode, hop = np.empty_like(first.decode), np.empty_like(first.hop_step)
    for i, (low, high) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        share = space.slots[low] / space.slots[low : high + 1]
        decode[i] = (space.decode[low : high + 1] * share[:, None, None]).min(axis=0)
        hop[i] = (space.hop_step[low : high + 1] * share).min()
    return replace(spans, decode=decode, hop_step=hop)


def single_slots(
    space: Space,
    most: float,
) -> Generator[tuple[int, float], float | None, None]:
    """(candidate, its bound) of those of runs of slots that may be better than ``most``, the least
    bound first. The better value that a candidate had may be sent back."""
    heap = _bounded(space, *_blocks(space))
    heapify(heap)
    while heap:
        bound, low, high = heappop(heap)
        if bound >= most:
            return
        if low == high:
            sent = yield low, bound
            most = min(most, sent if sent is not None else most)
            continue
        one = candidate_problem(block(space, np.array([low]), np.array([high])), 0)
        bound = max(bound, bound_relaxed_ttft(one, cutoff=most))
        if bound >= most:
            continue
        middle = (low + high) // 2
        for half in _bounded(space, np.array([low, middle + 1]), np.array([middle, high])):
            heappush(heap, (max(half[0], bound), *half[1:]))


def _blocks(space: Space) -> tuple[Int, Int]:
    """(first, last candidates) of blocks of at most BLOCK slots that follow each other."""
    layout, slots = space.pts.layout, space.slots
    breaks = np.flatnonzero((layout[1:] != layout[:-1]) | (slots[1:] != slots[:-1] + 1)) + 1
    edges = [0, *breaks.tolist(), len(space)]
    starts = [at for low, high in pairwise(edges) for at in range(low, high, BLOCK)]
    return np.array(starts), np.array([*starts[1:], len(space)]) - 1


def _bounded(space: Space, starts: Int, ends: Int) -> list[tuple[float, int, int]]:
    """(bound, first, last candidate) of blocks."""
    lower = bounds(block(space, starts, ends))
    return list(zip(lower.tolist(), starts.tolist(), ends.tolist(), strict=True))
