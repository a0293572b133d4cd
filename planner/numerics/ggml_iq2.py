"""IQ2_XXS, IQ2_XS and IQ2_S: magnitudes as points of a lattice of eight coordinates, signs apart.

Source: quantize_row_iq2_xxs_impl, quantize_row_iq2_xs_impl and quantize_row_iq2_s_impl in
ggml/src/ggml-quants.c. The first two need an importance matrix; without one elements of IQ2_S weigh
half the mean x² and x².
"""

from __future__ import annotations

import numpy as np

from planner.numerics.ggml_iq_grids import Index, grid
from planner.numerics.ggml_iq_search import (
    Trials,
    even_signs,
    four_bits,
    search,
    signs_of,
    with_signs,
)
from planner.numerics.ggml_search import TINY, groups_of, ordered_sum, search_positive
from planner.numerics.ggml_simple import Bytes, half_bytes
from planner.numerics.tiles import FloatArray

_TINY_S = np.float32(1e-8)  # GROUP_MAX_EPS_IQ2_S
_ZERO = np.float32(0)


def _weights(blocks: FloatArray, importance: FloatArray) -> FloatArray:
    """(n, 256): importance · √(mean x² + x²)."""
    squares: FloatArray = blocks * blocks
    sigma2 = ordered_sum(np.ascontiguousarray(squares.T)) / np.float32(256)
    weights: FloatArray = importance * np.sqrt(sigma2[:, None] + squares)
    return weights


def quantize_iq2_xxs(blocks: FloatArray, importance: FloatArray) -> Bytes:
    """(n, 256) → (n, 66): d in FP16, eight times four indices of a byte and a word of four times
    seven signs and a 4-bit scale."""
    with np.errstate(all="ignore"):
        weights = _weights(blocks, importance)
        x, signs = even_signs(blocks, weights)
        groups, weights = groups_of(x, 32), groups_of(weights, 32)
        first, _ = search_positive(groups, weights, 4)
        reach = first * np.float32(3)
        scale, index = search(groups, weights, grid("iq2_xxs"), Trials(6, 0.1, "all"), reach, first)
        empty = ((groups.max(axis=0) < TINY) | (reach <= 0)).reshape(-1, 8)
        scale, signs = _made_positive(np.where(empty, _ZERO, scale.reshape(-1, 8)), signs, 127)
        largest = scale.max(axis=1)
        d, steps = half_bytes(largest / np.float32(31)), four_bits(scale, largest)
    points = np.where(empty[:, :, None], 0, index.T.reshape(-1, 8, 4)).astype(np.uint8)
    words = with_signs(np.where(np.repeat(empty, 4, axis=1), 0, signs), steps)
    both = np.concatenate([points, words.reshape(-1, 8, 4)], axis=2)
    return np.concatenate([d, both.reshape(-1, 64)], axis=1)


def _made_positive(scale: FloatArray, signs: Bytes, mask: int) -> tuple[FloatArray, Bytes]:
    """Scales as magnitudes, and the signs of negative ones turned."""
    turned = np.repeat(scale < 0, signs.shape[1] // scale.shape[1], axis=1)
    return np.abs(scale), np.where(turned, ~signs & np.uint8(mask), signs)


def quantize_iq2_xs(blocks: FloatArray, importance: FloatArray) -> Bytes:
    """(n, 256) → (n, 74): d in FP16, 32 words of nine bits of index and seven signs, sixteen 4-bit
    scales."""
    with np.errstate(all="ignore"):
        weights = _weights(blocks, importance)
        x, signs = even_signs(blocks, weights)
        groups = groups_of(x, 16)
        reach = groups.max(axis=0)
        scale, index = search(groups, groups_of(weights, 16), grid("iq2_xs"), Trials(9, 0.1), reach)
        empty = (reach < TINY).reshape(-1, 16)
        scale, signs = _made_positive(np.where(empty, _ZERO, scale.reshape(-1, 16)), signs, 127)
        largest = scale.max(axis=1)
        d, steps = half_bytes(largest / np.float32(31)), four_bits(scale, largest)
    words = _points(index) | signs.astype(np.uint16) << np.uint16(9)
    words[np.repeat(empty, 2, axis=1)] = 0
    return np.concatenate([d, words.astype("<u2").view(np.uint8), _paired(steps)], axis=1)


def _points(index: Index) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    """(2, groups) → (n, 32)."""
    return index.T.reshape(-1, 32).astype(np.uint16)


def _paired(steps: Bytes) -> Bytes:
    return steps[:, ::2] | steps[:, 1::2] << np.uint8(4)


def quantize_iq2_s(blocks: FloatArray, importance: FloatArray | None = None) -> Bytes:
    """(n, 256) → (n, 82): d in FP16, low bytes of 32 indices, 256 signs, upper bit pairs, sixteen
    4-bit scales."""
    with np.errstate(all="ignore"):
        squares: FloatArray = blocks * blocks
        sigma2 = np.float32(2) * ordered_sum(np.ascontiguousarray(squares.T)) / np.float32(256)
        weights = (
            np.float32(0.25) * sigma2[:, None] + squares
            if importance is None
            else importance * np.sqrt(sigma2[:, None] + squares)
        )
        groups = groups_of(np.abs(blocks), 16)
        reach = groups.max(axis=0)
        scale, index = search(groups, groups_of(weights, 16), grid("iq2_s"), Trials(9, 0.1), reach)
        empty = (reach < _TINY_S).reshape(-1, 16)
        scale = np.where(empty, _ZERO, scale.reshape(-1, 16))
        largest = scale.max(axis=1)
        d = half_bytes(np.where(largest > 0, largest / np.float32(31) * np.float32(0.9875), _ZERO))
        steps = four_bits(scale, largest)
    twice = np.repeat(empty, 2, axis=1)
    points = np.where(twice, 0, _points(index))
    upper = (points >> np.uint16(8)).astype(np.uint8).reshape(-1, 8, 4)
    packed = np.bitwise_or.reduce(upper << np.array([0, 2, 4, 6], dtype=np.uint8), axis=2)
    signs = np.where(twice, 0, signs_of(blocks)).astype(np.uint8)
    return np.concatenate([d, points.astype(np.uint8), signs, packed, _paired(steps)], axis=1)
