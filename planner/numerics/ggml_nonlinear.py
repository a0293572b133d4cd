"""IQ4_NL and IQ4_XS: nibbles that index sixteen unevenly spaced levels.

Source: quantize_row_iq4_nl_impl with fifteen trials (quantize_iq4_nl and quantize_iq4_xs, which
write model files; quantize_row_iq4_nl_ref, for caches, tries one scale only) in
ggml/src/ggml-quants.c. Without an importance matrix elements weigh x². Arrays run over groups of 32
in their last axis and over the elements of a group in their first.

MXFP4 and NVFP4 as ggml stores them: E2M1 elements of the nearest level, scales of 8 bits.

Levels are doubled (``kvalues_fp4``) and scales halved. Source: quantize_row_mxfp4_ref,
quantize_row_nvfp4_ref, best_index_mxfp4 and the dequantize_row_* of both in ggml/src/ggml-quants.c;
ggml_e8m0_to_fp32_half, ggml_ue4m3_to_fp32 and ggml_fp32_to_ue4m3 in ggml/src/ggml-impl.h. NVFP4 has
no scale of the tensor here, and a scale of 0x7F is zero. An importance matrix changes nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.ggml_blocks import BlockParts, Bytes, half_bytes, halves
from planner.numerics.ggml_search import groups_of, nearest, ordered_sum
from planner.numerics.tiles import FloatArray

LEVELS = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.int8
)
_LEVELS = LEVELS.astype(np.float32)
_TINY = np.float32(1e-15)  # GROUP_MAX_EPS
_TRIALS = range(-7, 8)
# The first level above each integer from -128 on, 1 to 15; levels are integers.
_ABOVE = np.clip(np.searchsorted(_LEVELS, np.arange(-128, 128), side="right"), 1, 15).astype(
    np.uint8
)


def _level(x: FloatArray) -> Bytes:
    """The index of the nearest level, the upper one of two that are equally near."""
    above = _ABOVE[np.clip(np.floor(x), -128, 127).astype(np.int16) + 128]
    below = above - np.uint8(1)
    lower = (x <= _LEVELS[0]) | (x - _LEVELS[below] < _LEVELS[above] - x)
    return np.where(lower & (x < _LEVELS[15]), below, above).astype(np.uint8)


def _scales(x: FloatArray, weights: FloatArray) -> FloatArray:
    """Least-squares scale of each group (size, groups), the best over sixteen first roundings."""
    first = np.abs(x).argmax(axis=0)
    extreme = x[first, np.arange(x.shape[1])]

    def trial(inverse: FloatArray) -> tuple[FloatArray, FloatArray]:
        q = _LEVELS[_level(inverse * x)]
        weighted = weights * q
        return ordered_sum(weighted * x), ordered_sum(weighted * q)

    sum_qx, sum_q2 = trial(np.float32(1) / (-extreme / _LEVELS[0]))
    scale = np.where(sum_q2 > 0, sum_qx / sum_q2, np.float32(0))
    best = scale * sum_qx
    for step in _TRIALS:
        sum_qx, sum_q2 = trial((np.float32(step) + _LEVELS[0]) / extreme)
        better = (sum_q2 > 0) & (sum_qx * sum_qx > best * sum_q2)
        scale = np.where(better, sum_qx / sum_q2, scale)
        best = np.where(better, scale * sum_qx, best)
    return np.where(np.abs(extreme) < _TINY, np.float32(0), scale)


def _inverse(scale: FloatArray) -> FloatArray:
    return np.where(scale == 0, np.float32(0), np.float32(1) / scale)


def _nibbles(q: Bytes) -> Bytes:
    """(n, groups, 32) indices → (n, groups · 16): i in the low, i + 16 in the high nibble."""
    return (q[..., :16] | q[..., 16:] << np.uint8(4)).reshape(-1, 16 * q.shape[1])


def _level_codes(nibbles: Bytes) -> Bytes:
    """Levels as signed bytes, groups of 32 from 16 bytes each."""
    count, size = nibbles.shape
    q = nibbles.reshape(count, size // 16, 1, 16)
    indices = np.concatenate([q & np.uint8(15), q >> np.uint8(4)], axis=2)
    codes: Bytes = LEVELS.view(np.uint8)[indices.reshape(count, 2 * size)]
    return codes


def quantize_iq4_nl(blocks: FloatArray) -> Bytes:
    """(n, 32) → (n, 18): d in FP16, 32 nibbles."""
    return iq4_nl_blocks(blocks, blocks * blocks)


def iq4_nl_blocks(blocks: FloatArray, weights: FloatArray) -> Bytes:
    """As :func:`quantize_iq4_nl` with the weight of each element."""
    x = groups_of(blocks, 32)
    with np.errstate(all="ignore"):
        scale = _scales(x, groups_of(weights, 32))
        q = _level(_inverse(scale) * x).T.reshape(-1, 1, 32)
        return np.concatenate([half_bytes(scale), _nibbles(q)], axis=1)


def parts_iq4_nl(stored: Bytes) -> BlockParts:
    """Levels as signed bytes, and one scale."""
    return BlockParts(_level_codes(stored[:, 2:]), halves(stored[:, :2])[:, None])


def quantize_iq4_xs(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 136): d in FP16, eight 6-bit signed scales (upper pairs, then nibbles), 256
    nibbles. Codes follow the float32 d, not the stored one."""
    return iq4_xs_blocks(blocks, blocks * blocks)


def iq4_xs_blocks(blocks: FloatArray, weights: FloatArray) -> Bytes:
    """As :func:`quantize_iq4_xs` with the weight of each element."""
    x = groups_of(blocks, 32)
    with np.errstate(all="ignore"):
        scale = _scales(x, groups_of(weights, 32)).reshape(-1, 8)
        first = np.abs(scale).argmax(axis=1)[:, None]
        d = -np.take_along_axis(scale, first, axis=1) / np.float32(32)
        steps = np.clip(nearest(_inverse(d) * scale), -32, 31)
        unit: FloatArray = (d * steps.astype(np.float32)).reshape(-1)
        q = _level(_inverse(unit) * x).T.reshape(-1, 8, 32)
        stored = half_bytes(d[:, 0])
    s = (steps + 32).astype(np.uint8)
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8)
    upper = np.bitwise_or.reduce((s >> np.uint8(4)).reshape(-1, 2, 4) << shifts, axis=2)
    low = s & np.uint8(15)
    return np.concatenate(
        [stored, upper, low[:, ::2] | low[:, 1::2] << np.uint8(4), _nibbles(q)], axis=1
    )


def parts_iq4_xs(stored: Bytes) -> BlockParts:
    """Levels as signed bytes, and the scale d·(s - 32) of groups of 32."""
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8)
    upper = (stored[:, 2:4, None] >> shifts & np.uint8(3)).reshape(-1, 8)
    low = np.stack([stored[:, 4:8] & np.uint8(15), stored[:, 4:8] >> np.uint8(4)], axis=2)
    steps = (low.reshape(-1, 8) | upper << np.uint8(4)).astype(np.float32) - np.float32(32)
    return BlockParts(_level_codes(stored[:, 8:]), halves(stored[:, :2])[:, None] * steps)


FP4_LEVELS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], dtype=np.int8)
_FP4_LEVELS = FP4_LEVELS.astype(np.float32)
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
    best, code = np.abs(_FP4_LEVELS[0] * scale - x), np.zeros(x.shape, dtype=np.uint8)
    for i in range(1, 16):
        error = np.abs(_FP4_LEVELS[i] * scale - x)
        better = error < best
        best, code = np.where(better, error, best), np.where(better, np.uint8(i), code)
    return code


def _half_nibbles(q: Bytes) -> Bytes:
    """(n, size) → (n, size / 2): the first half in the low, the second in the high nibbles."""
    half = q.shape[1] // 2
    return q[:, :half] | q[:, half:] << np.uint8(4)


def _levels(packed: Bytes) -> Bytes:
    """Inverse of :func:`_nibbles`, as levels in signed bytes."""
    q = np.concatenate([packed & np.uint8(15), packed >> np.uint8(4)], axis=1)
    codes: Bytes = FP4_LEVELS.view(np.uint8)[q]
    return codes


def quantize_mxfp4(blocks: FloatArray) -> Bytes:
    """(n, 32) → (n, 17): scale 2^(⌊log2 amax⌋ - 2), then 32 nibbles.

    The scale's byte wraps below 2^-127, as the source's cast does on x86: such blocks become zeros.
    """
    amax: FloatArray = np.abs(blocks).max(axis=1)
    exponent = _floor_log2(amax) - 2 + 127
    e = (np.where(amax > 0, exponent, 0) & 255).astype(np.uint8)[:, None]
    return np.concatenate([e, _half_nibbles(_nearest(blocks, _half_e8m0(e)))], axis=1)


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
    nibbles = _half_nibbles(_nearest(groups, _half_ue4m3(codes)[:, None]))
    return np.concatenate([codes.reshape(-1, 4), nibbles.reshape(-1, 32)], axis=1)


def parts_nvfp4(stored: Bytes) -> BlockParts:
    """Levels as signed bytes, and the scales of groups of 16."""
    levels = _levels(np.ascontiguousarray(stored[:, 4:]).reshape(-1, 8))
    return BlockParts(levels.reshape(-1, 64), _half_ue4m3(stored[:, :4]))
