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
    Bytes,
    CastParameters,
    Words,
    encode_floats,
    encode_integer,
    recipe,
    values_of,
)
from planner.numerics.fast_runs import largest
from planner.numerics.tiles import FloatArray

if TYPE_CHECKING:
    from planner.numerics.block_job import BlockJob

Signed = npt.NDArray[np.int32]


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
    part: FloatArray,
    divisors: FloatArray,
    height: int,
    width: int,
    divide: bool,
    low: np.float32,
    high: np.float32,
    mask: np.uint8,
    r: CastParameters,
    out: Bytes,
) -> None:
    scaled = np.empty(part.shape[1], np.float32)
    bits = scaled.view(np.uint32)
    for i in range(part.shape[0]):
        _scale_row(part[i], divisors[i // height], width, divide, scaled)
        if r.kind == INTEGER:
            encode_integer(scaled, low, high, mask, out[i])
        else:
            encode_floats(bits, r, out[i])


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
def _round_row(bits: Words, p: Words) -> None:
    """To nearest even in place, saturating, -0 kept."""
    shift, normal, top = np.uint32(p[0] & np.uint32(31)), p[2], p[14]
    magic = np.uint32(p[3]).view(np.float32)
    unit = np.uint32(np.uint32(1) << shift)
    half, keep = np.uint32(np.uint32(unit >> np.uint32(1)) - np.uint32(1)), np.uint32(-unit)
    for i in range(bits.size):
        b = bits[i]
        a = np.uint32(b & np.uint32(0x7FFFFFFF))
        odd = np.uint32(np.uint32(a >> shift) & np.uint32(1))
        large = np.uint32(np.uint32(np.uint32(a + half) + odd) & keep)
        small = np.float32(np.float32(a.view(np.float32) + magic) - magic)
        y = np.uint32(min(small.view(np.uint32) if a < normal else large, top))
        bits[i] = np.uint32(y | np.uint32(b & np.uint32(0x80000000)))


@kernel
def _round_integers(row: FloatArray) -> None:
    """To nearest even in place, for magnitudes below 2^22; -0 becomes 0, as codes have no -0."""
    magic = np.float32(12582912.0)
    for i in range(row.size):
        row[i] = np.float32(row[i] + magic) - magic


@kernel
def _round_trip(
    part: FloatArray,
    divisors: FloatArray,
    factors: FloatArray,
    height: int,
    width: int,
    divide: bool,
    low: np.float32,
    high: np.float32,
    r: CastParameters,
    out: FloatArray,
) -> None:
    scaled = np.empty(part.shape[1], np.float32)
    bits = scaled.view(np.uint32)
    for i in range(part.shape[0]):
        _scale_row(part[i], divisors[i // height], width, divide, scaled)
        if r.kind == INTEGER:
            _clip_row(scaled, low, high)
            _round_integers(scaled)
        else:
            _round_row(bits, r.words)
        _scale_row(scaled, factors[i // height], width, False, out[i])


def encode(part: FloatArray, divisor: FloatArray, job: BlockJob, out: npt.NDArray[Any]) -> None:
    """Codes of a tile, as :func:`planner.numerics.blocks.encode_part`."""
    mask = np.uint8((1 << job.target.bits) - 1)
    _encode(
        part,
        divisor,
        *job.sides,
        not job.policy.reciprocal,
        *job.limits,
        mask,
        recipe(job.target.id, job.policy),
        out,
    )


def decode(
    codes: Bytes,
    factor: FloatArray,
    target: ElementFormat,
    sides: tuple[int, int],
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
        policy.overflow == "saturate" and policy.infinity == "saturate"
    )
    plain = (
        r.kind == NEAREST
        and saturates
        and policy.keep_negative_zero
        and job.target.nan != "negative-zero"
    )
    if not plain and r.kind != INTEGER:
        return False
    _round_trip(part, divisor, factor, *job.sides, not policy.reciprocal, *job.limits, r, out)
    return True
