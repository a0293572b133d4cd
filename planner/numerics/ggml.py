"""ggml storage blocks, byte for byte as llama.cpp writes them (ggml/src/ggml-quants.c).

Quantisers are llama.cpp's reference ones (``quantize_row_*_ref``, no importance matrix): closed
forms for Q8_0 and Q4_0, searches for Q4_K and Q6_K, followed step by step. Operations are single
IEEE float32 operations in the order of the source; a build that contracts them into fused
multiply-adds may differ in a code here and there. Decoding is exact for every build.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.errors import InputError, UnknownNameError
from planner.formats.schemes import SCHEMES
from planner.formats.spec import TensorFormat
from planner.numerics import ggml_k, ggml_simple, tiles
from planner.numerics.engines import check_engine, run
from planner.numerics.tiles import FloatArray, Tile
from planner.typed import typed

Bytes = npt.NDArray[np.uint8]

# Blocks (n, elements) → bytes (n, block bytes), and the inverse view, by block bytes.
_QUANTIZE: dict[int, Callable[[FloatArray], Bytes]] = {
    34: ggml_simple.quantize_q8_0, 18: ggml_simple.quantize_q4_0,
    144: ggml_k.quantize_q4_k, 210: ggml_k.quantize_q6_k, 292: ggml_k.quantize_q8_k,
}  # fmt: skip
_INSPECT: dict[int, Callable[[Bytes], ggml_simple.BlockParts]] = {
    34: ggml_simple.parts_q8_0, 18: ggml_simple.parts_q4_0,
    144: ggml_k.parts_q4_k, 210: ggml_k.parts_q6_k, 292: ggml_k.parts_q8_k,
}  # fmt: skip
_STEP = 1 << 16
_SCHEMES = ("ggml-q8_0", "ggml-q4_0", "ggml-q4_k", "ggml-q6_k")


@dataclass(frozen=True, slots=True)
class View:
    """Storage taken apart: ``codes`` (rows, columns), ``scales`` and ``minima`` (rows, groups).

    A value is scale · code, less the minimum where there is one. Codes are two's complement
    patterns, except those of Q4_K (``minima`` is not None), which are unsigned.
    """

    codes: Bytes
    scales: FloatArray
    minima: FloatArray | None


def ggml_format(id: str) -> TensorFormat:
    """The tensor format of a ggml scheme, ``ggml-q4_k`` or ``Q4_K``.

    Raises UnknownNameError for another name.
    """
    name = id.strip().lower().replace("-", "_").removeprefix("ggml_")
    if f"ggml-{name}" not in _SCHEMES:
        raise UnknownNameError("ggml format", id, _SCHEMES)
    return SCHEMES[f"ggml-{name}"].weight


@typed
def ggml_encode(x: npt.ArrayLike, id: str, *, threads: int = 1) -> Bytes:
    """The bytes of ``x`` (…, columns) in a ggml format: uint8 (…, bytes of a row).

    Raises UnknownNameError for another format; InputError where rows are not whole blocks, where
    input is not finite or not real, or where a scale exceeds FP16.
    """
    check_engine("numpy", threads)
    source = tiles.as_array(x)
    if source.ndim == 0:
        raise InputError("cannot quantise a scalar", hint="pass an array of at least one axis")
    return encode_blocks(source, ggml_format(id), threads)


@typed
def ggml_decode(storage: Bytes, id: str) -> FloatArray:
    """float32 values (…, columns) of the bytes (…, bytes of a row) of a ggml format.

    Raises UnknownNameError for another format; InputError for another dtype than uint8 and for
    rows that are not whole blocks.
    """
    fmt = ggml_format(id)
    given = np.asarray(storage)
    if given.dtype != np.uint8 or given.ndim == 0:
        raise InputError(f"blocks have dtype {given.dtype} and {given.ndim} axes",
                         hint="pass uint8 of at least one axis")
    elements, size = _block(fmt)
    if given.shape[-1] % size:
        raise InputError(f"rows of {given.shape[-1]} bytes do not fill whole blocks of {size}",
                         hint="pass whole rows of bytes as the file stores them")
    columns = given.shape[-1] // size * elements
    values = np.empty((*given.shape[:-1], columns), dtype=np.float32)
    decode_blocks(given, fmt, values)
    return values


def _block(fmt: TensorFormat) -> tuple[int, int]:
    """Elements and bytes of one block."""
    assert fmt.scale is not None
    assert fmt.block_bytes is not None
    return fmt.scale.block_columns, fmt.block_bytes


def encode_blocks(source: npt.NDArray[Any], fmt: TensorFormat, threads: int) -> Bytes:
    """As :func:`ggml_encode`, by record."""
    elements, size = _block(fmt)
    rows, columns = tiles.matrix_shape(source.shape)
    if columns % elements:
        raise InputError(f"rows of {columns} elements do not fill whole blocks of {elements}",
                         hint="pad the rows to whole blocks")
    out = np.empty((rows, columns // elements * size), dtype=np.uint8)

    def work(tile: Tile) -> None:
        part = tiles.fetch(source, tile)
        if not np.isfinite(part).all():
            raise InputError("cannot scale a matrix that holds NaN or infinities",
                             hint="replace NaN and infinities first, for example with "
                                  "numpy.nan_to_num")
        left, right = tile.left // elements * size, tile.right // elements * size
        blocks = _QUANTIZE[size](part.reshape(-1, elements))
        out[tile.top : tile.bottom, left:right] = blocks.reshape(part.shape[0], -1)

    for _ in run(work, tiles.tiles(rows, columns, _STEP, (1, elements)), threads):
        pass
    return out.reshape(*source.shape[:-1], out.shape[1])


def inspect(storage: Bytes, fmt: TensorFormat) -> View:
    """The codes, scales and minima in ``storage`` (…, bytes of a row)."""
    elements, size = _block(fmt)
    rows, width = tiles.matrix_shape(storage.shape)
    parts = _INSPECT[size](storage.reshape(-1, size))
    count = width // size
    groups = parts.scales.shape[1] * count
    minima = None if parts.minima is None else parts.minima.reshape(rows, groups)
    return View(parts.codes.reshape(rows, count * elements), parts.scales.reshape(rows, groups),
                minima)


def decode_blocks(storage: Bytes, fmt: TensorFormat, values: FloatArray) -> None:
    """As :func:`ggml_decode`, by record, into contiguous ``values``."""
    elements, size = _block(fmt)
    blocks, out = storage.reshape(-1, size), values.reshape(-1, elements)
    step = _STEP // elements
    for start in range(0, blocks.shape[0], step):
        parts = _INSPECT[size](blocks[start : start + step])
        out[start : start + step] = ggml_simple.part_values(parts)
