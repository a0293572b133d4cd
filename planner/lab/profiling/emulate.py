"""What a weight format makes of a tile, when scales may span the whole matrix.

The steps are those of planner.numerics; here a matrix comes in tiles, and the largest magnitudes of
its rows are known from a first pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from planner.formats.elements import element
from planner.formats.ggml_types import GGML_WEIGHTS, PREFIX
from planner.formats.schemes import SCHEMES, stores_exactly
from planner.formats.spec import TensorFormat
from planner.lab.tables.errors import emulated_schemes
from planner.numerics import blocks, round_trip
from planner.numerics.block_job import BlockJob
from planner.numerics.engines import Engine
from planner.numerics.ggml import ggml_round_trip
from planner.numerics.policies import resolve_policy
from planner.numerics.scaling import block_sides
from planner.numerics.tiles import FloatArray

SLAB_ELEMENTS = 1 << 15  # two of them stay in a second-level cache
PIECE = 128


@dataclass(frozen=True, slots=True)
class Format:
    """A weight format under the name of the first scheme that has it, and all schemes that do."""

    id: str
    schemes: tuple[str, ...]
    fmt: TensorFormat
    counts_zeros: bool

    @property
    def spans_tiles(self) -> bool:
        """Whether a scale reaches beyond a tile, so that a first pass must find the maxima."""
        scale = self.fmt.scale
        return scale is not None and (scale.block_columns == 0 or scale.tensor_scale)


@cache
def formats_of(schemes: tuple[str, ...]) -> tuple[Format, ...]:
    """The different weight formats of ``schemes``, each once."""
    members: dict[TensorFormat, list[str]] = {}
    for name in schemes:
        members.setdefault(SCHEMES[name].weight, []).append(name)
    out = []
    for fmt, names in members.items():
        target = element(fmt.element)
        out.append(Format(names[0], tuple(names), fmt, target.kind == "float" and target.bits >= 8))
    return tuple(out)


ON_DEMAND = tuple(PREFIX + name for name in GGML_WEIGHTS if name not in ("q8_0", "q4_0"))
"""Types of llama.cpp alone. Most of their quantisers search, and one takes as long as all other
schemes together: they are measured where they are named."""


def default_schemes() -> tuple[str, ...]:
    """Every scheme whose conversion is emulated value by value, but ON_DEMAND."""
    return tuple(name for name in emulated_schemes() if name not in ON_DEMAND)


def stores_unchanged(released: str, fmt: TensorFormat) -> bool:
    """Whether ``fmt`` holds a tensor released in scheme ``released`` unchanged."""
    if released in ("", "ggml") or released not in SCHEMES:
        return fmt.element == "fp32"
    return stores_exactly(released, fmt)


def fits(fmt: TensorFormat, columns: int) -> bool:
    """Whether rows are whole blocks where the format needs them to be."""
    if fmt.block_bytes is None or fmt.scale is None:
        return True
    return columns % fmt.scale.block_columns == 0


def pieces(
    part: FloatArray,
    rows_amax: FloatArray,
    largest: np.float32,
    fmt: TensorFormat,
    engine: Engine,
    out: FloatArray,
    importance: FloatArray | None = None,
) -> Iterator[tuple[slice, FloatArray]]:
    """(rows, their values after ``fmt``) of a tile, slab by slab; ``out`` is the scratch memory.

    Args:
        part: the tile, float32 (rows, columns).
        rows_amax: largest magnitude of each of its rows over the whole matrix.
        largest: largest magnitude of the whole matrix.
        importance: of the columns of the tile, where an importance matrix is used.
    """
    if fmt.scale is None or fmt.block_bytes is not None:
        for rows in slabs(part.shape[0], part.shape[1], 1):
            yield rows, _unscaled(part[rows], fmt, importance)
        return
    job = _job(part, fmt, engine)
    full_rows = fmt.scale.block_columns == 0
    if full_rows and fmt.scale.block_rows == 0:
        amax = np.full((1, 1), largest, np.float32)
    elif full_rows and fmt.scale.block_rows == 1:
        amax = rows_amax[:, None].copy()
    else:
        amax = blocks.amax_of(part, job)
    scales = job.scales(amax, largest)
    factor = scales.effective()
    divisor = blocks.divisor_of(scales, factor, job)
    height = job.sides[0]
    for rows in slabs(part.shape[0], part.shape[1], height):
        first, last = rows.start // height, -(-rows.stop // height)
        count, columns = rows.stop - rows.start, part.shape[1]
        target = out[: count * columns].reshape(count, columns)
        blocks.round_part(part[rows], divisor[first:last], factor[first:last], job, target)
        yield rows, target


def slabs(rows: int, columns: int, height: int) -> Iterator[slice]:
    """Runs of rows that hold whole blocks of ``height`` or lie inside one."""
    step = max(1, SLAB_ELEMENTS // max(columns, 1))
    if step >= height:
        step -= step % height
        for top in range(0, rows, step):
            yield slice(top, min(top + step, rows))
        return
    for block in range(0, rows, height):
        end = min(block + height, rows)
        for top in range(block, end, step):
            yield slice(top, min(top + step, end))


def scratch(columns: int) -> FloatArray:
    """Memory [elements] for the largest slab of at most ``columns`` columns, flat: slabs are
    contiguous."""
    return np.empty(max(SLAB_ELEMENTS, columns), np.float32)


def _unscaled(part: FloatArray, fmt: TensorFormat, importance: FloatArray | None) -> FloatArray:
    """Plain floats by their cast, ggml blocks by their quantiser; only numpy has both."""
    if fmt.block_type and importance is not None:
        return ggml_round_trip(part, fmt.block_type, importance=importance)
    with np.errstate(over="ignore"):
        return round_trip(part, fmt)


def _job(part: FloatArray, fmt: TensorFormat, engine: Engine) -> BlockJob:
    assert fmt.scale is not None
    target = element(fmt.element)
    return BlockJob(
        fmt,
        fmt.scale,
        target,
        resolve_policy("deepseek-v3", target),
        fmt.scale.rule,
        block_sides(fmt.scale, part.shape[0], part.shape[1]),
        0.0,
        engine,
        1,
        None,
    )
