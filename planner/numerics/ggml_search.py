"""What llama.cpp's quantisers of super-blocks share: rounding, ordered sums, searches of scales.

Source: nearest_int, make_qx_quants, make_qp_quants, make_qkx2_quants and make_qkx3_quants in
ggml/src/ggml-quants.c. Arrays run over groups in their last axis and over the elements of a group
in their first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.tiles import FloatArray

Integers = npt.NDArray[np.int32]
TINY = np.float32(1e-15)  # GROUP_MAX_EPS
_TENTH = np.float32(0.1)
_PASSES = 5


def nearest(x: FloatArray) -> Integers:
    """To nearest even (any shape) through the bits of x + 1.5·2^23, as the source does, range
    errors too."""
    bits = (x + np.float32(12582912.0)).view(np.int32)
    return (bits & np.int32(0x7FFFFF)) - np.int32(0x400000)


def ordered_sum(rows: FloatArray) -> FloatArray:
    """Over the first axis, one after the other."""
    total: FloatArray = rows[0].copy()
    for row in rows[1:]:
        total += row
    return total


def first_least(x: FloatArray) -> FloatArray:
    """The least of each group (size, groups): of zeros of both signs the first, as in the
    source."""
    least: FloatArray = x[x.argmin(axis=0), np.arange(x.shape[1])]
    return least


def groups_of(blocks: FloatArray, size: int) -> FloatArray:
    """(super-blocks, 256) → (size, all groups)."""
    return np.ascontiguousarray(blocks.reshape(-1, size).T)


def search_affine(
    x: FloatArray,
    weights: FloatArray,
    top: int,
    first: np.float32,
    steps: int,
    absolute: bool = False,
    width: float = 0.1,
) -> tuple[FloatArray, FloatArray, Integers]:
    """make_qkx2_quants, make_qkx3_quants: scale, minimum (to subtract), codes 0 to ``top``.

    ``x`` and ``weights`` (size, groups). Steps of ``width`` from ``first`` widen the range that
    codes divide; the trial with the least weighted error stays, of squares or of ``absolute``
    values.
    """
    limit = np.float32(top)
    low, high = first_least(x), x.max(axis=0)
    low = np.where(low > 0, np.float32(0), low)
    flat, first_low = high == low, low
    sum_w, sum_x = ordered_sum(weights), ordered_sum(weights * x)
    inverse: FloatArray = limit / (high - low)
    scale: FloatArray = np.float32(1) / inverse
    codes = np.clip(nearest(inverse * (x - low)), 0, top)
    best = _error(x, weights, scale, low, codes, absolute)
    for step in range(steps + 1):
        start = first + np.float32(width) * np.float32(step) + limit
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
    return (
        np.where(positive, sum_xl / sum_l2, scale),
        np.where(positive, np.float32(0), low),
        d > 0,
    )


def _error(
    x: FloatArray,
    weights: FloatArray,
    scale: FloatArray,
    low: FloatArray,
    codes: Integers,
    absolute: bool,
) -> FloatArray:
    difference = scale * codes.astype(np.float32) + low - x
    return ordered_sum(weights * (np.abs(difference) if absolute else difference * difference))


def search_symmetric(
    x: FloatArray, weights: FloatArray, levels: int
) -> tuple[FloatArray, Integers]:
    """make_qx_quants: scale and signed codes, -``levels`` to levels - 1, of each group (size,
    groups).

    The element of largest magnitude stands for -half, and for somewhat more and less in eighteen
    more trials; that with the largest (Σwxl)² / Σwl² stays.
    """
    first = np.abs(x).argmax(axis=0)
    extreme = x[first, np.arange(x.shape[1])]
    none = np.abs(extreme) < TINY

    def trial(numerator: np.float32) -> tuple[Integers, FloatArray, FloatArray]:
        codes = np.clip(nearest(numerator / extreme * x), -levels, levels - 1)
        c = codes.astype(np.float32)
        return codes, ordered_sum(weights * x * c), ordered_sum(weights * c * c)

    codes, sum_lx, sum_l2 = trial(np.float32(-levels))
    scale = np.where(sum_l2 != 0, sum_lx / sum_l2, np.float32(0))
    best = scale * sum_lx
    for step in range(-9, 10):
        if step == 0:
            continue
        new, sum_lx, sum_l2 = trial(-(np.float32(levels) + _TENTH * np.float32(step)))
        better = (sum_l2 > 0) & (sum_lx * sum_lx > best * sum_l2)
        codes = np.where(better, new, codes)
        scale = np.where(better, sum_lx / sum_l2, scale)
        best = np.where(better, scale * sum_lx, best)
    # The source leaves codes of -half in groups of zeros; their scale is zero.
    codes[:, none] = -levels
    return np.where(none, np.float32(0), scale), codes


def search_positive(
    x: FloatArray, weights: FloatArray, top: int
) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """make_qp_quants: scale and codes 0 to ``top`` of each group (size, groups).

    Nine inverse scales around top / maximum are tried; then each code in turn takes the value that
    fits the scale of all the others, where that raises (Σwxl)² / Σwl², up to five times over. Codes
    are kept in bytes as in the source, so that a negative one wraps.
    """
    largest = np.maximum(x.max(axis=0), np.float32(0))
    none = largest < TINY
    limit = np.float32(top)
    inverse: FloatArray = limit / largest
    codes = nearest(inverse * x).astype(np.uint8)
    best = _distance(x, weights, np.float32(1) / inverse, codes.astype(np.float32))
    for step in (-4, -3, -2, -1, 1, 2, 3, 4):
        new: FloatArray = (_TENTH * np.float32(step) + limit) / largest
        trial = np.minimum(nearest(new * x), top).astype(np.float32)
        error = _distance(x, weights, np.float32(1) / new, trial)
        better = error < best
        best, inverse = np.where(better, error, best), np.where(better, new, inverse)
    levels = np.minimum(nearest(inverse * x), top)
    c = levels.astype(np.float32)
    sum_lx, sum_l2 = ordered_sum(weights * x * c), ordered_sum(weights * c * c)
    codes = levels.astype(np.uint8)
    for _ in range(_PASSES):
        before = codes.copy()
        sum_lx, sum_l2 = _each_in_turn(x, weights, codes, top, sum_lx, sum_l2)
        if (codes == before).all():
            break
    codes[:, none] = 0
    scale = np.where(sum_l2 > 0, sum_lx / sum_l2, np.float32(0))
    return np.where(none, np.float32(0), scale), codes


def _distance(
    x: FloatArray,
    weights: FloatArray,
    scale: FloatArray,
    codes: FloatArray,
) -> FloatArray:
    difference = x - scale * codes
    return ordered_sum(weights * difference * difference)


def _each_in_turn(
    x: FloatArray,
    weights: FloatArray,
    codes: npt.NDArray[np.uint8],
    top: int,
    sum_lx: FloatArray,
    sum_l2: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """One pass of :func:`search_positive` over the elements; changes ``codes``."""
    for i, (value, w) in enumerate(zip(x, weights, strict=True)):
        old = codes[i].astype(np.float32)
        lx, l2 = sum_lx - w * value * old, sum_l2 - w * old * old
        new = np.minimum(nearest(value * l2 / lx), top)
        n = new.astype(np.float32)
        new_lx, new_l2 = lx + w * value * n, l2 + w * n * n
        better = (
            (lx > 0)
            & (l2 > 0)
            & (new != codes[i])
            & (new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2)
        )
        codes[i] = np.where(better, new, codes[i]).astype(np.uint8)
        sum_lx, sum_l2 = np.where(better, new_lx, sum_lx), np.where(better, new_l2, sum_l2)
    return sum_lx, sum_l2
