"""Arrays of real numbers taken piece by piece, so that no temporary is as large as its source.

An array is seen as a matrix: its last axis is the columns, all others together the rows. A tile is
a run of whole rows or a piece of one row, hence a run of elements in C order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError

FloatArray = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

_EXACT_INTEGERS = 1 << 53


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows [top, bottom) and columns [left, right) of a matrix."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, matrix: Array) -> Array:
        """The view of this part of ``matrix``."""
        return matrix[self.top : self.bottom, self.left : self.right]

    def blocks(self, matrix: Array, sides: tuple[int, int]) -> Array:
        """The view of the entries of a matrix of blocks (``sides`` each) that the tile touches."""
        rows, columns = sides
        return matrix[self.top // rows : -(-self.bottom // rows),
                      self.left // columns : -(-self.right // columns)]  # fmt: skip


def tiles(rows: int, columns: int, step: int, sides: tuple[int, int] = (1, 1)) -> Iterator[Tile]:
    """Tiles of about ``step`` elements in C order.

    Along each axis a tile starts at a block boundary or lies inside one block (``sides``).
    """
    if columns > step:
        for row in range(rows):
            for left, right in _runs(columns, step, sides[1]):
                yield Tile(row, row + 1, left, right)
    elif columns:
        for top, bottom in _runs(rows, max(1, step // columns), sides[0]):
            yield Tile(top, bottom, 0, columns)


def _runs(length: int, step: int, side: int) -> Iterator[tuple[int, int]]:
    if step >= side:
        step -= step % side
        for start in range(0, length, step):
            yield start, min(start + step, length)
        return
    for block in range(0, length, side):
        end = min(block + side, length)
        for start in range(block, end, step):
            yield start, min(start + step, end)


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of an array of that shape; a scalar is one element."""
    rows = 1
    for side in shape[:-1]:
        rows *= side
    return rows, shape[-1] if shape else 1


def as_array(x: npt.ArrayLike) -> Array:
    """``x`` as an array of real numbers.

    Accepted: booleans, integers up to 2^53 in magnitude, and floats of up to 64 bits, those of
    ml_dtypes included. Raises InputError for anything else: objects, strings, dates, complex
    numbers, longer floats, nested lists that are no array, masked arrays.
    """
    array = unmasked(x)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in "iu" and size == 8 and array.size:
        low, high = int(array.min()), int(array.max())
        if max(-low, high) > _EXACT_INTEGERS:
            bad = high if high > _EXACT_INTEGERS else low
            raise InputError(
                f"integer {bad} is not exact in 64-bit floats",
                hint="pass integers of magnitude up to 2^53, or floats",
            )
    elif not (kind in "iub" or (kind == "f" and size <= 8) or _is_small_float(array.dtype)):
        raise InputError(
            f"cannot encode values of dtype {array.dtype}",
            hint="pass real numbers of at most 64 bits: x.astype(numpy.float64)",
        )
    return array


def unmasked(x: npt.ArrayLike) -> Array:
    """``x`` as an array.

    Raises InputError for masked arrays, whose mask no result could keep, and for nested lists that
    are no array.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise InputError(
            "a masked array would lose its mask", hint="fill the masked elements first: x.filled(0)"
        )
    try:
        return np.asarray(x)
    except ValueError as problem:
        raise InputError(
            f"not an array: {problem}", hint="pass numbers in rows of one length"
        ) from None


def _is_small_float(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype from outside numpy (bfloat16, float8 …) is a real number of ≤ 4 bytes."""
    if dtype.kind not in "Vf" or dtype.names is not None or dtype.itemsize > 4:
        return False
    return bool(np.can_cast(dtype, np.float64))


def as_float32(x: Array, *, exact: bool = False) -> FloatArray:
    """``x`` as contiguous float32; wider numbers are rounded to odd unless ``exact`` asks nearest.

    Raises InputError for dtypes that :func:`as_array` refuses.
    """
    if x.dtype == np.float32:
        return np.ascontiguousarray(x)
    x = as_array(x)
    wide = x.dtype.kind in "iub" or x.dtype.itemsize > 4
    with np.errstate(all="ignore"):
        doubles = x.astype(np.float64)
        nearest = np.ascontiguousarray(doubles.astype(np.float32))
        return _round_to_odd(doubles, nearest) if wide and not exact else nearest


def _round_to_odd(doubles: npt.NDArray[np.float64], nearest: FloatArray) -> FloatArray:
    """Truncate to float32 and set the last bit where anything was lost (a sticky bit)."""
    back = nearest.astype(np.float64)
    inexact = (back != doubles) & ~np.isnan(doubles)
    bits = np.ascontiguousarray(nearest).view(np.uint32)
    bits = bits - (inexact & (np.abs(back) > np.abs(doubles))).astype(np.uint32)
    odd: FloatArray = (bits | inexact.astype(np.uint32)).view(np.float32)
    return odd


def fetch(source: Array, tile: Tile, *, exact: bool = False) -> FloatArray:
    """One tile of ``source`` (any axes, strides and real dtype) as a contiguous float32 matrix.

    A view where ``source`` is contiguous float32, else a copy of the tile alone.
    """
    if source.ndim <= 2:
        part = source.reshape(1, -1) if source.ndim < 2 else source
        return as_float32(tile.of(part), exact=exact)
    if source.flags.c_contiguous:
        return as_float32(tile.of(source.reshape(-1, source.shape[-1])), exact=exact)
    index = np.unravel_index(np.arange(tile.top, tile.bottom), source.shape[:-1])
    return as_float32(source[index][:, tile.left : tile.right], exact=exact)


def output_array(out: Array | None, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """``out`` where it can take a result of that shape and dtype, a new array where it is None.

    Raises InputError for another shape or dtype, and for memory that is read-only or strided.
    """
    if out is None:
        return np.empty(shape, dtype=dtype)
    if out.shape != shape or out.dtype != np.dtype(dtype):
        raise InputError(
            f"out has shape {out.shape} and dtype {out.dtype}, "
            f"the result {shape} and {np.dtype(dtype)}",
            hint="pass an array that an earlier call with these arguments returned, "
            "or leave out= out",
        )
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise InputError(
            "out is not contiguous and writable",
            hint="pass an array that an earlier call with these arguments returned, "
            "or leave out= out",
        )
    return out
