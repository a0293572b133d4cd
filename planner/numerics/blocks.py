"""The inner steps of block quantisation on one tile: maxima, scaled encoding, scaled decoding."""

from __future__ import annotations

from typing import Any

import numpy as np

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
from planner.numerics.engines import Engine
from planner.numerics.scaling import Scales, block_amax, check_finite
from planner.numerics.tiles import FloatArray

# Elements a tile: its temporaries (about 13 bytes an element) stay near a level-2 cache.
STEP = {"numpy": 1 << 17, "numba": 1 << 20}


def amax_of(part: FloatArray, job: BlockJob) -> FloatArray:
    """Largest magnitudes of the blocks of a tile.

    Raises InputError for a tile that holds NaN or infinities.
    """
    if job.engine == "numpy":
        return block_amax(part, *job.sides)
    from planner.numerics import fast_blocks

    across = fast_blocks.amax(part, job.sides[1])
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
        from planner.numerics import fast_blocks

        fast_blocks.encode(part, divisor, job, out)
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
        from planner.numerics import fast_blocks

        fast_blocks.decode(codes, factor, target, sides, out)
        return
    decode_flat(codes.reshape(-1), target, out.reshape(-1), engine=engine)
    apply(np.multiply, out, factor, sides, out)


def round_part(
    part: FloatArray, divisor: FloatArray, factor: FloatArray, job: BlockJob, out: FloatArray
) -> None:
    """A tile quantised and dequantised at once."""
    if job.engine == "numba" and job.rng is None:
        from planner.numerics import fast_blocks

        if fast_blocks.round_trip(part, divisor, factor, job, out):
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
