"""IQ3_XXS and IQ3_S: magnitudes as points of a lattice of four coordinates, signs apart.

Source: quantize_row_iq3_xxs_impl and quantize_row_iq3_s_impl in ggml/src/ggml-quants.c. Without an
importance matrix elements weigh x².
"""

from __future__ import annotations

import numpy as np

from planner.numerics.ggml_iq_grids import grid
from planner.numerics.ggml_iq_search import (
    Trials,
    even_signs,
    four_bits,
    search,
    signs_of,
    with_signs,
)
from planner.numerics.ggml_search import groups_of, ordered_sum
from planner.numerics.ggml_simple import Bytes, half_bytes
from planner.numerics.tiles import FloatArray

_TINY = np.float32(1e-8)  # GROUP_MAX_EPS_IQ3_XXS


def _weights(blocks: FloatArray, importance: FloatArray | None) -> FloatArray:
    """(n, 256): importance · √(2·mean x² + x²), or x² without a matrix."""
    squares: FloatArray = blocks * blocks
    if importance is None:
        return squares
    sigma2 = np.float32(2) * ordered_sum(np.ascontiguousarray(squares.T)) / np.float32(256)
    weights: FloatArray = importance * np.sqrt(sigma2[:, None] + squares)
    return weights


def quantize_iq3_xxs(blocks: FloatArray, importance: FloatArray | None = None) -> Bytes:
    """(n, 256) → (n, 98): d in FP16, 64 indices of a byte, eight words of four times seven signs
    and a 4-bit scale."""
    with np.errstate(all="ignore"):
        weights = _weights(blocks, importance)
        x, signs = even_signs(blocks, weights)
        groups = groups_of(x, 32)
        reach = groups.max(axis=0)
        scale, index = search(
            groups, groups_of(weights, 32), grid("iq3_xxs"), Trials(15, 0.2), reach
        )
        empty = (reach < _TINY).reshape(-1, 8)
        scale = np.where(empty, np.float32(0), scale.reshape(-1, 8))
        largest = scale.max(axis=1)
        d = half_bytes(
            np.where(largest > 0, largest / np.float32(31) * np.float32(1.0125), np.float32(0))
        )
        steps = four_bits(scale, largest)
    points = np.where(empty[:, :, None], 0, index.T.reshape(-1, 8, 8)).astype(np.uint8)
    words = with_signs(np.where(np.repeat(empty, 4, axis=1), 0, signs), steps)
    return np.concatenate([d, points.reshape(-1, 64), words], axis=1)


def quantize_iq3_s(blocks: FloatArray, importance: FloatArray | None = None) -> Bytes:
    """(n, 256) → (n, 110): d in FP16, low bytes of 64 indices, their ninth bits, 256 signs, eight
    4-bit scales.

    As in the source, a group of zeros takes no place among the indices and signs: those of the
    groups after it move up, where decoding does not look for them.
    """
    with np.errstate(all="ignore"):
        weights = groups_of(_weights(blocks, importance), 32)
        groups = groups_of(np.abs(blocks), 32)
        reach = groups.max(axis=0)
        scale, index = search(groups, weights, grid("iq3_s"), Trials(9, 0.2, "any"), reach)
        empty = (reach == 0).reshape(-1, 8)
        scale = np.where(empty, np.float32(0), scale.reshape(-1, 8))
        largest = scale.max(axis=1)
        d = half_bytes(
            np.where(largest > 0, largest / np.float32(31) * np.float32(1.033), np.float32(0))
        )
        steps = four_bits(scale, largest)
    points = np.where(empty[:, :, None], 0, index.T.reshape(-1, 8, 8)).astype(np.uint16)
    order = np.argsort(empty, axis=1, kind="stable")[:, :, None]
    signs = np.where(empty[:, :, None], 0, signs_of(blocks).reshape(-1, 8, 4)).astype(np.uint8)
    low = np.take_along_axis(points.astype(np.uint8), order, axis=1)
    upper = np.packbits(points > 255, axis=2, bitorder="little")
    return np.concatenate(
        [
            d,
            low.reshape(-1, 64),
            upper.reshape(-1, 8),
            np.take_along_axis(signs, order, axis=1).reshape(-1, 32),
            steps[:, ::2] | steps[:, 1::2] << np.uint8(4),
        ],
        axis=1,
    )
