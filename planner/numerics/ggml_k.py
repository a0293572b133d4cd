"""Q4_K, Q5_K and Q6_K: super-blocks of 256 elements, quantised by llama.cpp's search.

Source: quantize_row_q4_K_ref, quantize_row_q5_K_ref, quantize_row_q6_K_ref and make_qx_quants in
ggml/src/ggml-quants.c. Arrays run over groups in their last axis and over the elements of a group
in their first, so that sums add up in the order of the source.
"""

from __future__ import annotations

import numpy as np

from planner.numerics.ggml_search import (
    groups_of,
    nearest,
    ordered_sum,
    search_affine,
    search_symmetric,
)
from planner.numerics.ggml_simple import BlockParts, Bytes, half_bytes, halves
from planner.numerics.tiles import FloatArray

_TINY = np.float32(1e-15)  # GROUP_MAX_EPS
_EIGHT = np.arange(8, dtype=np.uint8)[:, None]


def quantize_q4_k(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 144): d, dmin in FP16, eight 6-bit scales and minima, 256 nibbles."""
    return _affine_blocks(blocks, 15, np.float32(-1), 20)


def quantize_q5_k(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 176): as Q4_K, with the fifth bits (bit g of byte j: element 32·g + j) before
    the nibbles."""
    return _affine_blocks(blocks, 31, np.float32(-0.5), 15)


def affine_parts(d: Bytes, dmin: Bytes, packed: Bytes, q: Bytes, top: int) -> Bytes:
    """Blocks of Q4_K (``top`` 15) or Q5_K (31): d and dmin (n, 2), packed scales and minima
    (n, 12), codes (n, 8, 32)."""
    upper = [] if top == 15 else [np.bitwise_or.reduce(q >> np.uint8(4) << _EIGHT, axis=1)]
    return np.concatenate([d, dmin, packed, *upper, _nibble_pairs(q & np.uint8(15))], axis=1)


def _affine_blocks(blocks: FloatArray, top: int, first: np.float32, steps: int) -> Bytes:
    """Blocks of Q4_K and Q5_K."""
    x = groups_of(blocks, 32)
    with np.errstate(all="ignore"):
        weights = np.sqrt(ordered_sum(x * x) / np.float32(32)) + np.abs(x)
        scale, low, codes = search_affine(x, weights, top, first, steps)
        scale, low = scale.reshape(-1, 8), low.reshape(-1, 8)
        max_scale = scale.max(axis=1, initial=0) + np.float32(0)  # no -0, as in the source
        max_low = low.max(axis=1, initial=0) + np.float32(0)
        scale_steps = _six_bits(scale, max_scale)
        low_steps = _six_bits(low, max_low)
        d = half_bytes(max_scale / np.float32(63))
        dmin = half_bytes(max_low / np.float32(63))
        unit: FloatArray = (halves(d)[:, None] * scale_steps).reshape(-1)
        offset = (halves(dmin)[:, None] * low_steps).reshape(-1)
        final = np.clip(nearest(np.divide(x + offset, unit)), 0, top)
    q = np.where(unit == 0, codes, final).astype(np.uint8).T.reshape(-1, 8, 32)
    return affine_parts(d, dmin, pack_six(scale_steps, low_steps), q, top)


def _nibble_pairs(q: Bytes) -> Bytes:
    """(n, 8, 32) codes below 16 → (n, 128): of two rows one in the low, one in the high nibbles."""
    pairs = q.reshape(-1, 4, 2, 32)
    return (pairs[:, :, 0] | pairs[:, :, 1] << np.uint8(4)).reshape(-1, 128)


def _six_bits(values: FloatArray, largest: FloatArray) -> Bytes:
    inverse = np.where(largest > 0, np.float32(63) / largest, np.float32(0))
    steps = nearest(np.multiply(inverse[:, None], values)).astype(np.uint8)
    return np.minimum(steps, np.uint8(63))


def pack_six(scales: Bytes, minima: Bytes) -> Bytes:
    """Eight scales and eight minima of six bits in twelve bytes (n, 12)."""
    four, two, six = np.uint8(4), np.uint8(15), np.uint8(6)
    last_s, last_m = scales[:, 4:], minima[:, 4:]
    return np.concatenate(
        [
            scales[:, :4] | last_s >> four << six,
            minima[:, :4] | last_m >> four << six,
            last_s & two | (last_m & two) << four,
        ],
        axis=1,
    )


def unpack_six(packed: Bytes) -> tuple[Bytes, Bytes]:
    """Inverse of :func:`pack_six`."""
    six, four, low = np.uint8(6), np.uint8(4), np.uint8(15)
    a, b, c = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([a & np.uint8(63), c & low | a >> six << four], axis=1)
    minima = np.concatenate([b & np.uint8(63), c >> four | b >> six << four], axis=1)
    return scales, minima


def parts_q4_k(stored: Bytes) -> BlockParts:
    """Unsigned codes, and for groups of 32 the scale d·s and the minimum dmin·m."""
    scales, minima = unpack_six(stored[:, 4:16])
    return BlockParts(
        _unpaired(stored[:, 16:]),
        halves(stored[:, :2])[:, None] * scales,
        halves(stored[:, 2:4])[:, None] * minima,
    )


def parts_q5_k(stored: Bytes) -> BlockParts:
    """As those of Q4_K, with codes of five bits."""
    scales, minima = unpack_six(stored[:, 4:16])
    upper = (stored[:, None, 16:48] >> _EIGHT & np.uint8(1)).reshape(-1, 256)
    return BlockParts(
        _unpaired(stored[:, 48:]) | upper << np.uint8(4),
        halves(stored[:, :2])[:, None] * scales,
        halves(stored[:, 2:4])[:, None] * minima,
    )


def _unpaired(nibbles: Bytes) -> Bytes:
    """Inverse of :func:`_nibble_pairs`: (n, 128) → (n, 256)."""
    q = nibbles.reshape(-1, 4, 1, 32)
    return np.concatenate([q & np.uint8(15), q >> np.uint8(4)], axis=2).reshape(-1, 256)


def quantize_q6_k(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 210): low nibbles, upper bit pairs, sixteen signed scales, d in FP16."""
    return q6_k_blocks(blocks, blocks * blocks)


def q6_k_blocks(blocks: FloatArray, weights: FloatArray) -> Bytes:
    """As :func:`quantize_q6_k` with the weight of each element."""
    x = groups_of(blocks, 16)
    with np.errstate(all="ignore"):
        scale, codes = search_symmetric(x, groups_of(weights, 16), 32)
        scale = scale.reshape(-1, 16)
        first = np.abs(scale).argmax(axis=1)[:, None]
        largest = np.take_along_axis(scale, first, axis=1)[:, 0]
        empty = np.abs(largest) < _TINY
        inverse: FloatArray = np.divide(np.float32(-128), np.where(empty, np.float32(1), largest))
        d = half_bytes(np.where(empty, np.float32(0), np.float32(1) / inverse))
        steps = np.minimum(nearest(inverse[:, None] * scale), 127).astype(np.int8)
        unit: FloatArray = (halves(d)[:, None] * steps).reshape(-1)
        final = np.clip(nearest(np.divide(x, unit)), -32, 31)
    q = (np.where(unit == 0, codes, final) + 32).astype(np.uint8).T.reshape(-1, 2, 4, 32)
    low = q & np.uint8(15)
    nibbles = low[:, :, :2] | low[:, :, 2:] << np.uint8(4)
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
    pairs = np.bitwise_or.reduce(q >> np.uint8(4) << shifts, axis=2)
    out = np.concatenate(
        [nibbles.reshape(-1, 128), pairs.reshape(-1, 64), steps.view(np.uint8), d], axis=1
    )
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
        codes = np.minimum(nearest(np.multiply(inverse, blocks)), 127)
    q = np.where(empty, 0, codes).astype(np.int8)
    sums = q.reshape(-1, 16, 16).sum(axis=2, dtype=np.int16)
    return np.concatenate(
        [d.astype("<f4").view(np.uint8), q.view(np.uint8), sums.astype("<i2").view(np.uint8)],
        axis=1,
    )


def parts_q8_k(stored: Bytes) -> BlockParts:
    """Signed bytes and one FP32 scale."""
    scales = np.ascontiguousarray(stored[:, :4]).view("<f4").astype(np.float32)
    return BlockParts(np.ascontiguousarray(stored[:, 4:260]), scales)
