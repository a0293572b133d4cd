"""NVFP4 with the largest value of a block at 4 or at 6, whichever leaves the smaller error.

E2M1 has nothing between 4 and 6: values near a block's largest lose most. A scale that is half
again as large puts that value at 4. Source: Four Over Six (arXiv 2512.02010) and its reference
implementation (mit-han-lab/fouroversix), whose order of float32 operations is kept: g is
1 / (1536 / amax), the scale e4m3(amax_b / 6 · (1536 / amax)), or with 1.5 times that, and
x · (1 / (s·g)).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from planner.numerics import blocks, tiles
from planner.numerics.block_job import BlockJob
from planner.numerics.cast import code_dtype
from planner.numerics.library_rules import FOUR_OVER_SIX_SCALE_MAX, e4m3
from planner.numerics.scaling import Scales
from planner.numerics.tiles import FloatArray

Doubles = npt.NDArray[np.float64]


def scales(source: npt.NDArray[Any], amax: FloatArray, job: BlockJob) -> Scales:
    """The scales of all blocks with largest magnitudes ``amax``, whose memory they take.

    Squared errors of elements rounded to nearest are compared in float64, element by element in
    order; equal ones keep 6.
    """
    top = np.float32(job.target.max_finite)
    encode = _encode_scale(np.float32(amax.max(initial=0)), top, job.tensor)
    if encode == 0:
        amax[...] = 0
        return Scales(amax)
    tensor = np.float32(1) / encode if job.tensor is None else job.tensor
    raw = amax / top * encode
    six, four = e4m3(raw), e4m3(raw * np.float32(1.5))
    errors = [_errors(source, job, Scales(one, float(tensor))) for one in (six, four)]
    amax[...] = np.where(errors[1] < errors[0], four, six)
    return Scales(amax, float(tensor))


def _encode_scale(largest: np.float32, top: np.float32, tensor: np.float32 | None) -> np.float32:
    """1 / g: of a given g, or so that the largest magnitude takes a scale of 256; 0 for zeros."""
    with np.errstate(over="ignore", divide="ignore"):
        found = (
            np.float32(top * np.float32(FOUR_OVER_SIX_SCALE_MAX)) / largest
            if tensor is None
            else np.float32(1) / tensor
        )
    return np.float32(found) if np.isfinite(found) else np.float32(0)


def _errors(source: npt.NDArray[Any], job: BlockJob, scale: Scales) -> Doubles:
    """Squared error of every block under ``scale``."""
    shape, total = tiles.matrix_shape(source.shape), np.zeros(scale.block.shape, np.float64)
    for tile in tiles.tiles(*shape, blocks.STEP[job.engine], job.sides):
        part = tiles.fetch(source, tile)
        own = Scales(tile.blocks(scale.block, job.sides), scale.tensor)
        factor, codes = own.effective(), np.empty(part.shape, code_dtype(job.target))
        blocks.encode_part(part, blocks.divisor_of(own, factor, job), job.nearest(), codes)
        back = np.empty(part.shape, np.float32)
        blocks.decode_part(codes, factor, job.target, job.sides, job.engine, back)
        square = (back.astype(np.float64) - part) ** 2
        across = np.add.reduceat(square, np.arange(0, part.shape[1], job.sides[1]), axis=1)
        down = np.add.reduceat(across, np.arange(0, part.shape[0], job.sides[0]), axis=0)
        tile.blocks(total, job.sides)[...] += down
    return total
