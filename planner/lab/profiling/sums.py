"""Sums over tiles in a fixed order, so that a tensor has one result: numpy, or numba's same bits.

Powers are added in float64, one sum a column, row by row; the columns are added at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.numerics.engines import Engine
from planner.numerics.tiles import FloatArray, Tile

Doubles = npt.NDArray[np.float64]


@dataclass(slots=True)
class Statistics:
    """Running statistics of one matrix: largest magnitude by row, second and fourth powers by
    column."""

    row_amax: FloatArray
    power: Doubles
    fourth: Doubles

    @classmethod
    def empty(cls, rows: int, columns: int) -> Statistics:
        return cls(np.zeros(rows, np.float32), np.zeros(columns), np.zeros(columns))

    def add(self, part: FloatArray, tile: Tile, engine: Engine) -> None:
        """Take in the values of ``tile`` [rows, columns]; NaN and infinities show in
        ``row_amax``."""
        amax = self.row_amax[tile.top : tile.bottom]
        power, fourth = (a[tile.left : tile.right] for a in (self.power, self.fourth))
        if engine == "numba":
            _kernels()[0](part, amax, power, fourth)
            return
        np.maximum(amax, np.abs(part).max(axis=1), out=amax)
        with np.errstate(over="ignore", invalid="ignore"):
            square = part.astype(np.float64) ** 2
            _add_rows(square, power)
            _add_rows(square * square, fourth)


@dataclass(slots=True)
class ErrorSums:
    """Running (y − x)² by column, with the counts of range failures.

    ``zeros``: count elements that become zero; ``infinities``: values may overflow (plain floats).
    """

    zeros: bool
    infinities: bool
    power: Doubles
    flushed: int = 0
    overflowed: int = 0

    def add(self, x: FloatArray, y: FloatArray, left: int, engine: Engine) -> None:
        """Take in ``x`` [rows, columns], whose first column is ``left``, and what a format makes of
        it, ``y``."""
        power = self.power[left : left + x.shape[1]]
        if engine == "numba":
            flushed, overflowed = _kernels()[1](x, y, power, self.zeros, self.infinities)
            self.flushed += int(flushed)
            self.overflowed += int(overflowed)
            return
        if self.zeros:
            self.flushed += int(((x != 0) & (y == 0)).sum())
        if self.infinities:
            finite = np.isfinite(y)
            self.overflowed += int(y.size - finite.sum())
            y = np.where(finite, y, x)
        d = y.astype(np.float64) - x
        _add_rows(np.multiply(d, d, out=d), power)


def _add_rows(square: Doubles, power: Doubles) -> None:
    """Rows into ``power``, one after the other."""
    for row in square:
        power += row


@cache
def _kernels() -> tuple[Any, Any]:
    from planner.lab.profiling import fast_sums

    return fast_sums.statistics, fast_sums.difference
