"""What llama.cpp's quantisers of super-blocks share: rounding, ordered sums, the affine search.

Source: nearest_int and make_qkx2_quants in ggml/src/ggml-quants.c. Arrays run over groups in their
last axis and over the elements of a group in their first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.tiles import FloatArray

Integers = npt.NDArray[np.int32]


def nearest(x: FloatArray) -> Integers:
    """To nearest even through the bits of x + 1.5·2^23, as the source does, range errors too."""
    bits = (x + np.float32(12582912.0)).view(np.int32)
    return (bits & np.int32(0x7FFFFF)) - np.int32(0x400000)


def ordered_sum(rows: FloatArray) -> FloatArray:
    """Over the first axis, one after the other."""
    total: FloatArray = rows[0].copy()
    for row in rows[1:]:
        total += row
    return total


def groups_of(blocks: FloatArray, size: int) -> FloatArray:
    """(super-blocks, 256) → (size, all groups)."""
    return np.ascontiguousarray(blocks.reshape(-1, size).T)


def search_affine(
    x: FloatArray, weights: FloatArray, top: int, first: np.float32, steps: int,
    absolute: bool = False,
) -> tuple[FloatArray, FloatArray, Integers]:
    """make_qkx2_quants: scale, minimum (to subtract) and codes 0 to ``top`` of each group.

    ``x`` and ``weights`` (size, groups). Steps of 0.1 from ``first`` widen the range that codes
    divide; the trial with the least weighted error stays, of squares or of ``absolute`` values.
    """
    limit = np.float32(top)
    low, high = np.minimum(x.min(axis=0), np.float32(0)), x.max(axis=0)
    flat, first_low = high == low, low
    sum_w, sum_x = ordered_sum(weights), ordered_sum(weights * x)
    inverse: FloatArray = limit / (high - low)
    scale: FloatArray = np.float32(1) / inverse
    codes = np.clip(nearest(inverse * (x - low)), 0, top)
    best = _error(x, weights, scale, low, codes, absolute)
    for step in range(steps + 1):
        start = first + np.float32(0.1) * np.float32(step) + limit
        trial = np.clip(nearest(start / (high - low) * (x - low)), 0, top)
        new_scale, new_low, fits = _fit(x, weights, trial, sum_w, sum_x)
        error = _error(x, weights, new_scale, new_low, trial, absolute)
        better = fits & (error < best)
        codes = np.where(better, trial, codes)
        best = np.where(better, error, best)
        scale = np.where(better, new_scale, scale)
        low = np.where(better, new_low, low)
    codes[:, flat] = 0
    return np.where(flat, np.float32(0), scale), -np.where(flat, first_low, low), codes


def _fit(
    x: FloatArray, weights: FloatArray, trial: Integers, sum_w: FloatArray, sum_x: FloatArray
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Least squares for given codes: scale, minimum (at most 0), and where there is a solution."""
    t = trial.astype(np.float32)
    weighted = weights * t
    sum_l, sum_l2 = ordered_sum(weighted), ordered_sum(weighted * t)
    sum_xl = ordered_sum(weighted * x)
    d = sum_w * sum_l2 - sum_l * sum_l
    scale = np.divide(sum_w * sum_xl - sum_x * sum_l, d)
    low = np.divide(sum_l2 * sum_x - sum_l * sum_xl, d)
    positive = low > 0
    return (np.where(positive, sum_xl / sum_l2, scale), np.where(positive, np.float32(0), low),
            d > 0)


def _error(
    x: FloatArray, weights: FloatArray, scale: FloatArray, low: FloatArray, codes: Integers,
    absolute: bool,
) -> FloatArray:
    difference = scale * codes.astype(np.float32) + low - x
    return ordered_sum(weights * (np.abs(difference) if absolute else difference * difference))
