"""Q8_0 and Q4_0: 32 elements and one FP16 scale a block.

Both multiply by the reciprocal of the float32 scale and then store the scale in FP16; the elements
are not recomputed from the stored scale. Source: quantize_row_q8_0_ref and quantize_row_q4_0_ref.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.errors import InputError
from planner.numerics.cast import decode, encode
from planner.numerics.tiles import FloatArray

Bytes = npt.NDArray[np.uint8]

_LARGEST = np.float32(3.4028234663852886e38)


@dataclass(frozen=True, slots=True)
class BlockParts:
    """Blocks taken apart: ``codes`` (n, elements); ``scales``, ``minima`` (n, groups).

    ``nibbles``: codes are four-bit two's complement patterns.
    """

    codes: Bytes
    scales: FloatArray
    minima: FloatArray | None = None
    nibbles: bool = False


def part_values(parts: BlockParts) -> FloatArray:
    """float32 values (n, elements): scale · code, less the minimum."""
    codes = parts.codes if parts.minima is not None else _signed(parts.codes, parts.nibbles)
    count, groups = parts.scales.shape
    grouped = codes.reshape(count, groups, codes.shape[1] // groups)
    values: FloatArray = grouped * parts.scales[:, :, None]
    if parts.minima is not None:
        values -= parts.minima[:, :, None]
    return values.reshape(codes.shape)


def _signed(codes: Bytes, nibbles: bool) -> npt.NDArray[np.int8]:
    signed: npt.NDArray[np.int8] = codes.view(np.int8)
    return (signed << np.int8(4)) >> np.int8(4) if nibbles else signed


def half_bytes(scale: FloatArray) -> Bytes:
    """FP16 codes of ``scale`` (n,) as (n, 2) little-endian bytes.

    Raises InputError where one exceeds FP16.
    """
    codes = encode(scale, "fp16")
    if not np.isfinite(decode(codes, "fp16")).all():
        raise InputError(
            "a block scale exceeds the range of fp16",
            hint="divide the matrix by a power of two first",
        )
    return codes.astype("<u2").view(np.uint8).reshape(-1, 2)


def halves(stored: Bytes) -> FloatArray:
    """float32 values (n,) of FP16 bytes (n, 2)."""
    codes = np.ascontiguousarray(stored).view("<u2").reshape(-1)
    return decode(codes.astype(np.uint16), "fp16")


def reciprocal(scale: FloatArray) -> FloatArray:
    """1 / ``scale`` (n,) as (n, 1), at most the largest float32; 0 of a scale of 0."""
    safe = np.where(scale == 0, np.float32(np.inf), scale)
    with np.errstate(over="ignore"):
        inverse: FloatArray = np.clip(np.float32(1) / safe, -_LARGEST, _LARGEST)
    return inverse[..., None]


def round_half_away(x: FloatArray) -> FloatArray:
    """``roundf``: to the nearest integer, halves away from zero."""
    whole = np.trunc(x)
    up = np.abs(x - whole) >= np.float32(0.5)
    rounded: FloatArray = whole + np.copysign(up.astype(np.float32), x)
    return rounded


def quantize_q8_0(blocks: FloatArray) -> Bytes:
    """d = amax / 127; q = round half away (x · (1/d)); d in FP16, then 32 signed bytes."""
    scale = np.abs(blocks).max(axis=-1) / np.float32(127)
    rounded = round_half_away(blocks * reciprocal(scale))
    return np.concatenate([half_bytes(scale), rounded.astype(np.int8).view(np.uint8)], axis=1)


def quantize_q4_0(blocks: FloatArray) -> Bytes:
    """d = (first element of largest magnitude) / -8; q = ⌊x/d + 8.5⌋ up to 15.

    d in FP16, then 16 bytes with element i in the low and i + 16 in the high nibble.
    """
    first = np.abs(blocks).argmax(axis=-1)[..., None]
    extreme = np.take_along_axis(blocks, first, axis=-1)[..., 0]
    scale = extreme / np.float32(-8)
    shifted = blocks * reciprocal(scale) + np.float32(8.5)
    q = np.minimum(shifted.astype(np.int8), 15).view(np.uint8)
    return np.concatenate([half_bytes(scale), q[:, :16] | q[:, 16:] << np.uint8(4)], axis=1)


def parts_q8_0(stored: Bytes) -> BlockParts:
    """Signed bytes and one scale."""
    return BlockParts(np.ascontiguousarray(stored[:, 2:]), halves(stored[:, :2])[:, None])


def parts_q4_0(stored: Bytes) -> BlockParts:
    """Nibbles less eight (blocks, 32) and one scale."""
    q = np.concatenate([stored[:, 2:] & np.uint8(15), stored[:, 2:] >> np.uint8(4)], axis=1)
    codes = (q - np.uint8(8)) & np.uint8(15)
    return BlockParts(codes, halves(stored[:, :2])[:, None], nibbles=True)
