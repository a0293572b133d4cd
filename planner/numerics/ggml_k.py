"""Q4_K and Q6_K: super-blocks of 256 elements, quantised by llama.cpp's search.

Source: quantize_row_q4_K_ref, make_qkx2_quants, quantize_row_q6_K_ref and make_qx_quants in
ggml/src/ggml-quants.c. Arrays run over groups in their last axis and over the elements of a group
in their first, so that sums add up in the order of the source.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.ggml_simple import BlockParts, Bytes, half_bytes, halves
from planner.numerics.tiles import FloatArray

Integers = npt.NDArray[np.int32]

_TINY = np.float32(1e-15)  # GROUP_MAX_EPS


def _nearest(x: FloatArray) -> Integers:
    """To nearest even through the bits of x + 1.5·2^23, as the source does, range errors too."""
    bits = (x + np.float32(12582912.0)).view(np.int32)
    return (bits & np.int32(0x7FFFFF)) - np.int32(0x400000)


def _sum(rows: FloatArray) -> FloatArray:
    """Over the first axis, one after the other."""
    total: FloatArray = rows[0].copy()
    for row in rows[1:]:
        total += row
    return total


def _groups(blocks: FloatArray, size: int) -> FloatArray:
    """(super-blocks, 256) → (size, all groups)."""
    return np.ascontiguousarray(blocks.reshape(-1, size).T)


def _search_affine(x: FloatArray) -> tuple[FloatArray, FloatArray, Integers]:
    """make_qkx2_quants for 4 bits: scale, minimum (to subtract) and codes of groups of 32."""
    top = np.float32(15)
    mean = np.sqrt(_sum(x * x) / np.float32(32))
    weights = mean + np.abs(x)
    low, high = np.minimum(x.min(axis=0), np.float32(0)), x.max(axis=0)
    flat, first_low = high == low, low
    sum_w, sum_x = _sum(weights), _sum(weights * x)
    inverse: FloatArray = top / (high - low)
    scale: FloatArray = np.float32(1) / inverse
    codes = np.clip(_nearest(inverse * (x - low)), 0, 15)
    best = _error(x, weights, scale, low, codes)
    for step in range(21):
        start = np.float32(-1) + np.float32(0.1) * np.float32(step) + top
        trial = np.clip(_nearest(start / (high - low) * (x - low)), 0, 15)
        t = trial.astype(np.float32)
        weighted = weights * t
        sum_l, sum_l2, sum_xl = _sum(weighted), _sum(weighted * t), _sum(weighted * x)
        d = sum_w * sum_l2 - sum_l * sum_l
        new_scale = np.divide(sum_w * sum_xl - sum_x * sum_l, d)
        new_low = np.divide(sum_l2 * sum_x - sum_l * sum_xl, d)
        new_scale = np.where(new_low > 0, sum_xl / sum_l2, new_scale)
        new_low = np.where(new_low > 0, np.float32(0), new_low)
        error = _error(x, weights, new_scale, new_low, trial)
        better = (d > 0) & (error < best)
        codes = np.where(better, trial, codes)
        best = np.where(better, error, best)
        scale = np.where(better, new_scale, scale)
        low = np.where(better, new_low, low)
    codes[:, flat] = 0
    return np.where(flat, np.float32(0), scale), -np.where(flat, first_low, low), codes


def _error(
    x: FloatArray, weights: FloatArray, scale: FloatArray, low: FloatArray, codes: Integers
) -> FloatArray:
    difference = scale * codes.astype(np.float32) + low - x
    return _sum(weights * (difference * difference))


def quantize_q4_k(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 144): d, dmin in FP16, eight 6-bit scales and minima, 256 nibbles."""
    x = _groups(blocks, 32)
    with np.errstate(all="ignore"):
        scale, low, codes = _search_affine(x)
        scale, low = scale.reshape(-1, 8), low.reshape(-1, 8)
        max_scale = scale.max(axis=1, initial=0) + np.float32(0)  # no -0, as in the source
        max_low = low.max(axis=1, initial=0) + np.float32(0)
        steps = _six_bits(scale, max_scale)
        low_steps = _six_bits(low, max_low)
        d = half_bytes(max_scale / np.float32(63))
        dmin = half_bytes(max_low / np.float32(63))
        unit: FloatArray = (halves(d)[:, None] * steps).reshape(-1)
        offset = (halves(dmin)[:, None] * low_steps).reshape(-1)
        final = np.clip(_nearest(np.divide(x + offset, unit)), 0, 15)
    q = np.where(unit == 0, codes, final).astype(np.uint8).T.reshape(-1, 4, 2, 32)
    nibbles = (q[:, :, 0] | q[:, :, 1] << np.uint8(4)).reshape(-1, 128)
    return np.concatenate([d, dmin, _pack_six(steps, low_steps), nibbles], axis=1)


def _six_bits(values: FloatArray, largest: FloatArray) -> Bytes:
    inverse = np.where(largest > 0, np.float32(63) / largest, np.float32(0))
    steps = _nearest(np.multiply(inverse[:, None], values)).astype(np.uint8)
    return np.minimum(steps, np.uint8(63))


def _pack_six(scales: Bytes, minima: Bytes) -> Bytes:
    """Eight scales and eight minima of six bits in twelve bytes (n, 12)."""
    four, two, six = np.uint8(4), np.uint8(15), np.uint8(6)
    last_s, last_m = scales[:, 4:], minima[:, 4:]
    return np.concatenate([
        scales[:, :4] | last_s >> four << six,
        minima[:, :4] | last_m >> four << six,
        last_s & two | (last_m & two) << four,
    ], axis=1)


def _unpack_six(packed: Bytes) -> tuple[Bytes, Bytes]:
    six, four, low = np.uint8(6), np.uint8(4), np.uint8(15)
    a, b, c = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([a & np.uint8(63), c & low | a >> six << four], axis=1)
    minima = np.concatenate([b & np.uint8(63), c >> four | b >> six << four], axis=1)
    return scales, minima


def parts_q4_k(stored: Bytes) -> BlockParts:
    """Unsigned codes, and for groups of 32 the scale d·s and the minimum dmin·m."""
    scales, minima = _unpack_six(stored[:, 4:16])
    q = stored[:, 16:].reshape(-1, 4, 1, 32)
    codes = np.concatenate([q & np.uint8(15), q >> np.uint8(4)], axis=2).reshape(-1, 256)
    return BlockParts(codes, halves(stored[:, :2])[:, None] * scales,
                      halves(stored[:, 2:4])[:, None] * minima)


def _search_symmetric(x: FloatArray) -> tuple[FloatArray, Integers]:
    """make_qx_quants for 6 bits, weights x²: scale and signed codes of groups of 16."""
    first = np.abs(x).argmax(axis=0)
    extreme = x[first, np.arange(x.shape[1])]
    none = np.abs(extreme) < _TINY
    weights = x * x

    def trial(numerator: np.float32) -> tuple[Integers, FloatArray, FloatArray]:
        codes = np.clip(_nearest(numerator / extreme * x), -32, 31)
        c = codes.astype(np.float32)
        return codes, _sum(weights * x * c), _sum(weights * c * c)

    codes, sum_lx, sum_l2 = trial(np.float32(-32))
    scale = np.where(sum_l2 != 0, sum_lx / sum_l2, np.float32(0))
    best = scale * sum_lx
    for step in range(-9, 10):
        if step == 0:
            continue
        new, sum_lx, sum_l2 = trial(-(np.float32(32) + np.float32(0.1) * np.float32(step)))
        better = (sum_l2 > 0) & (sum_lx * sum_lx > best * sum_l2)
        codes = np.where(better, new, codes)
        scale = np.where(better, sum_lx / sum_l2, scale)
        best = np.where(better, scale * sum_lx, best)
    # The source leaves codes of -32 in groups of zeros; their scale is zero.
    codes[:, none] = -32
    return np.where(none, np.float32(0), scale), codes


def quantize_q6_k(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 210): low nibbles, upper bit pairs, sixteen signed scales, d in FP16."""
    x = _groups(blocks, 16)
    with np.errstate(all="ignore"):
        scale, codes = _search_symmetric(x)
        scale = scale.reshape(-1, 16)
        first = np.abs(scale).argmax(axis=1)[:, None]
        largest = np.take_along_axis(scale, first, axis=1)[:, 0]
        empty = np.abs(largest) < _TINY
        inverse: FloatArray = np.divide(np.float32(-128), np.where(empty, np.float32(1), largest))
        d = half_bytes(np.where(empty, np.float32(0), np.float32(1) / inverse))
        steps = np.minimum(_nearest(inverse[:, None] * scale), 127).astype(np.int8)
        unit: FloatArray = (halves(d)[:, None] * steps).reshape(-1)
        final = np.clip(_nearest(np.divide(x, unit)), -32, 31)
    q = (np.where(unit == 0, codes, final) + 32).astype(np.uint8).T.reshape(-1, 2, 4, 32)
    low = q & np.uint8(15)
    nibbles = low[:, :, :2] | low[:, :, 2:] << np.uint8(4)
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
    pairs = np.bitwise_or.reduce(q >> np.uint8(4) << shifts, axis=2)
    out = np.concatenate([nibbles.reshape(-1, 128), pairs.reshape(-1, 64), steps.view(np.uint8), d],
                         axis=1)
    out[empty] = 0
    return out


def parts_q6_k(stored: Bytes) -> BlockParts:
    """Codes as signed bytes, and the scale d·s of groups of 16."""
    nibbles = stored[:, :128].reshape(-1, 2, 2, 32)
    low = np.concatenate([nibbles & np.uint8(15), nibbles >> np.uint8(4)], axis=2)
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
    upper = stored[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & np.uint8(3)
    codes = (low | upper << np.uint8(4)) - np.uint8(32)
    steps = np.ascontiguousarray(stored[:, 192:208]).view(np.int8)
    return BlockParts(codes.reshape(-1, 256), halves(stored[:, 208:])[:, None] * steps)


def quantize_q8_k(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 292): d in FP32, 256 signed bytes, sixteen 16-bit sums of 16 of them.

    d = (first element of largest magnitude) / -127. Never in a file: activations beside K types.
    """
    first = np.abs(blocks).argmax(axis=1)[:, None]
    extreme = np.take_along_axis(blocks, first, axis=1)
    empty = extreme == 0
    with np.errstate(all="ignore"):
        inverse: FloatArray = np.divide(np.float32(-127), np.where(empty, np.float32(1), extreme))
        d = np.where(empty, np.float32(0), np.float32(1) / inverse)
        codes = np.minimum(_nearest(np.multiply(inverse, blocks)), 127)
    q = np.where(empty, 0, codes).astype(np.int8)
    sums = q.reshape(-1, 16, 16).sum(axis=2, dtype=np.int16)
    return np.concatenate([d.astype("<f4").view(np.uint8), q.view(np.uint8),
                           sums.astype("<i2").view(np.uint8)], axis=1)


def parts_q8_k(stored: Bytes) -> BlockParts:
    """Signed bytes and one FP32 scale."""
    scales = np.ascontiguousarray(stored[:, :4]).view("<f4").astype(np.float32)
    return BlockParts(np.ascontiguousarray(stored[:, 4:260]), scales)
