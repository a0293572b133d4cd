"""MXFP4 and NVFP4 as ggml stores them: E2M1 elements of the nearest level, scales of 8 bits.

Levels are doubled (``kvalues_fp4``) and scales halved. Source: quantize_row_mxfp4_ref,
quantize_row_nvfp4_ref, best_index_mxfp4 and the dequantize_row_* of both in ggml/src/ggml-quants.c;
ggml_e8m0_to_fp32_half, ggml_ue4m3_to_fp32 and ggml_fp32_to_ue4m3 in ggml/src/ggml-impl.h. NVFP4
has no scale of the tensor here, and a scale of 0x7F is zero. An importance matrix changes nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.ggml_simple import BlockParts, Bytes
from planner.numerics.tiles import FloatArray

LEVELS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], dtype=np.int8)
_LEVELS = LEVELS.astype(np.float32)
_LARGEST_UE4M3 = np.float32(448)


def _half_e8m0(codes: Bytes) -> FloatArray:
    """2^(code - 128), half of an E8M0 scale."""
    wide = codes.astype(np.uint32)
    bits = np.where(wide < 2, np.uint32(0x00200000) << wide, (wide - 1) << np.uint32(23))
    values: FloatArray = bits.astype(np.uint32).view(np.float32)
    return values


def _half_ue4m3(codes: Bytes) -> FloatArray:
    """Half of a UE4M3 scale; 0x7F is zero, the uppermost bit is not read."""
    exponent, mantissa = (codes >> 3 & 15).astype(np.int32), (codes & 7).astype(np.float32)
    raw = np.where(
        exponent == 0, np.ldexp(mantissa, -9), np.ldexp(1 + mantissa / np.float32(8), exponent - 7)
    )
    halved: FloatArray = (raw * np.float32(0.5)).astype(np.float32)
    return np.where((codes == 0) | (codes == 0x7F), np.float32(0), halved)


def _to_ue4m3(x: FloatArray) -> Bytes:
    """Codes of scales of 0 or more: halves up, from the four bits behind the leading one."""
    bits = np.minimum(x, _LARGEST_UE4M3).view(np.uint32).astype(np.int64)
    exponent = (bits >> 23 & 255) - 127 + 7
    rounded = (bits >> 20 & 7) + (bits >> 19 & 1)
    exponent, rounded = (
        np.where(rounded > 7, exponent + 1, exponent),
        np.where(rounded > 7, 0, rounded),
    )
    normal = np.where(exponent >= 15, 0x7E, exponent << 3 | rounded)
    small = np.minimum((x * np.float32(512) + np.float32(0.5)).astype(np.int64), 7)
    return np.where((bits >> 23 & 255) - 127 + 7 <= 0, small, normal).astype(np.uint8)


def _nearest(x: FloatArray, scale: FloatArray) -> Bytes:
    """The first of the levels that are nearest to ``x`` (n, size) at ``scale`` (n, 1)."""
    best, found = np.abs(_LEVELS[0] * scale - x), np.zeros(x.shape, dtype=np.uint8)
    for i in range(1, 16):
        error = np.abs(_LEVELS[i] * scale - x)
        better = error < best
        best, found = np.where(better, error, best), np.where(better, np.uint8(i), found)
    return found


def _nibbles(q: Bytes) -> Bytes:
    """(n, size) → (n, size / 2): the first half in the low, the second in the high nibbles."""
    half = q.shape[1] // 2
    return q[:, :half] | q[:, half:] << np.uint8(4)


def _levels(packed: Bytes) -> Bytes:
    """Inverse of :func:`_nibbles`, as levels in signed bytes."""
    q = np.concatenate([packed & np.uint8(15), packed >> np.uint8(4)], axis=1)
    codes: Bytes = LEVELS.view(np.uint8)[q]
    return codes


def quantize_mxfp4(blocks: FloatArray) -> Bytes:
    """(n, 32) → (n, 17): scale 2^(⌊log2 amax⌋ - 2), then 32 nibbles.

    The scale's byte wraps below 2^-127, as the source's cast does on x86: such blocks become zeros.
    """
    amax: FloatArray = np.abs(blocks).max(axis=1)
    exponent = _floor_log2(amax) - 2 + 127
    e = (np.where(amax > 0, exponent, 0) & 255).astype(np.uint8)[:, None]
    return np.concatenate([e, _nibbles(_nearest(blocks, _half_e8m0(e)))], axis=1)


def _floor_log2(x: FloatArray) -> npt.NDArray[np.int32]:
    """⌊log2f(x)⌋; log2f rounds up to the next integer what is within half an ulp of it."""
    with np.errstate(divide="ignore"):
        return (
            np.floor(np.log2(x.astype(np.float64)).astype(np.float32))
            .clip(-200, 200)
            .astype(np.int32)
        )


def parts_mxfp4(stored: Bytes) -> BlockParts:
    """Levels as signed bytes, and one scale."""
    return BlockParts(_levels(stored[:, 1:]), _half_e8m0(stored[:, :1]))


def quantize_nvfp4(blocks: FloatArray) -> Bytes:
    """(n, 64) → (n, 36): four UE4M3 scales amax / 6 of groups of 16, then 64 nibbles."""
    groups = blocks.reshape(-1, 16)
    codes = _to_ue4m3(np.abs(groups).max(axis=1) / np.float32(6))
    nibbles = _nibbles(_nearest(groups, _half_ue4m3(codes)[:, None]))
    return np.concatenate([codes.reshape(-1, 4), nibbles.reshape(-1, 32)], axis=1)


def parts_nvfp4(stored: Bytes) -> BlockParts:
    """Levels as signed bytes, and the scales of groups of 16."""
    levels = _levels(np.ascontiguousarray(stored[:, 4:]).reshape(-1, 8))
    return BlockParts(levels.reshape(-1, 64), _half_ue4m3(stored[:, :4]))
