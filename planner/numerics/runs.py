"""Matrices whose rows are whole blocks, as runs of blocks: one compiled call a tile does it all.

The bits are those of planner/numerics/passes.py; here the tiles and the numbers that the kernels
need are chosen. Everything of numba is imported on use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from planner.formats.spec import ElementFormat
from planner.numerics import tiles
from planner.numerics.block_job import BlockJob
from planner.numerics.blocks import STEP
from planner.numerics.cast import Codes
from planner.numerics.engines import run
from planner.numerics.library_rules import tensor_scale
from planner.numerics.scaling import Scales, check_finite
from planner.numerics.tiles import FloatArray, Tile

if TYPE_CHECKING:
    from planner.numerics.fast_cast import CastParameters

WIDEST = 4096  # elements a block; wider ones gain nothing


def takes_rows(sides: tuple[int, int], columns: int) -> bool:
    """Whether rows consist of whole blocks of one row and of a width that the kernels take."""
    width = sides[1]
    return sides[0] == 1 and width % 16 == 0 and width <= WIDEST and columns % width == 0


def quantize(
    source: npt.NDArray[Any],
    job: BlockJob,
    block: FloatArray,
    *,
    codes: Codes | None = None,
    values: FloatArray | None = None,
) -> Scales | None:
    """Fill ``codes``, or else ``values`` (the shape of ``source`` as a matrix), and the scales
    ``block``; None where the kernels do not cover the job.

    Raises InputError for a source that holds NaN or infinities.
    """
    shape = tiles.matrix_shape(source.shape)
    if job.engine != "numba" or job.rng is not None or not takes_rows(job.sides, shape[1]):
        return None
    if job.given is not None or job.policy.scaling != "plain" or job.rule == "four-over-six":
        return None
    from planner.numerics import fast_cast, fast_runs, fast_scales

    recipe = fast_cast.recipe(job.target.id, job.policy)
    if not _covers(recipe, job, keep=codes is not None):
        return None
    tensor = _tensor_scale(source, job)
    scale = fast_scales.scale_recipe(job, tensor)
    if scale is None or tensor == 0:
        return None
    divide = not (job.policy.reciprocal or fast_scales.exact_reciprocal(scale))
    no_codes, no_values = np.empty(0, np.uint8), np.empty(0, np.float32)

    def step(tile: Tile) -> None:
        part = tiles.fetch(source, tile).reshape(-1)
        own = tile.blocks(block, job.sides).reshape(-1)
        most = fast_runs.run(
            part,
            job.sides[1],
            scale,
            recipe,
            divide,
            *job.limits,
            codes is not None,
            no_codes if codes is None else tile.of(codes).reshape(-1),
            no_values if values is None else tile.of(values).reshape(-1),
            own,
        )
        check_finite(np.array(most, dtype=np.int32).view(np.float32))

    for _ in run(step, tiles.tiles(*shape, STEP["numba"], job.sides), job.threads):
        pass
    return Scales(block, float(tensor), job.fmt.element_exponent)


def _covers(recipe: CastParameters, job: BlockJob, *, keep: bool) -> bool:
    """Casts to nearest even whose codes are symmetric, or, without codes, that saturate."""
    from planner.numerics.fast_cast import INTEGER, NEAREST

    if recipe.kind == INTEGER:
        return True
    if keep:
        return recipe.kind == NEAREST and recipe.symmetric
    saturates = job.target.nan == "none" or (
        job.policy.overflow == "saturate" and job.policy.infinity == "saturate"
    )
    return (
        recipe.kind == NEAREST
        and saturates
        and job.policy.keep_negative_zero
        and job.target.nan != "negative-zero"
    )


def _tensor_scale(source: npt.NDArray[Any], job: BlockJob) -> float:
    """NVFP4's second level, from the largest magnitude of all; 1 for other formats."""
    if not job.spec.tensor_scale:
        return 1.0
    if job.tensor is not None:
        return float(job.tensor)
    from planner.numerics import fast_runs

    def step(tile: Tile) -> np.int32:
        part = tiles.fetch(source, tile).reshape(-1)
        return np.int32(fast_runs.largest(part.view(np.int32)))

    shape = tiles.matrix_shape(source.shape)
    every = run(step, tiles.tiles(*shape, STEP["numba"]), job.threads)
    largest = np.array(max(every, default=0), dtype=np.int32).view(np.float32)
    check_finite(largest)
    top = np.float32(job.target.max_finite * 2.0**job.fmt.element_exponent)
    return float(tensor_scale(np.float32(largest), top, job.policy.scaling))


def decode(
    codes: Codes,
    scales: Scales,
    fmt: ElementFormat,
    sides: tuple[int, int],
    threads: int,
    out: FloatArray,
) -> bool:
    """Values of a matrix of codes into ``out``; False where the kernels do not cover it."""
    odd = not fmt.signed or fmt.kind == "scale" or fmt.nan == "negative-zero" or scales.inverse
    if fmt.bits > 8 or odd or not takes_rows(sides, codes.shape[1]):
        return False
    from planner.numerics import fast_runs

    unit = scales.tensor * 2.0**scales.exponent

    def step(tile: Tile) -> None:
        own = tile.blocks(scales.block, sides).reshape(-1)
        fast_runs.decode(
            tile.of(codes).reshape(-1), own, unit, sides[1], fmt, tile.of(out).reshape(-1)
        )

    shape = tiles.matrix_shape(codes.shape)
    for _ in run(step, tiles.tiles(*shape, STEP["numba"], sides), threads):
        pass
    return True
