"""Asymmetric integers: a scale and a zero point for each block, value = scale · (code - zero).

The rule is that of ONNX DynamicQuantizeLinear, on the two's complement range: the range always
holds zero, s = (max - min) / (2^bits - 1) in float32, zero = clip(round(lowest - min/s)), code =
clip(round(x/s) + zero), roundings as the policy says (to nearest even by default).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError, UnsupportedError
from planner.formats.spec import ElementFormat
from planner.numerics import blocks
from planner.numerics.block_job import BlockJob
from planner.numerics.cast import round_integers
from planner.numerics.scaling import Scales, block_reduce, check_finite, positive, stored_scale
from planner.numerics.tiles import FloatArray

ZeroPoints = npt.NDArray[np.int8]


def check_job(job: BlockJob) -> None:
    """Raise UnsupportedError for what zero points are not defined with here."""
    if job.target.kind != "int":
        raise UnsupportedError(
            f"{job.target.id} elements take no zero point",
            hint="zero points belong to int8 and int4",
        )
    if job.rng is not None:
        raise UnsupportedError(
            "stochastic rounding is not defined with zero points",
            hint="choose another rounding, or a scheme without zero points",
        )
    if job.engine == "numba":
        raise UnsupportedError("numba has no kernel for zero points", hint="use engine='numpy'")


def bounds(fmt: ElementFormat) -> tuple[np.float32, np.float32]:
    """The lowest and highest two's complement value."""
    return np.float32(-(1 << fmt.bits - 1)), np.float32((1 << fmt.bits - 1) - 1)


def extremes_of(part: FloatArray, job: BlockJob) -> tuple[FloatArray, FloatArray]:
    """Smallest and largest value of each block of a tile, zero included.

    Raises InputError for a tile that holds NaN or infinities.
    """
    low = block_reduce(np.minimum, part, *job.sides)
    high = block_reduce(np.maximum, part, *job.sides)
    check_finite(low)
    check_finite(high)
    return np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))


def affine(low: FloatArray, high: FloatArray, job: BlockJob) -> tuple[FloatArray, ZeroPoints]:
    """Scale and zero point of blocks that span [low, high].

    Raises InputError where a range exceeds float32 or the scale format.
    """
    lowest, highest = bounds(job.target)
    with np.errstate(over="ignore"):
        span = high - low
    if not np.isfinite(span).all():
        raise InputError(
            "the range of a block exceeds float32", hint="divide the matrix by a power of two first"
        )
    format = job.spec.format
    scale = stored_scale(positive(span / (highest - lowest), span, format), format)
    with np.errstate(over="ignore"):
        zero = round_integers(lowest - low / scale, job.policy)
    return scale, np.clip(zero, lowest, highest).astype(np.int8)


def encode_part(
    part: FloatArray, scale: FloatArray, zero: ZeroPoints, job: BlockJob, out: npt.NDArray[np.uint8]
) -> None:
    """Codes of a tile [rows, columns], two's complement patterns of the element's width."""
    shifted = np.empty(part.shape, dtype=np.float32)
    with np.errstate(over="ignore"):
        operation = np.multiply if job.policy.reciprocal else np.divide
        blocks.apply(
            operation, part, blocks.divisor_of(Scales(scale), scale, job), job.sides, shifted
        )
    rounded = round_integers(shifted, job.policy)
    blocks.apply(np.add, rounded, zero.astype(np.float32), job.sides, rounded)
    np.clip(rounded, *bounds(job.target), out=rounded)
    out[...] = rounded.astype(np.int8).view(np.uint8) & np.uint8((1 << job.target.bits) - 1)


def decode_part(
    codes: npt.NDArray[np.uint8],
    scale: FloatArray,
    zero: ZeroPoints,
    target: ElementFormat,
    sides: tuple[int, int],
    out: FloatArray,
) -> None:
    """(code - zero) · scale of a tile [rows, columns]; the difference is exact, the product is
    rounded once."""
    unit_scale = np.ones_like(scale)
    blocks.decode_part(codes, unit_scale, target, sides, "numpy", out)
    blocks.apply(np.subtract, out, zero.astype(np.float32), sides, out)
    blocks.apply(np.multiply, out, scale, sides, out)
