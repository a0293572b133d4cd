"""Every batch of every layout: intervals of slots, bounded and cut until none can win.

No step takes less with more sequences, and no memory is freed, so that what holds at the lower end
of an interval bounds all of it: device-seconds of a token are at least the step's at the lower end
over the sequences of the upper. An interval that may hold a better plan is cut, in pieces as fine
as its bound is close, down to single slots.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor, log

import numpy as np
from numpy.typing import NDArray

from planner.planning.question.question import RATES
from planner.planning.space.candidates import Space, build_space

Array = NDArray[np.float64]
Int = NDArray[np.int64]
Pieces = dict[tuple[int, int], int]
"""(layout, first slot) → last slot."""
PIECES = 64
"""Pieces that one interval is cut into at once."""
RUN = 256
"""Slots up to which those of an interval may be looked at one by one."""


def spanning(space: Space) -> Space:
    """``space``, whose candidates are in order of layout and slot, with each standing for all slots
    up to the next of its layout."""
    layout, slots = space.pts.layout, space.slots
    follows = np.append(layout[1:] == layout[:-1], False)
    following = np.arange(len(space)) + follows
    upper = np.where(follows, slots[following] - 1, slots)
    timed = space.model.question.ttft_seconds is not None
    return replace(space, upper=upper, above=space.alone[following] if timed else None)


def least_of(space: Space, lower: Array) -> Array:
    """The least that any slot of each candidate may have [C], where ``lower`` holds at the first:
    a rate is divided among up to ``upper`` sequences."""
    if space.model.question.objective in RATES:
        return np.asarray(lower * (space.slots / space.upper))
    return lower


def cut(space: Space, lower: Array, most: float) -> tuple[Pieces, Pieces]:
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
        for one, following in zip(starts, [*starts[1:], high + 1], strict=True):
            spans[layout, one] = following - 1
    return spans, runs


def finer(space: Space, spans: Pieces) -> Space:
    """Candidates for ``spans``."""
    spans = dict(spans)
    timed = space.model.question.ttft_seconds is not None
    if timed:  # a slot that bounds the last piece of each interval from above
        for (layout, start), last in list(spans.items()):
            if last > start and (layout, last + 1) not in spans:
                spans[layout, start], spans[layout, last] = last - 1, last
    ordered = sorted(spans)
    found = build_space(space.model, space.tables, space.stages, ordered)
    found = spanning(found) if timed else found
    return replace(found, upper=np.array([spans[pair] for pair in ordered], dtype=np.int64))


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
