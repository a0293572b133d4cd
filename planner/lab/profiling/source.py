"""Stored tensors as float32 tiles: bytes read in pieces, decoded, scaled. Nothing is mapped."""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import DataError
from planner.lab.profiling.jobs import MatrixJob
from planner.models.checkpoint_places import Place
from planner.models.storage import GGML_BLOCKS, STORED_TYPES
from planner.numerics import decode, ggml_decode
from planner.numerics.engines import Engine
from planner.numerics.tiles import FloatArray, Tile

TILE_ELEMENTS = 1 << 19
TILE_COLUMNS = 1 << 16
ROW_STEP = 128  # a multiple of every block of rows
_NUMPY = {"F32": "<f4", "F64": "<f8", "BF16": "<u2", "F16": "<u2", "F8_E4M3": "u1",
          "F8_E5M2": "u1", "F8_E8M0": "u1", "I8": "u1", "U8": "u1"}  # fmt: skip


class ReadError(DataError):
    """A tensor cannot be read: the file ended, or its type has no decoder here."""


def tiles_of(job: MatrixJob) -> Iterator[Tile]:
    """The tiles of a matrix, in the same order whatever the memory or the workers: whole rows in
    steps of 128, columns in steps of 65,536."""
    width = min(job.columns, TILE_COLUMNS)
    height = max(ROW_STEP, TILE_ELEMENTS // max(width, 1) // ROW_STEP * ROW_STEP)
    for top in range(0, job.rows, height):
        for left in range(0, job.columns, width):
            yield Tile(top, min(top + height, job.rows), left, min(left + width, job.columns))


class MatrixSource:
    """The values of one matrix; open for the time of a measurement."""

    def __init__(self, job: MatrixJob, engine: Engine) -> None:
        self._job, self._engine = job, engine
        self._file = open(job.weight.file, "rb", buffering=0)  # noqa: SIM115
        try:
            self._factor = self._factors()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> MatrixSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def tile(self, tile: Tile) -> FloatArray:
        """The decoded values of ``tile`` [rows, columns], contiguous float32.

        Raises:
            ReadError: the file ended, or no decoder is here for its type.
        """
        job = self._job
        if job.form == "ggml":
            return self._ggml(tile)
        if job.form == "e2m1":
            return self._pairs(tile)
        values = self._plain(tile)
        if job.form == "scaled":
            _multiply(values, self._factor, tile, job.block)
        return values

    def _plain(self, tile: Tile) -> FloatArray:
        job = self._job
        if job.transposed:
            across = Tile(tile.left, tile.right, tile.top, tile.bottom)
            raw = self._matrix(across, job.rows, _NUMPY[job.dtype])
            return np.ascontiguousarray(_decoded(raw, job.dtype, self._engine).T)
        return _decoded(self._matrix(tile, job.columns, _NUMPY[job.dtype]), job.dtype, self._engine)

    def _pairs(self, tile: Tile) -> FloatArray:
        """E2M1, two in a byte, low nibble first, with a scale a group of inputs."""
        job = self._job
        packed = self._matrix(
            Tile(tile.top, tile.bottom, tile.left // 2, tile.right // 2), job.columns // 2, "u1"
        )
        codes = np.empty((packed.shape[0], 2 * packed.shape[1]), np.uint8)
        codes[:, 0::2], codes[:, 1::2] = packed & 15, packed >> 4
        values = decode(codes, "e2m1", engine=self._engine)
        _multiply(values, self._factor, tile, job.block)
        return values

    def _ggml(self, tile: Tile) -> FloatArray:
        block, size = GGML_BLOCKS[self._job.dtype]
        inside = Tile(tile.top, tile.bottom, tile.left // block * size, tile.right // block * size)
        raw = self._matrix(inside, self._job.columns // block * size, "u1")
        return ggml_decode(raw, self._job.dtype)

    def _factors(self) -> FloatArray:
        """All scales as a float32 matrix (block rows, block columns), the second level in them."""
        job = self._job
        if job.scale is None:
            return np.ones((1, 1), np.float32)
        dtype = "F8_E8M0" if job.scale.dtype == "U8" else job.scale.dtype
        scale = _read_all(job.scale, dtype, self._engine)
        if job.global_scale is not None:
            second = _read_all(job.global_scale, job.global_scale.dtype, self._engine).reshape(-1)[
                0
            ]
            scale = scale / second if job.divide_global else scale * second
        if scale.ndim == 2:
            return scale
        return scale.reshape(-1, 1)

    def _matrix(self, tile: Tile, columns: int, dtype: str) -> npt.NDArray[Any]:
        """A tile of a stored matrix of ``columns`` items, row by row where it is not whole rows."""
        kind = np.dtype(dtype)
        start = self._job.weight.offset
        rows, width = tile.bottom - tile.top, tile.right - tile.left
        out = np.empty((rows, width), kind)
        view = _bytes_of(out)
        if width == columns:
            self._read(start + tile.top * columns * kind.itemsize, view)
            return out
        run = width * kind.itemsize
        for n in range(rows):
            at = ((tile.top + n) * columns + tile.left) * kind.itemsize
            self._read(start + at, view[n * run : (n + 1) * run])
        return out

    def _read(self, offset: int, view: memoryview) -> None:
        _read_into(self._file, offset, view, self._job.weight.file)


def _bytes_of(array: npt.NDArray[Any]) -> memoryview:
    """The memory of a contiguous array, to be written to."""
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def _read_into(file: FileIO, offset: int, view: memoryview, name: str) -> None:
    file.seek(offset)
    done = 0
    while done < len(view):
        got = file.readinto(view[done:])
        if not got:
            raise ReadError(
                f"{name}: ends at byte {offset + done}; the file is truncated",
                hint="the file is damaged or incomplete: download it again",
            )
        done += got


def _read_all(place: Place, dtype: str, engine: Engine) -> FloatArray:
    kind = np.dtype(_NUMPY.get(dtype, "u1"))
    count = int(np.prod(place.shape, dtype=np.int64)) if place.shape else 1
    out = np.empty(count, kind)
    with open(place.file, "rb", buffering=0) as file:
        _read_into(file, place.offset, _bytes_of(out), place.file)
    return _decoded(out, dtype, engine).reshape(place.shape)


def _decoded(raw: npt.NDArray[Any], dtype: str, engine: Engine) -> FloatArray:
    if dtype == "F32":
        return raw.astype(np.float32, copy=False)
    if dtype == "F64":
        return raw.astype(np.float32)
    if dtype == "BF16" and engine == "numba":
        from planner.lab.profiling import fast_sums

        out = np.empty(raw.shape, np.float32)
        fast_sums.widen(raw.reshape(-1), out.reshape(-1).view(np.uint32))
        return out
    element = STORED_TYPES[dtype].format
    assert element is not None
    return decode(raw, element, engine="numpy" if dtype in ("BF16", "F16") else engine)


def _multiply(values: FloatArray, factor: FloatArray, tile: Tile, block: tuple[int, int]) -> None:
    """``values`` of a tile times the factor of their block, in place."""
    rows = np.arange(tile.top, tile.bottom) // max(block[0], 1)
    columns = np.arange(tile.left, tile.right) // max(block[1], 1)
    if factor.shape == (1, 1):
        values *= factor[0, 0]
    elif factor.shape[1] == 1:
        values *= factor[rows]
    elif block[0] == 1:
        values *= factor[tile.top : tile.bottom][:, columns]
    else:
        for row in np.unique(rows):
            values[rows == row] *= factor[row, columns]
