"""Q4_K, Q5_K and Q6_K: super-blocks of 256 elements, quantised by llama.cpp's search.

Source: quantize_row_q4_K_ref, quantize_row_q5_K_ref, quantize_row_q6_K_ref and make_qx_quants in
ggml/src/ggml-quants.c. Arrays run over groups in their last axis and over the elements of a group
in their first, so that sums add up in the order of the source.

Q2_K and Q3_K: super-blocks of 256 elements in groups of 16, quantised by llama.cpp's search.

Source: quantize_row_q2_K_ref, quantize_row_q3_K_ref and make_q3_quants in ggml/src/ggml-quants.c.
Arrays run over groups in their last axis and over the elements of a group in their first.
"""

from __future__ import annotations

import numpy as np

from planner.numerics.ggml_blocks import BlockParts, Bytes, half_bytes, halves
from planner.numerics.ggml_search import (
    Integers,
    groups_of,
    nearest,
    ordered_sum,
    search_affine,
    search_symmetric,
)
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


_TINY = np.float32(1e-15)  # GROUP_MAX_EPS
_PAIRS = np.array([0, 2, 4, 6], dtype=np.uint8)
_PASSES = 5


def quantize_q2_k(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 84): sixteen 4-bit scales and minima, 256 codes of two bits, d, dmin in FP16.

    The search weighs absolute errors by |x|.
    """
    x = groups_of(blocks, 16)
    with np.errstate(all="ignore"):
        scale, low, codes = search_affine(x, np.abs(x), 3, np.float32(-0.5), 15, absolute=True)
        d, steps = _four_bits(scale.reshape(-1, 16))
        dmin, low_steps = _four_bits(low.reshape(-1, 16))
        packed = steps | low_steps << np.uint8(4)
        unit: FloatArray = (halves(d)[:, None] * (packed & np.uint8(15))).reshape(-1)
        offset = (halves(dmin)[:, None] * (packed >> np.uint8(4))).reshape(-1)
        final = np.clip(nearest(np.divide(x + offset, unit)), 0, 3)
    q = np.where(unit == 0, codes, final).astype(np.uint8).T.reshape(-1, 256)
    return np.concatenate([packed, pack_pairs(q), d, dmin], axis=1)


def _four_bits(values: FloatArray) -> tuple[Bytes, Bytes]:
    """The largest of (n, 16) over 15 as FP16 bytes (n, 2), and steps of it (n, 16)."""
    largest = values.max(axis=1, initial=0) + np.float32(0)  # no -0, as in the source
    inverse = np.where(largest > 0, np.float32(15) / largest, np.float32(0))
    steps = nearest(np.multiply(inverse[:, None], values)).astype(np.uint8)
    return half_bytes(largest / np.float32(15)), steps


def pack_pairs(q: Bytes) -> Bytes:
    """(n, 256) codes of two bits → (n, 64): in each half four rows of 32 share 32 bytes."""
    packed: Bytes = np.bitwise_or.reduce(q.reshape(-1, 2, 4, 32) << _PAIRS[:, None], axis=2)
    return packed.reshape(-1, 64)


def _unpack_pairs(packed: Bytes) -> Bytes:
    """Inverse of :func:`pack_pairs`."""
    rows: Bytes = packed.reshape(-1, 2, 1, 32) >> _PAIRS[:, None] & np.uint8(3)
    return rows.reshape(-1, 256)


def parts_q2_k(stored: Bytes) -> BlockParts:
    """Unsigned codes, and for groups of 16 the scale d·s and the minimum dmin·m."""
    packed = stored[:, :16]
    return BlockParts(
        _unpack_pairs(stored[:, 16:80]),
        halves(stored[:, 80:82])[:, None] * (packed & np.uint8(15)),
        halves(stored[:, 82:])[:, None] * (packed >> np.uint8(4)),
    )


def _search_coordinates(x: FloatArray) -> tuple[FloatArray, Integers]:
    """make_q3_quants: scale and codes -4 to 3 of groups of 16, weights x².

    Rounds once by the element of largest magnitude; then each code in turn takes the value that
    fits the scale of all the others, where that raises (Σwxl)² / Σwl², up to five times over. That
    asks for Σwxl > 0, which holds only where the element of largest magnitude is negative.
    """
    first = np.abs(x).argmax(axis=0)
    extreme = x[first, np.arange(x.shape[1])]
    none = np.abs(extreme) < _TINY
    weights = x * x
    codes = np.clip(nearest(np.divide(np.float32(-4), extreme) * x), -4, 3)
    c = codes.astype(np.float32)
    sum_lx, sum_l2 = ordered_sum(weights * x * c), ordered_sum(weights * c * c)
    for _ in range(_PASSES):
        before = codes.copy()
        for i, (value, w) in enumerate(zip(x, weights, strict=True)):
            old = codes[i].astype(np.float32)
            lx = sum_lx - w * value * old
            l2 = sum_l2 - w * old * old
            new = np.clip(nearest(value * l2 / lx), -4, 3)
            n = new.astype(np.float32)
            new_lx, new_l2 = lx + w * value * n, l2 + w * n * n
            better = (
                (lx > 0)
                & (new != codes[i])
                & (new_l2 > 0)
                & (new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2)
            )
            codes[i] = np.where(better, new, codes[i])
            sum_lx = np.where(better, new_lx, sum_lx)
            sum_l2 = np.where(better, new_l2, sum_l2)
        if (codes == before).all():
            break
    # The source leaves codes of -4 in groups of zeros; their scale is zero.
    codes[:, none] = -4
    return np.where(none, np.float32(0), sum_lx / sum_l2), codes


def quantize_q3_k(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 110): upper bits, low bit pairs, sixteen 6-bit signed scales, d in FP16."""
    x = groups_of(blocks, 16)
    with np.errstate(all="ignore"):
        scale, codes = _search_coordinates(x)
        scale = scale.reshape(-1, 16)
        first = np.abs(scale).argmax(axis=1)[:, None]
        largest = np.take_along_axis(scale, first, axis=1)
        empty = largest == 0
        inverse: FloatArray = np.divide(np.float32(-32), np.where(empty, np.float32(1), largest))
        d = half_bytes(np.where(empty, np.float32(0), np.float32(1) / inverse)[:, 0])
        signed = np.clip(nearest(inverse * scale), -32, 31)
        steps = np.where(empty, 0, signed + 32).astype(np.uint8)  # the source skips empty blocks
        q = q3_k_codes(x, codes, d, steps)
    return np.concatenate([*q, pack_six_signed(steps), d], axis=1)


def q3_k_codes(x: FloatArray, codes: Integers, d: Bytes, steps: Bytes) -> tuple[Bytes, Bytes]:
    """Upper bits (n, 32) and low bit pairs (n, 64) at the stored scales, d·(step - 32); ``codes``
    where a scale is zero."""
    unit: FloatArray = (
        (halves(d)[:, None] * (steps.astype(np.int32) - 32)).astype(np.float32).reshape(-1)
    )
    final = np.clip(nearest(np.divide(x, unit)), -4, 3)
    q = (np.where(unit == 0, codes, final) + 4).astype(np.uint8).T.reshape(-1, 256)
    upper = np.bitwise_or.reduce(q.reshape(-1, 8, 32) >> np.uint8(2) << _EIGHT, axis=1)
    return upper, pack_pairs(q & np.uint8(3))


def pack_six_signed(steps: Bytes) -> Bytes:
    """Sixteen scales of six bits in twelve bytes: nibbles of two, then upper pairs of four."""
    low = steps & np.uint8(15)
    upper = (steps >> np.uint8(4)).reshape(-1, 4, 4) << _PAIRS[:, None]
    return np.concatenate(
        [low[:, :8] | low[:, 8:] << np.uint8(4), np.bitwise_or.reduce(upper, axis=1)], axis=1
    )


def parts_q3_k(stored: Bytes) -> BlockParts:
    """Codes as signed bytes, and the scale d·(s - 32) of groups of 16."""
    upper = (stored[:, None, :32] >> _EIGHT & np.uint8(1)).reshape(-1, 256)
    codes = (_unpack_pairs(stored[:, 32:96]) | upper << np.uint8(2)) - np.uint8(4)
    nibbles, pairs = stored[:, 96:104], stored[:, None, 104:108]
    low = np.concatenate([nibbles & np.uint8(15), nibbles >> np.uint8(4)], axis=1)
    high = (pairs >> _PAIRS[:, None] & np.uint8(3)).reshape(-1, 16)
    steps = (low | high << np.uint8(4)).astype(np.float32) - np.float32(32)
    return BlockParts(codes, halves(stored[:, 108:])[:, None] * steps)
