"""The inner steps of block quantisation on one tile: maxima, scaled encoding, scaled decoding.

The kernels behind :func:`round_trip` and its like are compiled by numba (the ``[fast]`` extra): a
row is scaled block by block into a buffer that stays in the first-level cache, then cast as a
whole; simple loops over slices of rows are what the compiler vectorises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from planner.formats.spec import ElementFormat
from planner.numerics.block_job import BlockJob
from planner.numerics.cast import (
    Codes,
    code_dtype,
    decode_flat,
    encode_flat,
    has_values,
    round_flat,
)
from planner.numerics.engines import Engine, kernel
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
from planner.numerics.scaling import Scales, block_amax, check_finite
from planner.numerics.tiles import FloatArray

if TYPE_CHECKING:
    from planner.numerics.block_job import BlockJob

# Elements a tile: its temporaries (about 13 bytes an element) stay near a level-2 cache.
STEP = {"numpy": 1 << 17, "numba": 1 << 20}


def amax_of(part: FloatArray, job: BlockJob) -> FloatArray:
    """Largest magnitudes of the blocks of a tile.

    Raises InputError for a tile that holds NaN or infinities.
    """
    if job.engine == "numpy":
        return block_amax(part, *job.sides)

    across = amax(part, job.sides[1])
    check_finite(across)
    if job.sides[0] == 1:
        return across
    return np.maximum.reduceat(across, np.arange(0, part.shape[0], job.sides[0]), axis=0)


def divisor_of(own: Scales, effective: FloatArray, job: BlockJob) -> FloatArray:
    """What elements are divided by, or multiplied with where the policy takes the reciprocal.

    NVFP4: a block whose scale is zero holds zeros, x / inf. No other rule has scales of zero.
    """
    if job.spec.tensor_scale and job.policy.scaling == "torchao" and job.policy.reciprocal:
        return np.float32(1) / np.float32(own.tensor) / own.block
    divisor = effective
    if job.spec.tensor_scale and not effective.all():
        divisor = np.where(effective == 0, np.float32(np.inf), effective)
    if job.policy.reciprocal:
        with np.errstate(over="ignore"):
            divisor = np.minimum(np.float32(1) / divisor, np.finfo(np.float32).max)
    return divisor


def encode_part(part: FloatArray, divisor: FloatArray, job: BlockJob, out: Codes) -> None:
    """Codes of a tile divided by its block's ``divisor`` (or multiplied by it)."""
    if job.engine == "numba" and job.rng is None:
        encode(part, divisor, job, out)
        return
    scaled = np.empty(part.shape, dtype=np.float32)
    operation = np.multiply if job.policy.reciprocal else np.divide
    apply(operation, part, divisor, job.sides, scaled)
    if job.target.kind == "int":
        np.clip(scaled, *job.limits, out=scaled)
    encode_flat(
        scaled.reshape(-1), job.target, job.policy, out.reshape(-1), rng=job.rng, engine=job.engine
    )


def decode_part(
    codes: Codes,
    factor: FloatArray,
    target: ElementFormat,
    sides: tuple[int, int],
    engine: Engine,
    out: FloatArray,
) -> None:
    """Values of a tile of codes, times the factor of their block."""
    if engine == "numba" and target.bits <= 8:
        decode(codes, factor, target, sides, out)
        return
    decode_flat(codes.reshape(-1), target, out.reshape(-1), engine=engine)
    apply(np.multiply, out, factor, sides, out)


def round_part(
    part: FloatArray, divisor: FloatArray, factor: FloatArray, job: BlockJob, out: FloatArray
) -> None:
    """A tile quantised and dequantised at once."""
    if job.engine == "numba" and job.rng is None and round_trip(part, divisor, factor, job, out):
        return
    if job.engine == "numpy" and has_values(job.target, job.policy):
        scaled = np.empty(part.shape, dtype=np.float32)
        apply(np.multiply if job.policy.reciprocal else np.divide, part, divisor, job.sides, scaled)
        round_flat(scaled.reshape(-1), job.target, job.policy, out.reshape(-1))
        apply(np.multiply, out, factor, job.sides, out)
        return
    codes = np.empty(part.shape, dtype=code_dtype(job.target))
    encode_part(part, divisor, job, codes)
    decode_part(codes, factor, job.target, job.sides, job.engine, out)


def apply(
    operation: Any, part: FloatArray, factor: FloatArray, sides: tuple[int, int], out: FloatArray
) -> None:
    """``out`` = operation(part, factor of its block)."""
    rows, columns = part.shape
    wide = factor
    if factor.shape[1] > 1 and sides[1] > 1:
        wide = np.repeat(factor, sides[1], axis=1)[:, :columns]
    if factor.shape[0] > 1 and sides[0] > 1:
        wide = np.repeat(wide, sides[0], axis=0)[:rows]
    operation(part, wide, out=out)


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
