"""Quantisers that weigh errors by an importance matrix: types of blocks of 32, and IQ4.

Source: quantize_row_q4_0_impl, _q4_1_impl, _q5_0_impl, _q5_1_impl and quantize_row_iq4_nl_impl in
ggml/src/ggml-quants.c. An element weighs its column's importance times √(σ² + x²), where σ² is the
mean square of the whole row; of IQ4_NL twice that of the block, of IQ4_XS of the super-block.
"""

from __future__ import annotations

import numpy as np

from planner.numerics.ggml_legacy import fifth_bits, nibbles
from planner.numerics.ggml_nonlinear import iq4_nl_blocks, iq4_xs_blocks
from planner.numerics.ggml_search import groups_of, search_affine, search_symmetric
from planner.numerics.ggml_simple import Bytes, half_bytes
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


def _symmetric(rows: FloatArray, importance: FloatArray, half: int) -> tuple[Bytes, Bytes]:
    """d (n, 2) and unsigned codes (n, 32)."""
    with np.errstate(all="ignore"):
        scale, codes = search_symmetric(*_by_row(rows, importance), half)
    # The source leaves codes of zero in groups of zeros: the lowest.
    return half_bytes(scale), np.ascontiguousarray((codes + half).T).astype(np.uint8)


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
