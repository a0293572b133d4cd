"""What quantising gives: codes, scales and how to turn them back into numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from planner.base.errors import UnsupportedError
from planner.formats.elements import element
from planner.formats.sizes import tensor_bytes
from planner.formats.spec import TensorFormat
from planner.numerics import blocks, ggml, integers, rotations, runs, tiles
from planner.numerics.cast import Codes, decode
from planner.numerics.engines import Chosen, Engine, resolve_engine, run
from planner.numerics.scaling import Scales, block_sides
from planner.numerics.tiles import FloatArray, Tile


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantised tensor: one code an element and float32 scales, one per block.

    ``codes`` has the shape of the input (leading axes are rows); 4-bit codes take a byte each here,
    ``nbytes`` counts them packed. ``scales`` (block rows, block columns) is None for plain floats;
    ``tensor_scale`` is NVFP4's second level; ``zero_points`` (int8, shape of ``scales``) belongs to
    asymmetric integers. Integer codes are two's complement bit patterns. ``storage`` (…, bytes) is
    set for ggml formats: the interleaved blocks as a GGUF file holds them. Their ``codes`` and
    ``scales`` are a view for inspection: ggml-q4_k has unsigned codes and ``minima`` to subtract.

    ``axis`` of the codes is the one along which blocks run; ``scales`` are those of the tensor with
    that axis last. ``batch_axes`` leading axes number matrices of their own: ``scales`` and
    ``tensor_scale`` begin with them. ``tensor_divides``: the tensor scale divides, as
    compressed-tensors stores it.
    """

    format: TensorFormat
    codes: Codes
    scales: FloatArray | None
    tensor_scale: float | FloatArray | None
    zero_points: npt.NDArray[np.int8] | None = None
    minima: FloatArray | None = None
    storage: npt.NDArray[np.uint8] | None = None
    axis: int = -1
    batch_axes: int = 0
    tensor_divides: bool = False

    @property
    def nbytes(self) -> int:
        """Stored bytes: packed codes, scales in their format, the tensor scale."""
        shape = np.moveaxis(self.codes, self.axis, -1).shape
        rows, columns = tiles.matrix_shape(shape[self.batch_axes :])
        return prod(shape[: self.batch_axes]) * tensor_bytes(self.format, rows, columns)

    def dequantize(
        self, *, engine: Chosen = "auto", threads: int = 1, out: FloatArray | None = None
    ) -> FloatArray:
        """float32 values, element · scale with one rounding, in the shape of the input.

        ``out``: contiguous memory for the result. Rotated formats are rotated back.
        Raises UnsupportedError where numba has no kernel (plain floats wider than 8 bits, zero
        points, ggml) or is not installed.
        """
        covered = (
            self.storage is None
            and self.zero_points is None
            and (element(self.format.element).bits <= 8)
        )
        used = resolve_engine(engine, threads, self.codes.size, covered=covered)
        if self.axis == -1 and not self.batch_axes and not self.format.rotation:
            return _values(self, used, threads, out)
        values = tiles.output_array(out, self.codes.shape, np.float32)
        moved = np.moveaxis(values, self.axis, -1)
        dequantized = _each_matrix(
            replace(
                self, axis=-1, codes=np.ascontiguousarray(np.moveaxis(self.codes, self.axis, -1))
            ),
            used,
            threads,
        )
        if self.format.rotation:
            dequantized = rotations.hadamard(dequantized, self.format.rotation, inverse=True)
        moved[...] = dequantized
        return values


def _each_matrix(result: Quantized, engine: Engine, threads: int) -> FloatArray:
    """The values of every matrix of a batch."""
    if not result.batch_axes:
        return _values(result, engine, threads, None)
    values = np.empty(result.codes.shape, np.float32)
    for index in np.ndindex(result.codes.shape[: result.batch_axes]):
        tensor = result.tensor_scale
        quantized = Quantized(
            result.format,
            np.ascontiguousarray(result.codes[index]),
            None if result.scales is None else result.scales[index],
            None if tensor is None else float(np.asarray(tensor)[index]),
            zero_points=None if result.zero_points is None else result.zero_points[index],
            tensor_divides=result.tensor_divides,
        )
        values[index] = _values(quantized, engine, threads, None)
    return values


def _values(
    quantized: Quantized, engine: Engine, threads: int, out: FloatArray | None
) -> FloatArray:
    """Of one matrix whose blocks run along the last axis."""
    spec = quantized.format.scale
    if quantized.scales is None or spec is None:
        return decode(
            quantized.codes, quantized.format.element, engine=engine, threads=threads, out=out
        )
    values = tiles.output_array(out, quantized.codes.shape, np.float32)
    if quantized.storage is not None:
        numpy_only(engine, "ggml blocks")
        ggml.decode_blocks(quantized.storage, quantized.format, values)
        return values
    target = element(quantized.format.element)
    shape = tiles.matrix_shape(quantized.codes.shape)
    codes, matrix = quantized.codes.reshape(shape), values.reshape(shape)
    sides = block_sides(spec, *shape)
    tensor = 1.0 if quantized.tensor_scale is None else float(quantized.tensor_scale)
    scales = Scales(
        quantized.scales, tensor, quantized.format.element_exponent, quantized.tensor_divides
    )
    if quantized.zero_points is not None:
        numpy_only(engine, "zero points")
    elif engine == "numba" and runs.decode(codes, scales, target, sides, threads, matrix):
        return values
    factor = scales.effective()

    def work(tile: Tile) -> None:
        part, scale, result = tile.of(codes), tile.blocks(factor, sides), tile.of(matrix)
        if quantized.zero_points is None:
            blocks.decode_part(part, scale, target, sides, engine, result)
        else:
            zero = tile.blocks(quantized.zero_points, sides)
            integers.decode_part(part, scale, zero, target, sides, result)

    for _ in run(work, tiles.tiles(*shape, blocks.STEP[engine], sides), threads):
        pass
    return values


def numpy_only(engine: str, what: str) -> None:
    """Raise UnsupportedError where numba was asked for."""
    if engine == "numba":
        raise UnsupportedError(f"numba has no kernel for {what}", hint="use engine='numpy'")
