"""The reference quantisers of llama.cpp's simple block formats (ggml/src/ggml-quants.c).

Q8_0 and Q4_0 multiply by the reciprocal of the float32 scale and then store the scale in FP16; the
elements are not recomputed from the stored scale. Operations are single IEEE float32 operations;
a build that contracts them into fused multiply-adds may differ in the last code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.errors import InputError
from planner.formats.spec import TensorFormat
from planner.numerics.cast import FloatArray, decode, encode

SEARCHED = ("ggml-q4_k", "ggml-q6_k")
_LARGEST = np.float32(3.4028234663852886e38)


@dataclass(frozen=True, slots=True)
class Blocks:
    """``codes`` (rows, columns) as two's complement patterns; ``scales`` (rows, blocks)."""

    codes: npt.NDArray[np.uint8]
    scales: FloatArray


def quantize_blocks(matrix: FloatArray, fmt: TensorFormat) -> Blocks:
    """Quantise ``matrix`` as Q8_0 (int8) or Q4_0 (int4).

    Raises InputError where rows are not whole blocks, where input is not finite, or where a scale
    exceeds FP16.
    """
    assert fmt.scale is not None
    width = fmt.scale.block_columns
    rows, columns = matrix.shape
    if columns % width:
        raise InputError(f"rows of {columns} elements do not fill whole blocks of {width}")
    if not np.isfinite(matrix).all():
        raise InputError("cannot scale a matrix that holds NaN or infinities")
    blocks = matrix.reshape(rows, columns // width, width)
    codes, raw = _q8_0(blocks) if fmt.element == "int8" else _q4_0(blocks)
    scales = decode(encode(raw, "fp16"), "fp16")
    if not np.isfinite(scales).all():
        raise InputError("a block scale exceeds the range of fp16")
    return Blocks(codes.reshape(rows, columns), scales)


def _reciprocal(scale: FloatArray) -> FloatArray:
    safe = np.where(scale == 0, np.float32(np.inf), scale)
    with np.errstate(over="ignore"):
        inverse: FloatArray = np.clip(np.float32(1) / safe, -_LARGEST, _LARGEST)
    return inverse[..., None]


def _q8_0(blocks: FloatArray) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """d = amax / 127; q = round half away (x · (1/d))."""
    scale = np.abs(blocks).max(axis=-1) / np.float32(127)
    scaled = blocks * _reciprocal(scale)
    whole = np.trunc(scaled)
    up = np.abs(scaled - whole) >= np.float32(0.5)
    rounded = whole + np.copysign(up.astype(np.float32), scaled)
    return rounded.astype(np.int8).view(np.uint8), scale


def _q4_0(blocks: FloatArray) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """d = (first element of largest magnitude) / -8; q = ⌊x/d + 8.5⌋ up to 15, less 8."""
    first = np.abs(blocks).argmax(axis=-1)[..., None]
    extreme = np.take_along_axis(blocks, first, axis=-1)[..., 0]
    scale = extreme / np.float32(-8)
    shifted = blocks * _reciprocal(scale) + np.float32(8.5)
    stored = np.minimum(shifted.astype(np.int8), 15)
    return (stored - 8).astype(np.int8).view(np.uint8) & np.uint8(15), scale
