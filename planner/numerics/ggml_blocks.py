"""Q8_0 and Q4_0: 32 elements and one FP16 scale a block.

Both multiply by the reciprocal of the float32 scale and then store the scale in FP16; the elements
are not recomputed from the stored scale. Source: quantize_row_q8_0_ref and quantize_row_q4_0_ref.

Q4_1, Q5_0, Q5_1 and Q6_0: 32 elements, one FP16 scale and, in the _1 types, one minimum; and Q8_1,
Q8_0 with the sum of its elements, for activations beside such minima.

As Q4_0 they multiply by the reciprocal of the float32 scale, add a half and cut. Source:
quantize_row_q4_1_ref, quantize_row_q5_0_ref, _q5_1_ref and _q8_1_ref in ggml/src/ggml-quants.c;
Q6_0 is a type of ik_llama.cpp alone, the rule of Q5_0 with one more bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError
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
    truncated = np.trunc(x)
    up = np.abs(x - truncated) >= np.float32(0.5)
    rounded: FloatArray = truncated + np.copysign(up.astype(np.float32), x)
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


_HALF = np.float32(0.5)


def _round_symmetric(blocks: FloatArray, half_range: int) -> tuple[Bytes, Bytes]:
    """d = (first element of largest magnitude) / -half_range; codes ⌊x/d + half_range + ½⌋."""
    first = np.abs(blocks).argmax(axis=-1)[..., None]
    extreme = np.take_along_axis(blocks, first, axis=-1)[..., 0]
    scale = extreme / np.float32(-half_range)
    shifted = blocks * reciprocal(scale) + np.float32(half_range + 0.5)
    q = np.minimum(shifted.astype(np.int8), 2 * half_range - 1).view(np.uint8)
    return half_bytes(scale), q


def _round_affine(blocks: FloatArray, top: int) -> tuple[Bytes, Bytes, Bytes]:
    """d = (max - min) / top, m = min; codes ⌊(x - m)/d + ½⌋ up to ``top``."""
    low = np.take_along_axis(blocks, blocks.argmin(axis=-1)[:, None], axis=-1)[:, 0]
    scale = (blocks.max(axis=-1) - low) / np.float32(top)
    shifted = (blocks - low[..., None]) * reciprocal(scale) + _HALF
    q = np.minimum(shifted.astype(np.uint8), np.uint8(top))
    return half_bytes(scale), half_bytes(low), q


def nibbles(q: Bytes) -> Bytes:
    """Low four bits of (n, 32) in (n, 16): element i in the low, i + 16 in the high nibble."""
    low = q & np.uint8(15)
    return low[:, :16] | low[:, 16:] << np.uint8(4)


def _low_bits(nibbles: Bytes) -> Bytes:
    return np.concatenate([nibbles & np.uint8(15), nibbles >> np.uint8(4)], axis=1)


def fifth_bits(q: Bytes) -> Bytes:
    """Bit 4 of (n, 32) codes as 32-bit little-endian words (n, 4)."""
    return np.packbits(q >> np.uint8(4), axis=1, bitorder="little")


def _with_fifth(packed: Bytes, nibbles: Bytes) -> Bytes:
    upper = np.unpackbits(np.ascontiguousarray(packed), axis=1, bitorder="little")
    return _low_bits(nibbles) | upper << np.uint8(4)


def quantize_q4_1(blocks: FloatArray) -> Bytes:
    """(n, 32) → (n, 20): d and m in FP16, 32 nibbles."""
    d, m, q = _round_affine(blocks, 15)
    return np.concatenate([d, m, nibbles(q)], axis=1)


def quantize_q5_0(blocks: FloatArray) -> Bytes:
    """(n, 32) → (n, 22): d in FP16, fifth bits, 32 nibbles."""
    d, q = _round_symmetric(blocks, 16)
    return np.concatenate([d, fifth_bits(q), nibbles(q)], axis=1)


def quantize_q5_1(blocks: FloatArray) -> Bytes:
    """(n, 32) → (n, 24): d and m in FP16, fifth bits, 32 nibbles."""
    d, m, q = _round_affine(blocks, 31)
    return np.concatenate([d, m, fifth_bits(q), nibbles(q)], axis=1)


def quantize_q6_0(blocks: FloatArray) -> Bytes:
    """(n, 32) → (n, 26): d in FP16, upper bit pairs of elements i, i + 16, i + 8, i + 24 in byte i,
    32 nibbles."""
    d, q = _round_symmetric(blocks, 32)
    a, b, c, e = ((q >> np.uint8(4))[:, i : i + 8] for i in (0, 16, 8, 24))
    upper = a | b << np.uint8(2) | c << np.uint8(4) | e << np.uint8(6)
    return np.concatenate([d, upper, nibbles(q)], axis=1)


def quantize_q8_1(blocks: FloatArray) -> Bytes:
    """(n, 32) → (n, 36): d in FP16, d times the sum of the codes in FP16, 32 signed bytes."""
    stored = quantize_q8_0(blocks)
    codes = np.ascontiguousarray(stored[:, 2:]).view(np.int8)
    scale = np.abs(blocks).max(axis=-1) / np.float32(127)
    total = codes.sum(axis=1, dtype=np.int32).astype(np.float32)
    return np.concatenate([stored[:, :2], half_bytes(total * scale), stored[:, 2:]], axis=1)


def parts_q8_1(stored: Bytes) -> BlockParts:
    """Signed bytes and one scale; the sum is no part of the values."""
    return BlockParts(np.ascontiguousarray(stored[:, 4:]), halves(stored[:, :2])[:, None])


def parts_q4_1(stored: Bytes) -> BlockParts:
    """Unsigned codes, one scale and one minimum."""
    return BlockParts(
        _low_bits(stored[:, 4:]), halves(stored[:, :2])[:, None], -halves(stored[:, 2:4])[:, None]
    )


def parts_q5_0(stored: Bytes) -> BlockParts:
    """Codes less sixteen as signed bytes, and one scale."""
    codes = _with_fifth(stored[:, 2:6], stored[:, 6:]) - np.uint8(16)
    return BlockParts(codes, halves(stored[:, :2])[:, None])


def parts_q5_1(stored: Bytes) -> BlockParts:
    """Unsigned codes, one scale and one minimum of ``stored`` blocks [blocks, bytes]."""
    return BlockParts(
        _with_fifth(stored[:, 4:8], stored[:, 8:]),
        halves(stored[:, :2])[:, None],
        -halves(stored[:, 2:4])[:, None],
    )


def parts_q6_0(stored: Bytes) -> BlockParts:
    """Codes less 32 as signed bytes, and one scale."""
    packed = stored[:, 2:10]
    upper = np.concatenate([packed >> np.uint8(s) & np.uint8(3) for s in (0, 4, 2, 6)], axis=1)
    codes = (_low_bits(stored[:, 10:]) | upper << np.uint8(4)) - np.uint8(32)
    return BlockParts(codes, halves(stored[:, :2])[:, None])
