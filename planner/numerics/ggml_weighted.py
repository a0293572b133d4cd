"""Quantisers that weigh errors by an importance matrix: types of blocks of 32, and IQ4.

Source: quantize_row_q4_0_impl, _q4_1_impl, _q5_0_impl, _q5_1_impl and quantize_row_iq4_nl_impl in
ggml/src/ggml-quants.c. An element weighs its column's importance times √(σ² + x²), where σ² is the
mean square of the whole row; of IQ4_NL twice that of the block, of IQ4_XS of the super-block.

Q2_K to Q6_K with an importance matrix.

Source: quantize_row_q2_K_impl to quantize_row_q6_K_impl in ggml/src/ggml-quants.c. An element
weighs its column's importance times √(σ² + x²) with σ² twice the mean x² of its super-block (Q2_K:
once); in Q6_K its importance alone. Scales and minima of groups are fitted too, each weighing what
its elements do.
"""

from __future__ import annotations

import numpy as np

from planner.numerics.ggml_blocks import Bytes, fifth_bits, half_bytes, halves, nibbles
from planner.numerics.ggml_k import (
    affine_parts,
    pack_pairs,
    pack_six,
    pack_six_signed,
    q3_k_codes,
    q6_k_blocks,
    unpack_six,
)
from planner.numerics.ggml_nonlinear import iq4_nl_blocks, iq4_xs_blocks
from planner.numerics.ggml_search import (
    Integers,
    groups_of,
    nearest,
    ordered_sum,
    search_affine,
    search_positive,
    search_symmetric,
)
from planner.numerics.tiles import FloatArray

FIRST, WIDTH, STEPS = np.float32(-0.9), 0.05, 36
"""Trials of the affine search that every weighted quantiser makes."""


def blocks_of(rows: FloatArray, importance: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Rows (r, columns) and the importance of each element as blocks (n, size)."""
    return rows.reshape(-1, size), np.broadcast_to(importance, rows.shape).reshape(-1, size)


def mean_squares(rows: FloatArray, factor: int = 1) -> FloatArray:
    """``factor`` times the mean x² of each row (r,), summed in order."""
    total: FloatArray = np.add.accumulate(rows * rows, axis=1)[:, -1]
    return np.float32(factor) * total / np.float32(rows.shape[1])


def weighed(blocks: FloatArray, importance: FloatArray, sigma2: FloatArray) -> FloatArray:
    """importance · √(σ² + x²) of blocks (n, size)."""
    weights: FloatArray = importance * np.sqrt(sigma2[:, None] + blocks * blocks)
    return weights


def _by_row(rows: FloatArray, importance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Groups of 32 and their weights (32, groups), σ² of whole rows."""
    blocks, columns = blocks_of(rows, importance, 32)
    sigma2 = np.repeat(mean_squares(rows), rows.shape[1] // 32)
    return groups_of(blocks, 32), groups_of(weighed(blocks, columns, sigma2), 32)


def _symmetric(rows: FloatArray, importance: FloatArray, levels: int) -> tuple[Bytes, Bytes]:
    """d (n, 2) and unsigned codes (n, 32)."""
    with np.errstate(all="ignore"):
        scale, codes = search_symmetric(*_by_row(rows, importance), levels)
    # The source leaves codes of zero in groups of zeros: the lowest.
    return half_bytes(scale), np.ascontiguousarray((codes + levels).T).astype(np.uint8)


def _affine(rows: FloatArray, importance: FloatArray, top: int) -> tuple[Bytes, Bytes, Bytes]:
    """d and m (n, 2) and codes (n, 32)."""
    with np.errstate(all="ignore"):
        scale, low, codes = search_affine(
            *_by_row(rows, importance), top, FIRST, STEPS, width=WIDTH
        )
    return half_bytes(scale), half_bytes(-low), np.ascontiguousarray(codes.T).astype(np.uint8)


def _rows(rows: FloatArray, *parts: Bytes) -> Bytes:
    return np.concatenate(parts, axis=1).reshape(len(rows), -1)


def weighted_q4_0(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 32 · 18)."""
    d, q = _symmetric(rows, importance, 8)
    return _rows(rows, d, nibbles(q))


def weighted_q5_0(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 32 · 22)."""
    d, q = _symmetric(rows, importance, 16)
    return _rows(rows, d, fifth_bits(q), nibbles(q))


def weighted_q4_1(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 32 · 20)."""
    d, m, q = _affine(rows, importance, 15)
    return _rows(rows, d, m, nibbles(q))


def weighted_q5_1(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 32 · 24)."""
    d, m, q = _affine(rows, importance, 31)
    return _rows(rows, d, m, fifth_bits(q), nibbles(q))


def weighted_iq4_nl(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 32 · 18)."""
    blocks, columns = blocks_of(rows, importance, 32)
    weights = weighed(blocks, columns, mean_squares(blocks, 2))
    return iq4_nl_blocks(blocks, weights).reshape(len(rows), -1)


def weighted_iq4_xs(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 256 · 136)."""
    blocks, columns = blocks_of(rows, importance, 256)
    weights = weighed(blocks, columns, mean_squares(blocks, 2))
    return iq4_xs_blocks(blocks, weights).reshape(len(rows), -1)


def _groups(
    rows: FloatArray,
    importance: FloatArray,
    size: int,
    factor: int = 2,
) -> tuple[FloatArray, FloatArray]:
    """Groups of ``size`` and their weights, (size, groups)."""
    blocks, columns = blocks_of(rows, importance, 256)
    weights = weighed(blocks, columns, mean_squares(blocks, factor))
    return groups_of(blocks, size), groups_of(weights, size)


def _of_blocks(values: FloatArray, size: int) -> FloatArray:
    """(groups,) → (256 / size, super-blocks)."""
    return np.ascontiguousarray(values.reshape(-1, 256 // size).T)


def _affine_k(
    rows: FloatArray, importance: FloatArray, size: int, top: int, top_scale: int, factor: int = 2
) -> tuple[FloatArray, Integers, Bytes, Bytes, Bytes, Bytes]:
    """x and first codes (size, groups); d and dmin (n, 2), steps and low steps (n, groups)."""
    x, weights = _groups(rows, importance, size, factor)
    scale, low, codes = search_affine(x, weights, top, FIRST, STEPS, width=WIDTH)
    total = _of_blocks(ordered_sum(weights), size)
    d, steps = search_positive(_of_blocks(scale, size), total, top_scale)
    dmin, low_steps = search_positive(_of_blocks(low, size), total, top_scale)
    return x, codes, half_bytes(d), half_bytes(dmin), steps.T.copy(), low_steps.T.copy()


def _final(x: FloatArray, codes: Integers, unit: FloatArray, offset: FloatArray, top: int) -> Bytes:
    """Codes (groups, size) at the stored scales; the first where a scale is zero."""
    final = np.clip(nearest(np.divide(x + offset, unit)), 0, top)
    return np.where(unit == 0, codes, final).astype(np.uint8).T


def weighted_q2_k(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 256 · 84)."""
    with np.errstate(all="ignore"):
        x, codes, d, dmin, steps, low = _affine_k(rows, importance, 16, 3, 15, factor=1)
        packed = steps | low << np.uint8(4)
        unit = (halves(d)[:, None] * (packed & np.uint8(15))).reshape(-1)
        offset = (halves(dmin)[:, None] * (packed >> np.uint8(4))).reshape(-1)
        q = _final(x, codes, unit, offset, 3).reshape(-1, 256)
    return np.concatenate([packed, pack_pairs(q), d, dmin], axis=1).reshape(len(rows), -1)


def weighted_q3_k(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 256 · 110)."""
    with np.errstate(all="ignore"):
        x, weights = _groups(rows, importance, 16)
        scale, codes = search_symmetric(x, weights, 4)
        total = _of_blocks(ordered_sum(weights), 16)
        d, signed = search_symmetric(_of_blocks(scale, 16), total, 32)
        stored, steps = half_bytes(d), (signed + 32).T.astype(np.uint8)
        q = q3_k_codes(x, codes, stored, steps)
    return np.concatenate([*q, pack_six_signed(steps), stored], axis=1).reshape(len(rows), -1)


def weighted_q4_k(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 256 · 144)."""
    return _four_or_five(rows, importance, 15)


def weighted_q5_k(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 256 · 176)."""
    return _four_or_five(rows, importance, 31)


def _four_or_five(rows: FloatArray, importance: FloatArray, top: int) -> Bytes:
    with np.errstate(all="ignore"):
        x, codes, d, dmin, steps, low = _affine_k(rows, importance, 32, top, 63)
        if top == 31:
            steps, low = np.minimum(steps, np.uint8(63)), np.minimum(low, np.uint8(63))
        packed = pack_six(steps, low)
        steps, low = unpack_six(packed)  # a negative step does not fit six bits
        unit = (halves(d)[:, None] * steps).reshape(-1)
        offset = (halves(dmin)[:, None] * low).reshape(-1)
        q = _final(x, codes, unit, offset, top).reshape(-1, 8, 32)
    return affine_parts(d, dmin, packed, q, top).reshape(len(rows), -1)


def weighted_q6_k(rows: FloatArray, importance: FloatArray) -> Bytes:
    """(r, columns) → (r, columns / 256 · 210)."""
    blocks, columns = blocks_of(rows, importance, 256)
    return q6_k_blocks(blocks, columns).reshape(len(rows), -1)
