"""Every batch of every layout: intervals of slots, bounded and cut until none can win.

No step takes less with more sequences, and no memory is freed, so that what holds at the lower end
of an interval bounds all of it: device-seconds of a token are at least the step's at the lower end
over the sequences of the upper. An interval that may hold a better plan is cut, in pieces as fine
as its bound is close, down to single slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
COARSE = 1.25
"""Ratio of the ends of a piece that is not to be exceeded while bounds are far apart."""


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


def finer(space: Space, lower: Array, most: float) -> Space | None:
    """New candidates for the slots of ``space`` that may be better than ``most``; ``lower`` [C]
    holds at the first slot of each. None where no interval may."""
    upper = pieces(space, lower, most)
    if not upper:
        return None
    if space.above is not None:  # a slot that bounds the last piece of each interval from above
        for (layout, start), last in list(upper.items()):
            if last > start and (layout, last + 1) not in upper:
                upper[layout, start], upper[layout, last] = last - 1, last
    ordered = sorted(upper)
    found = build_space(space.model, space.tables, space.stages, ordered)
    if space.above is not None:
        found = spanning(found)
    return replace(found, upper=np.array([upper[pair] for pair in ordered], dtype=np.int64))


def pieces(space: Space, lower: Array, most: float) -> Pieces:
    """The intervals of ``space`` that may be better than ``most``, cut."""
    rate = space.model.question.objective in RATES
    out: Pieces = {}
    for c in np.flatnonzero((space.upper > space.slots)
                            & (least_of(space, lower) < most)).tolist():
        layout, low, high = int(space.pts.layout[c]), int(space.slots[c]), int(space.upper[c])
        # As far as the bound at the first slot alone says that nothing is better.
        ratio = max(float(lower[c]) / most, 1.0) if rate else 1.0
        starts = _starts(min(floor(low * ratio) + 1, high), high, ratio)
        for start, following in zip(starts, [*starts[1:], high + 1], strict=True):
            out[layout, start] = following - 1
    return out


def _starts(first: int, last: int, ratio: float) -> list[int]:
    """Slots from ``first`` on that cut up to ``last`` into pieces whose ends differ by about
    ``ratio``, at most PIECES of them."""
    if last - first < PIECES:
        return list(range(first, last + 1))
    step = min(max(ratio, 1.0 + 1.0 / first), COARSE)
    pieces = min(PIECES, max(2, ceil(log(last / first) / log(step))))
    return sorted({round(first * (last / first) ** (i / pieces)) for i in range(pieces)})


def rounds(spaces: Sequence[Space], lower: Sequence[Array], most: float,
           ) -> Iterator[tuple[int, Space]]:
    """(number of the space, finer candidates) of those that may be better than ``most``."""
    for i, (space, low) in enumerate(zip(spaces, lower, strict=True)):
        found = finer(space, low, most)
        if found is not None:
            yield i, found
