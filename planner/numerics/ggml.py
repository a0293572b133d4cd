"""ggml storage blocks, byte for byte as llama.cpp writes them (:mod:`ggml_registry`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError
from planner.base.typed import typed
from planner.formats.spec import TensorFormat
from planner.numerics import ggml_blocks, tiles
from planner.numerics.engines import check_engine, run
from planner.numerics.ggml_registry import (
    GGML_TYPES,
    GgmlType,
    ggml_type,
    without_importance,
)
from planner.numerics.mlx_blocks import MLX_TYPES
from planner.numerics.tiles import FloatArray, Tile

Bytes = npt.NDArray[np.uint8]
_STEP = 1 << 16


@dataclass(frozen=True, slots=True)
class StoredBlocks:
    """Storage taken apart: ``codes`` (rows, columns), ``scales`` and ``minima`` (rows, groups).

    A value is scale · code, less the minimum where there is one. Codes are two's complement
    patterns, of four bits for Q4_0, else of eight; those of types with ``minima`` are unsigned.
    """

    codes: Bytes
    scales: FloatArray
    minima: FloatArray | None


@typed
def ggml_encode(
    x: npt.ArrayLike, id: str, *, importance: npt.ArrayLike | None = None, threads: int = 1
) -> Bytes:
    """The bytes of ``x`` (…, columns) in a ggml type: uint8 (…, bytes of a row).

    Types by name or scheme: ``q4_k``, ``ggml-q4_k``. ``importance``: of each column (columns,), 0
    or more, as an importance matrix holds them.

    Raises UnknownNameError for another type; InputError where rows are not whole blocks, where
    input is not finite or not real, where a scale exceeds FP16, and for importance of another
    shape; UnsupportedError where a type needs importance, or none is emulated with it.
    """
    check_engine("numpy", threads)
    source = tiles.as_array(x)
    if source.ndim == 0:
        raise InputError("cannot quantise a scalar", hint="pass an array of at least one axis")
    return encode_rows(source, ggml_type(id), threads, importance)


@typed
def ggml_decode(storage: Bytes, id: str) -> FloatArray:
    """float32 values (…, columns) of the bytes (…, bytes of a row) of a ggml type.

    Raises UnknownNameError for another type; InputError for another dtype than uint8 and for rows
    that are not whole blocks.
    """
    kind = ggml_type(id)
    given = np.asarray(storage)
    if given.dtype != np.uint8 or given.ndim == 0:
        raise InputError(
            f"blocks have dtype {given.dtype} and {given.ndim} axes",
            hint="pass uint8 of at least one axis",
        )
    if given.shape[-1] % kind.block_bytes:
        raise InputError(
            f"rows of {given.shape[-1]} bytes do not fill whole blocks of {kind.block_bytes}",
            hint="pass whole rows of bytes as the file stores them",
        )
    columns = given.shape[-1] // kind.block_bytes * kind.elements
    values = np.empty((*given.shape[:-1], columns), dtype=np.float32)
    _decode(given, kind, values)
    return values


@typed
def ggml_round_trip(
    x: npt.ArrayLike,
    id: str,
    *,
    importance: npt.ArrayLike | None = None,
) -> FloatArray:
    """``x`` (…, columns) as it comes back from storage in a ggml type; errors of
    :func:`ggml_encode`."""
    return ggml_decode(ggml_encode(x, id, importance=importance), id)


def encode_rows(
    source: npt.NDArray[Any], kind: GgmlType, threads: int, importance: npt.ArrayLike | None = None
) -> Bytes:
    """As :func:`ggml_encode` of ``source`` (…, columns), by record.

    Raises:
        InputError: rows that do not fill whole blocks, NaN or infinities.
    """
    rows, columns = tiles.matrix_shape(source.shape)
    elements, size, encode = kind.elements, kind.block_bytes, kind.encode
    if columns % elements:
        raise InputError(
            f"rows of {columns} elements do not fill whole blocks of {elements} ({kind.name})",
            hint="pad the rows to whole blocks",
        )
    weights = None if importance is None else _importance(importance, columns)
    if weights is None and kind.weighted_only:  # of rows without elements as well
        raise without_importance(kind.name)
    out = np.empty((rows, columns // elements * size), dtype=np.uint8)

    def work(tile: Tile) -> None:
        part = tiles.fetch(source, tile)
        if not np.isfinite(part).all():
            raise InputError(
                "cannot scale a matrix that holds NaN or infinities",
                hint="replace NaN and infinities first, for example with numpy.nan_to_num",
            )
        left, right = tile.left // elements * size, tile.right // elements * size
        out[tile.top : tile.bottom, left:right] = encode(part, weights)

    # With importance the quantisers look at whole rows.
    step = _STEP if weights is None else max(_STEP, columns)
    for _ in run(work, tiles.tiles(rows, columns, step, (1, elements)), threads):
        pass
    return out.reshape(*source.shape[:-1], out.shape[1])


def _importance(given: npt.ArrayLike, columns: int) -> FloatArray:
    importance = tiles.as_array(given).astype(np.float32)
    if importance.shape != (columns,):
        raise InputError(
            f"importance has shape {importance.shape}, rows have {columns} columns",
            hint="pass one number a column",
        )
    if not (np.isfinite(importance) & (importance >= 0)).all():
        raise InputError("importance is negative or not finite", hint="pass numbers of 0 or more")
    return importance


def _block_type(fmt: TensorFormat) -> GgmlType:
    """The record of a scheme's blocks, ggml's or MLX's."""
    return GGML_TYPES.get(fmt.block_type) or MLX_TYPES[fmt.block_type]


def encode_blocks(source: npt.NDArray[Any], fmt: TensorFormat, threads: int) -> Bytes:
    """As :func:`ggml_encode` of ``source`` (…, columns), by the format of a scheme."""
    return encode_rows(source, _block_type(fmt), threads)


def inspect(storage: Bytes, fmt: TensorFormat) -> StoredBlocks:
    """The codes, scales and minima in ``storage`` (…, bytes of a row)."""
    kind = _block_type(fmt)
    rows, width = tiles.matrix_shape(storage.shape)
    parts = kind.parts(storage.reshape(-1, kind.block_bytes))
    count = width // kind.block_bytes
    groups = parts.scales.shape[1] * count
    minima = None if parts.minima is None else parts.minima.reshape(rows, groups)
    return StoredBlocks(
        parts.codes.reshape(rows, count * kind.elements), parts.scales.reshape(rows, groups), minima
    )


def decode_blocks(storage: Bytes, fmt: TensorFormat, values: FloatArray) -> None:
    """As :func:`ggml_decode`, by the format of a scheme, into contiguous ``values`` (…,
    columns)."""
    _decode(storage, _block_type(fmt), values)


def _decode(storage: Bytes, kind: GgmlType, values: FloatArray) -> None:
    blocks, out = storage.reshape(-1, kind.block_bytes), values.reshape(-1, kind.elements)
    step = _STEP // kind.elements
    for start in range(0, blocks.shape[0], step):
        parts = kind.parts(blocks[start : start + step])
        out[start : start + step] = ggml_blocks.part_values(parts)
