"""Block kernels compiled by numba, with the bits of planner/numerics/blocks.py. Import lazily: it
needs the ``[fast]`` extra.

A row is scaled block by block into a buffer that stays in the first-level cache, then cast as a
whole; simple loops over slices of rows are what the compiler vectorises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from planner.formats.spec import ElementFormat
from planner.numerics.engines import kernel
from planner.numerics.fast_cast import (
    INTEGER,
    NEAREST,
    TABLE,
    Bytes,
    CastParameters,
    Words,
    encode_integer,
    encode_lookup,
    encode_nearest,
    encode_symmetric,
    recipe,
    values_of,
)
from planner.numerics.fast_runs import largest
from planner.numerics.tiles import FloatArray

if TYPE_CHECKING:
    from planner.numerics.block_job import BlockJob

Signed = npt.NDArray[np.int32]

# Blocks so short that a loop over each costs more than a factor for every element.
_SHORT = 16


@kernel
def _amax(bits: Signed, width: int, out: Signed) -> None:
    rows, columns = bits.shape
    for r in range(rows):
        row = bits[r]
        for b in range(out.shape[1]):
            out[r, b] = largest(row[b * width : min(b * width + width, columns)])


def amax(part: FloatArray, width: int) -> FloatArray:
    """Largest magnitude of each run of ``width`` columns; NaN counts above infinity."""
    rows, columns = part.shape
    out = np.empty((rows, -(-columns // width)), dtype=np.int32)
    _amax(part.view(np.int32), width, out)
    return out.view(np.float32)


@kernel
def _times(x: FloatArray, factor: np.float32, out: FloatArray) -> None:
    for i in range(x.size):
        out[i] = x[i] * factor


@kernel
def _over(x: FloatArray, divisor: np.float32, out: FloatArray) -> None:
    for i in range(x.size):
        out[i] = x[i] / divisor


@kernel
def _scale_row(
    row: FloatArray, factors: FloatArray, width: int, divide: bool, out: FloatArray
) -> None:
    for b in range(factors.size):
        left, right = b * width, min(b * width + width, row.size)
        if divide:
            _over(row[left:right], factors[b], out[left:right])
        else:
            _times(row[left:right], factors[b], out[left:right])


@kernel
def _clip_row(row: FloatArray, low: np.float32, high: np.float32) -> None:
    for i in range(row.size):
        v = row[i]
        v = high if v > high else v
        row[i] = low if v < low else v


@kernel
def _encode(
    part: FloatArray, divisors: FloatArray, height: int, width: int, divide: bool,
    low: np.float32, high: np.float32, mask: np.uint8, r: CastParameters, out: Bytes,
) -> None:
    scaled = np.empty(part.shape[1], np.float32)
    bits = scaled.view(np.uint32)
    for i in range(part.shape[0]):
        _scale_row(part[i], divisors[i // height], width, divide, scaled)
        if r.kind == INTEGER:
            encode_integer(scaled, low, high, mask, out[i])
        elif r.kind == TABLE:
            encode_lookup(bits, r.table, out[i])
        elif r.symmetric:
            encode_symmetric(bits, r, out[i])
        else:
            encode_nearest(bits, r, out[i])


@kernel
def _decode(
    codes: Bytes, factors: FloatArray, height: int, width: int, values: FloatArray, out: FloatArray
) -> None:
    for i in range(codes.shape[0]):
        row, result = codes[i], out[i]
        for k in range(row.size):
            result[k] = values[row[k]]
        _scale_row(result, factors[i // height], width, False, result)


@kernel
def _round_row(bits: Words, r: CastParameters) -> None:
    """To nearest even in place, saturating, -0 kept."""
    for i in range(bits.size):
        b = bits[i]
        v = np.uint32(min(np.uint32(b & np.uint32(0x7FFFFFFF)), r.ceiling))
        c = np.uint32(max(np.uint32(v & np.uint32(0x7F800000)), r.lowest) + r.add).view(np.float32)
        y = np.float32(min(np.float32((v.view(np.float32) + c) - c), r.largest))
        bits[i] = np.uint32(y.view(np.uint32) | np.uint32(b & np.uint32(0x80000000)))


@kernel
def _round_integers(row: FloatArray) -> None:
    """To nearest even in place, for magnitudes below 2^22; -0 becomes 0, as codes have no -0."""
    magic = np.float32(12582912.0)
    for i in range(row.size):
        row[i] = np.float32(row[i] + magic) - magic


@kernel
def _round_trip(
    part: FloatArray, divisors: FloatArray, factors: FloatArray, height: int, width: int,
    divide: bool, low: np.float32, high: np.float32, r: CastParameters, out: FloatArray,
) -> None:
    scaled = np.empty(part.shape[1], np.float32)
    bits = scaled.view(np.uint32)
    for i in range(part.shape[0]):
        _scale_row(part[i], divisors[i // height], width, divide, scaled)
        if r.kind == INTEGER:
            _clip_row(scaled, low, high)
            _round_integers(scaled)
        else:
            _round_row(bits, r)
        _scale_row(scaled, factors[i // height], width, False, out[i])


@kernel
def _round_trip_wide(
    part: FloatArray, divisors: FloatArray, factors: FloatArray, divide: bool, r: CastParameters,
    out: FloatArray,
) -> None:
    """The same for floats, with a divisor and a factor for every element, in one loop."""
    lowest, ceiling, add, largest = r.lowest, r.ceiling, r.add, r.largest
    for i in range(part.shape[0]):
        row, d, f, result = part[i], divisors[i], factors[i], out[i]
        for k in range(row.size):
            b = np.float32(row[k] / d[k] if divide else row[k] * d[k]).view(np.uint32)
            v = np.uint32(min(np.uint32(b & np.uint32(0x7FFFFFFF)), ceiling))
            exponent = np.uint32(max(np.uint32(v & np.uint32(0x7F800000)), lowest) + add)
            c = exponent.view(np.float32)
            y = np.float32(min(np.float32((v.view(np.float32) + c) - c), largest))
            signed = np.uint32(y.view(np.uint32) | np.uint32(b & np.uint32(0x80000000)))
            result[k] = signed.view(np.float32) * f[k]


def encode(part: FloatArray, divisor: FloatArray, job: BlockJob, out: npt.NDArray[Any]) -> None:
    """Codes of a tile, as :func:`planner.numerics.blocks.encode_part`."""
    mask = np.uint8((1 << job.target.bits) - 1)
    _encode(part, divisor, *job.sides, not job.policy.reciprocal, *job.limits, mask,
            recipe(job.target.id, job.policy), out)


def decode(
    codes: Bytes, factor: FloatArray, target: ElementFormat, sides: tuple[int, int],
    out: FloatArray,
) -> None:
    """Values of a tile, as :func:`planner.numerics.blocks.decode_part`."""
    _decode(codes, factor, *sides, values_of(target.id), out)


def round_trip(
    part: FloatArray, divisor: FloatArray, factor: FloatArray, job: BlockJob, out: FloatArray
) -> bool:
    """A tile quantised and dequantised without codes; False where that needs the codes.

    Only saturating casts to nearest even that keep -0, and integers, need none.
    """
    r, policy = recipe(job.target.id, job.policy), job.policy
    saturates = job.target.nan == "none" or (
        policy.overflow == "saturate" and policy.infinity == "saturate")
    plain = (r.kind == NEAREST and saturates and policy.keep_negative_zero
             and job.target.nan != "negative-zero")
    if not plain and r.kind != INTEGER:
        return False
    divide = not policy.reciprocal
    if r.kind == NEAREST and job.sides[0] == 1 and job.sides[1] <= _SHORT:
        wide = _spread(divisor, job.sides[1], part.shape[1])
        back = wide if factor is divisor else _spread(factor, job.sides[1], part.shape[1])
        _round_trip_wide(part, wide, back, divide, r, out)
    else:
        _round_trip(part, divisor, factor, *job.sides, divide, *job.limits, r, out)
    return True


def _spread(factor: FloatArray, width: int, columns: int) -> FloatArray:
    wide: FloatArray = np.repeat(factor, width, axis=1)
    return wide if wide.shape[1] == columns else np.ascontiguousarray(wide[:, :columns])
