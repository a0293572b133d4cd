"""Passes of very long streams folded as they come: sums by time, tokens by the time before them.

A stream has several passes a request; of millions of requests their rows would take more memory
than all else. Sums over a cell of time and counts of tokens by their gap say what is asked of them.
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record

Array = NDArray[np.float64]
CONTIGUOUS = 1e-9
"""Seconds between passes that follow each other, by rounding."""
CELLS = 1 << 14
"""Of time; they double in length when a pass begins beyond them, so that half of them are used."""
GAP_CELLS = 1 << 9
"""Of time, each of several cells, in which gaps are counted."""
GAP_BINS = 4096
LEAST_GAP = 1e-6
"""Seconds at the lower end of the second bin; shorter gaps are in the first."""
GAP_RATIO = 1.005
"""Of both ends of a bin, whose value is the mean of its gaps: the error of a percentile."""


@record
class HeldTokens:
    """What passes leave to those after them: the ``end`` [s] of the last one, and ``seconds`` of
    passes over prompts alone that have held sequences up since they last decoded."""

    end: float = -np.inf
    seconds: float = 0.0


NONE_HELD = HeldTokens()


@record
class FoldedPasses:
    """Passes by T cells of time of ``cell_seconds`` in which they begin: their ``seconds`` [T],
    those times the sequences that they decode (``sequence_seconds``) and times the share of the
    cache in use (``share_seconds``), and the ``tokens`` that they yield; ``gap_tokens`` [C, G] of
    them by the time since the token before, and ``gap_seconds`` [G] the mean of each such bin.
    ``end`` [s] of the last pass."""

    cell_seconds: float
    seconds: Array
    sequence_seconds: Array
    share_seconds: Array
    tokens: Array
    gap_tokens: Array
    gap_seconds: Array
    end: float

    def on_intervals(self, values: Array, ends: Array) -> Array:
        """Sums [T] of cells on intervals that begin at 0 and have ``ends`` [n]; a cell is spread
        evenly over its time, and what begins beyond the last end counts in the last."""
        edges = np.arange(len(values) + 1) * self.cell_seconds
        below = np.interp(ends, edges, np.concatenate([[0.0], np.cumsum(values)]))
        below[-1] = values.sum()
        return np.diff(below, prepend=0.0)

    def gaps_between(self, first: float, end: float) -> Array:
        """Tokens [G] by their gap of the cells whose middle is from ``first`` to ``end`` [s]."""
        long = self.cell_seconds * len(self.seconds) / len(self.gap_tokens)
        middle = (np.arange(len(self.gap_tokens)) + 0.5) * long
        return np.asarray(self.gap_tokens[(middle >= first) & (middle < end)].sum(axis=0))


class PassFolder:
    """Folds passes that come in pieces; ``span`` [s] is about how long all take."""

    def __init__(self, span: float) -> None:
        self._cell = max(2.0 * span / CELLS, 1e-9)
        self._sums = np.zeros((4, CELLS))
        self._gap_tokens = np.zeros((GAP_CELLS, GAP_BINS))
        self._gap_seconds = np.zeros(GAP_BINS)
        self._held = NONE_HELD

    def add(self, start: Array, seconds: Array, share: Array, decoding: Array) -> None:
        """Passes [S] in order of their ``start`` [s], after those that were added before."""
        if not len(start):
            return
        while start[-1] >= CELLS * self._cell:
            self._double()
        place = (start // self._cell).astype(np.int64)
        of_passes = (seconds, seconds * decoding, seconds * share, decoding)
        for row, weights in zip(self._sums, of_passes, strict=True):
            row += np.bincount(place, weights=weights, minlength=CELLS)
        gaps, self._held = token_gaps(start, seconds, decoding, self._held)
        yields = decoding > 0
        place = place[yields] // (CELLS // GAP_CELLS)
        gaps, tokens = gaps[yields], decoding[yields]
        above = np.log(np.maximum(gaps, LEAST_GAP) / LEAST_GAP) / log(GAP_RATIO)
        bins = np.minimum(above.astype(np.int64) + (gaps >= LEAST_GAP), GAP_BINS - 1)
        self._gap_seconds += np.bincount(bins, weights=gaps * tokens, minlength=GAP_BINS)
        np.add.at(self._gap_tokens.reshape(-1), place * GAP_BINS + bins, tokens)

    def folded(self) -> FoldedPasses:
        """All that was added."""
        every = self._gap_tokens.sum(axis=0)
        mean = self._gap_seconds / np.maximum(every, 1.0)
        end = self._held.end if np.isfinite(self._held.end) else 0.0
        seconds, sequences, share, tokens = self._sums
        return FoldedPasses(
            self._cell, seconds, sequences, share, tokens, self._gap_tokens, mean, end
        )

    def _double(self) -> None:
        """Make cells twice as long."""
        self._cell *= 2.0
        for table in (self._sums.T, self._gap_tokens):
            half = len(table) // 2
            table[:half] = table[::2] + table[1::2]
            table[half:] = 0.0


def token_gaps(
    start: Array, seconds: Array, decoding: NDArray[np.number], before: HeldTokens = NONE_HELD
) -> tuple[Array, HeldTokens]:
    """Seconds [S] since the token before, of those that a pass yields: its own, and those of passes
    over prompts alone that held its sequences up, some of them ``before`` the first; and what is
    left to passes after the last."""
    ends = start + seconds
    alone = decoding == 0
    out = seconds.copy()
    held = before.seconds
    for i in np.flatnonzero(alone | np.concatenate([[held > 0.0], alone[:-1]])):
        last = ends[i - 1] if i > 0 else before.end
        after = start[i] - last < CONTIGUOUS * max(ends[i], 1.0)
        if alone[i]:
            held = (held if after else 0.0) + seconds[i]
        else:
            out[i] += held if after else 0.0
            held = 0.0
    return out, HeldTokens(float(ends[-1]), float(held)) if len(ends) else before
