"""Passes over a matrix tile by tile: scales first, then the work that needs them.

Where a tile holds whole blocks and scales depend on nothing else, both happen in one pass.

NVFP4 with the largest value of a block at 4 or at 6, whichever leaves the smaller error.

E2M1 has nothing between 4 and 6: values near a block's largest lose most. A scale that is half
again as large puts that value at 4. Source: Four Over Six (arXiv 2512.02010) and its reference
implementation (mit-han-lab/fouroversix), whose order of float32 operations is kept: g is 1 / (1536
/ amax), the scale e4m3(amax_b / 6 · (1536 / amax)), or with 1.5 times that, and x · (1 / (s·g)).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.numerics import blocks, integers, tiles
from planner.numerics.block_job import BlockJob
from planner.numerics.cast import code_dtype
from planner.numerics.engines import run
from planner.numerics.integers import ZeroPoints
from planner.numerics.library_rules import FOUR_OVER_SIX_SCALE_MAX, e4m3
from planner.numerics.scaling import Scales, check_finite
from planner.numerics.tiles import FloatArray, Tile

# Gets a tile's values, the tile, and the divisor and the factor of its blocks.
Work = Callable[[FloatArray, Tile, FloatArray, FloatArray], None]


def each_tile(source: npt.NDArray[Any], job: BlockJob, work: Work, block: FloatArray) -> Scales:
    """Call ``work`` for every tile and return the scales of all blocks, kept in ``block``.

    Raises InputError for a source that holds NaN or infinities.
    """
    shape = tiles.matrix_shape(source.shape)
    if _independent(shape, job):
        return _one_pass(source, job, work, block)
    if job.given is not None:
        scales = _given(job, job.given, block)
    elif job.rule == "four-over-six":
        scales = four_over_six_scales(source, _amax(source, job, block), job)
    else:
        scales = _replace_amax(_amax(source, job, block), job)

    def step(tile: Tile) -> None:
        own = Scales(
            tile.blocks(scales.block, job.sides), scales.tensor, scales.exponent, scales.inverse
        )
        factor, part = own.effective(), tiles.fetch(source, tile)
        if job.given is not None:
            check_finite(part)
        work(part, tile, blocks.divisor_of(own, factor, job), factor)

    for _ in run(step, _tiles(shape, job), job.threads):
        pass
    return scales


def _given(job: BlockJob, given: FloatArray, block: FloatArray) -> Scales:
    """Scales that the caller knows, in the memory ``block``."""
    block[...] = given
    return Scales(
        block,
        float(1 if job.tensor is None else job.tensor),
        job.fmt.element_exponent,
        job.spec.tensor_scale and job.policy.scaling == "compressed-tensors",
    )


def _tiles(shape: tuple[int, int], job: BlockJob) -> Any:
    return tiles.tiles(*shape, blocks.STEP[job.engine], job.sides)


def grid(shape: tuple[int, int], job: BlockJob) -> tuple[int, int]:
    """(rows, columns) of the matrix of blocks."""
    return -(-shape[0] // job.sides[0]), -(-shape[1] // job.sides[1])


def _independent(shape: tuple[int, int], job: BlockJob) -> bool:
    """Whether every tile consists of whole blocks with scales of their own."""
    step, columns = blocks.STEP[job.engine], shape[1]
    if columns > step:
        full_rows = job.sides[0] == 1 and job.sides[1] <= step
    else:
        full_rows = step // max(columns, 1) >= job.sides[0]
    return full_rows and not job.spec.tensor_scale and job.given is None


def _one_pass(source: npt.NDArray[Any], job: BlockJob, work: Work, block: FloatArray) -> Scales:
    shape = tiles.matrix_shape(source.shape)
    scales = Scales(block, exponent=job.fmt.element_exponent)

    def step(tile: Tile) -> None:
        part = tiles.fetch(source, tile)
        own = job.scales(blocks.amax_of(part, job))
        tile.blocks(scales.block, job.sides)[...] = own.block
        factor = own.effective()
        work(part, tile, blocks.divisor_of(own, factor, job), factor)

    for _ in run(step, _tiles(shape, job), job.threads):
        pass
    return scales


def _amax(source: npt.NDArray[Any], job: BlockJob, amax: FloatArray) -> FloatArray:
    """Largest magnitudes of all blocks in ``amax``; a block may span tiles."""
    shape = tiles.matrix_shape(source.shape)
    amax.fill(0)

    def step(tile: Tile) -> tuple[Tile, FloatArray]:
        return tile, blocks.amax_of(tiles.fetch(source, tile), job)

    for tile, tile_amax in run(step, _tiles(shape, job), job.threads):
        target = tile.blocks(amax, job.sides)
        np.maximum(target, tile_amax, out=target)
    return amax


def _replace_amax(amax: FloatArray, job: BlockJob) -> Scales:
    """The scales of all blocks in the memory of their largest magnitudes."""
    flat, largest = amax.reshape(-1), amax.max(initial=0)
    step, scales = blocks.STEP["numpy"], job.scales(amax[:0, :0], largest)
    for start in range(0, flat.size, step):
        flat[start : start + step] = job.scales(flat[start : start + step], largest).block
    return Scales(amax, scales.tensor, scales.exponent, scales.inverse)


def asymmetric(
    source: npt.NDArray[Any], job: BlockJob, codes: npt.NDArray[Any]
) -> tuple[FloatArray, ZeroPoints]:
    """Quantise with zero points into ``codes`` (a matrix); scales and zero points by block.

    Raises InputError for a source that holds NaN or infinities.
    """
    integers.check_job(job)
    shape = tiles.matrix_shape(source.shape)
    low, high = (np.zeros(grid(shape, job), dtype=np.float32) for _ in range(2))

    def bounds(tile: Tile) -> tuple[Tile, tuple[FloatArray, FloatArray]]:
        return tile, integers.extremes_of(tiles.fetch(source, tile), job)

    for tile, (least, most) in run(bounds, _tiles(shape, job), job.threads):
        below, above = tile.blocks(low, job.sides), tile.blocks(high, job.sides)
        np.minimum(below, least, out=below)
        np.maximum(above, most, out=above)
    scale, zero = integers.affine(low, high, job)

    def step(tile: Tile) -> None:
        part = tiles.fetch(source, tile)
        integers.encode_part(part, tile.blocks(scale, job.sides), tile.blocks(zero, job.sides),
                             job, tile.of(codes))  # fmt: skip

    for _ in run(step, _tiles(shape, job), job.threads):
        pass
    return scale, zero


Doubles = npt.NDArray[np.float64]


def four_over_six_scales(source: npt.NDArray[Any], amax: FloatArray, job: BlockJob) -> Scales:
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
    errors = [
        _errors(source, job, Scales(candidate_scale, float(tensor)))
        for candidate_scale in (six, four)
    ]
    amax[...] = np.where(errors[1] < errors[0], four, six)
    return Scales(amax, float(tensor))


def _encode_scale(largest: np.float32, top: np.float32, tensor: np.float32 | None) -> np.float32:
    """1 / g: of a given g, or so that the largest magnitude takes a scale of 256; 0 for zeros."""
    with np.errstate(over="ignore", divide="ignore"):
        encoded = (
            np.float32(top * np.float32(FOUR_OVER_SIX_SCALE_MAX)) / largest
            if tensor is None
            else np.float32(1) / tensor
        )
    return np.float32(encoded) if np.isfinite(encoded) else np.float32(0)


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
