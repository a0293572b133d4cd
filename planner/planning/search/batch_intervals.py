"""Every batch of every layout: intervals of slots, bounded and cut until none can win.

No step takes less with more sequences, and no memory is freed, so that what holds at the lower end
of an interval bounds all of it: device-seconds of a token are at least the step's at the lower end
over the sequences of the upper. An interval that may hold a better plan is cut, in pieces as fine
as its bound is close, down to single slots.

Runs of slots that follow each other are bounded together in blocks, halved until none can win. In a
block every kernel and option costs at least its least share of a sequence in any of the slots: a
sum of these is no more than any slot's. What memory and limits exclude with the first slot, they
exclude with all.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import ceil, floor, log

import numpy as np
from numpy.typing import NDArray

from planner.planning.question.question import RATES
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.first_token import bound_relaxed_ttft
from planner.planning.search.formulate import bounds
from planner.planning.space.candidates import Space, build_space

Array = NDArray[np.float64]
Int = NDArray[np.int64]
Pieces = dict[tuple[int, int], int]
"""(layout, first slot) → last slot."""
PIECES = 64
"""Pieces that one interval is cut into at once."""
RUN = 256
"""Slots up to which those of an interval may be looked at one by one."""
AT_ONCE = 2048
"""Slots that are priced together."""
BLOCK = 32
"""Slots of a block before it is halved."""


def over_intervals(space: Space) -> Space:
    """``space``, whose candidates are in order of layout and slot, with each standing for all slots
    up to the next of its layout."""
    layout, slots = space.pts.layout, space.slots
    follows = np.append(layout[1:] == layout[:-1], False)
    following = np.arange(len(space)) + follows
    upper = np.where(follows, slots[following] - 1, slots)
    timed = space.model.question.limits_prompts
    return replace(space, upper=upper, above=space.alone[following] if timed else None)


def least_of(space: Space, lower: Array) -> Array:
    """The least that any slot of each candidate may have [C], where ``lower`` holds at the first:
    a rate is divided among up to ``upper`` sequences."""
    if space.model.question.objective in RATES:
        return np.asarray(lower * (space.slots / space.upper))
    return lower


def split_intervals(space: Space, lower: Array, most: float) -> tuple[Pieces, Pieces]:
    """(intervals, runs of slots that are each looked at) of what may be better than ``most`` in
    ``space``; ``lower`` [C] holds at the first slot of each candidate."""
    rate = space.model.question.objective in RATES
    spans: Pieces = {}
    runs: Pieces = {}
    for c in np.flatnonzero((space.upper > space.slots) & (least_of(space, lower) < most)).tolist():
        layout, low, high = int(space.pts.layout[c]), int(space.slots[c]), int(space.upper[c])
        # As far as the bound at the first slot alone says that nothing is better.
        ratio = max(float(lower[c]) / most, 1.0) if rate else 1.0
        start = low if lower[c] < most else min(floor(low * ratio) + 1, high)
        pieces = _pieces(start, high, ratio)
        if pieces is None:
            runs[layout, start] = high
            continue
        starts = _starts(start, high, pieces)
        for interval_start, following in zip(starts, [*starts[1:], high + 1], strict=True):
            spans[layout, interval_start] = following - 1
    return spans, runs


def finer_candidates(space: Space, spans: Pieces) -> Space:
    """Candidates for ``spans``."""
    spans = dict(spans)
    timed = space.model.question.limits_prompts
    if timed:  # a slot that bounds the last piece of each interval from above
        for (layout, start), last in list(spans.items()):
            if last > start and (layout, last + 1) not in spans:
                spans[layout, start], spans[layout, last] = last - 1, last
    ordered = sorted(spans)
    pieces = build_space(space.model, space.tables, space.stages, ordered)
    pieces = over_intervals(pieces) if timed else pieces
    return replace(pieces, upper=np.array([spans[pair] for pair in ordered], dtype=np.int64))


def _pieces(first: int, last: int, ratio: float) -> int | None:
    """How many pieces whose ends differ by ``ratio`` cover the slots from ``first`` to ``last``,
    with a half more since bounds rise and fall, at most PIECES; None where looking at each slot is
    less work."""
    width = last - first + 1
    needed = 1.5 * log((last + 1) / first) / log(ratio) if ratio > 1.0 else width
    if width <= RUN and needed >= width / 4:
        return None
    return min(PIECES, max(2, ceil(needed)))


def _starts(first: int, last: int, pieces: int) -> list[int]:
    """Slots from ``first`` on that cut up to ``last`` into ``pieces`` of equal ratio."""
    return sorted({round(first * (last / first) ** (i / pieces)) for i in range(pieces)})


def dense_spaces(space: Space, runs: Pieces) -> Iterator[Space]:
    """The slots of ``runs`` as candidates, AT_ONCE at a time."""
    pairs = [
        (layout, slot)
        for (layout, start), last in sorted(runs.items())
        for slot in range(start, last + 1)
    ]
    for low in range(0, len(pairs), AT_ONCE):
        yield build_space(space.model, space.tables, space.stages, pairs[low : low + AT_ONCE])


def bounds_block(space: Space, starts: Int, ends: Int) -> Space:
    """Blocks [B] of the candidates ``starts`` to ``ends`` (inclusive) of a run of slots."""
    first = space.take(starts)
    timed = space.model.question.limits_prompts
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
        candidate = candidate_problem(bounds_block(space, np.array([low]), np.array([high])), 0)
        bound = max(bound, bound_relaxed_ttft(candidate, cutoff=most))
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
    lower = bounds(bounds_block(space, starts, ends))
    return list(zip(lower.tolist(), starts.tolist(), ends.tolist(), strict=True))
