"""The sums of planner/lab/profiling/sums.py compiled by numba. Import lazily: needs ``[fast]``.

Sums go into one place a column: loops over a row then have no carried dependency, which is what the
compiler vectorises without reordering a sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from planner.numerics.engines import kernel
from planner.numerics.tiles import FloatArray

Doubles = npt.NDArray[np.float64]


@kernel
def widen(words: npt.NDArray[np.uint16], out: npt.NDArray[np.uint32]) -> None:
    """BF16 codes ``words`` [n] as the bits of float32."""
    for i in range(words.size):
        out[i] = np.uint32(words[i]) << np.uint32(16)


@kernel
def _largest(bits: npt.NDArray[np.int32], start: np.int32) -> Any:
    largest = start
    for i in range(bits.size):
        v = np.int32(bits[i] & np.int32(0x7FFFFFFF))
        largest = v if v > largest else largest
    return largest


@kernel
def _powers(row: FloatArray, power: Doubles, fourth: Doubles) -> None:
    for i in range(row.size):
        v = np.float64(row[i])
        s = v * v
        power[i] += s
        fourth[i] += s * s


@kernel
def statistics(part: FloatArray, amax: FloatArray, power: Doubles, fourth: Doubles) -> None:
    """Largest magnitude of each row of ``part`` [rows, columns] (NaN above all), second and fourth
    powers of columns."""
    bits = part.view(np.int32)
    largest = amax.view(np.int32)
    for r in range(part.shape[0]):
        largest[r] = _largest(bits[r], largest[r])
        _powers(part[r], power, fourth)


@kernel
def _row(x: FloatArray, y: FloatArray, power: Doubles) -> None:
    for i in range(x.size):
        d = np.float64(y[i]) - np.float64(x[i])
        power[i] += d * d


@kernel
def _counting_row(x: FloatArray, y: FloatArray, power: Doubles) -> Any:
    count = np.int32(0)
    for i in range(x.size):
        d = np.float64(y[i]) - np.float64(x[i])
        power[i] += d * d
        count += np.int32((y[i] == np.float32(0)) & (x[i] != np.float32(0)))
    return count


@kernel
def _unfinite(y: npt.NDArray[np.int32]) -> Any:
    count = np.int32(0)
    for i in range(y.size):
        count += np.int32((y[i] & np.int32(0x7F800000)) == np.int32(0x7F800000))
    return count


@kernel
def difference(x: FloatArray, y: FloatArray, power: Doubles, zeros: bool, infinities: bool) -> Any:
    """Add (y - x)² into the columns; (flushed, overflowed), counted where asked.

    Pairs with y not finite add nothing; without ``infinities`` y must be finite.
    """
    bits = y.view(np.int32)
    flushed, overflowed = 0, 0
    clean = np.empty(x.shape[1], np.float32)
    for r in range(x.shape[0]):
        after = y[r]
        bad = _unfinite(bits[r]) if infinities else 0
        if bad:
            overflowed += bad
            for i in range(clean.size):
                clean[i] = y[r, i] if np.isfinite(y[r, i]) else x[r, i]
            after = clean
        if zeros:
            flushed += _counting_row(x[r], after, power)
        else:
            _row(x[r], after, power)
    return flushed, overflowed
