"""FP64 matrix products as DMMA (A100 to B200) and F64 MFMA (MI200, MI300) compute them: one chain
of fused multiply-adds in the order of k.

A sum x·y + z is rounded once without an instruction for it: the product is split into two floats
whose sum is exact, the rest of the sum is rounded to odd (Boldo and Melquiond, 2008). Where a part
could leave the range of float64, elements are added in rational arithmetic one by one.
"""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError
from planner.base.typed import typed
from planner.numerics.dot_amd import to_odd, two_sum
from planner.numerics.operands import Floats
from planner.numerics.product_inputs import check_shapes
from planner.numerics.tiles import as_array

TILE_ELEMENTS = 1 << 15
_SPLIT = 2.0**27 + 1
_LOW, _HIGH = 2.0**-450, 2.0**450


@typed
def matmul_fp64(a: npt.ArrayLike, b: npt.ArrayLike, *, c: npt.ArrayLike | None = None) -> Floats:
    """``a`` (M, K) @ ``b`` (K, N) + ``c`` (M, N, zeros unless given) in float64, as the unit
    ``fp64`` adds: for each k in order acc = a[:, k]·b[k] + acc, rounded once, to nearest even.

    Raises InputError for shapes that do not fit and for values that are no real numbers.
    """
    left, right = _matrix(a, "a"), _matrix(b, "b")
    check_shapes(left, right, c)
    shape = left.shape[0], right.shape[1]
    out = np.zeros(shape) if c is None else np.array(as_array(c), dtype=np.float64, order="C")
    height = max(1, TILE_ELEMENTS // max(1, shape[1]))
    with np.errstate(all="ignore"):
        for i in range(0, shape[0], height):
            rows = slice(i, i + height)
            tile = out[rows]
            for k in range(left.shape[1]):
                x, y = np.broadcast_arrays(left[rows, k, None], right[k])
                tile = fma(x, y, tile)
            out[rows] = tile
    return out


def _matrix(x: npt.ArrayLike, name: str) -> Floats:
    matrix = as_array(x)
    if matrix.ndim != 2:
        raise InputError(
            f"{name} has {matrix.ndim} dimensions, a matrix has 2",
            hint="reshape to (rows, columns)",
        )
    return matrix.astype(np.float64)


def fma(x: Floats, y: Floats, z: Floats) -> Floats:
    """``x·y + z`` rounded once, element by element."""
    high = x * y
    low = _lost(x, y, high)
    above, rest = two_sum(z, low)
    top, middle = two_sum(high, above)
    total: Floats = top + to_odd(middle, rest)
    # An exact zero has the sign of IEEE 754, which the detour through two sums may lose.
    total = np.where((total == 0) & (low == 0), high + z, total)
    sizes = [np.abs(v) for v in (x, y)]
    fine = (high == 0) & ((sizes[0] == 0) | (sizes[1] == 0))
    fine |= np.logical_and.reduce([(s > _LOW) & (s < _HIGH) for s in sizes])
    size = np.abs(z)
    fine &= (size == 0) | ((size > _LOW**2) & (size < _HIGH**2))
    for i in np.argwhere(~fine):
        at = tuple(i)
        total[at] = _one(float(x[at]), float(y[at]), float(z[at]))
    return total


def _lost(x: Floats, y: Floats, product: Floats) -> Floats:
    """What the rounding of ``product`` lost (Dekker, 1971)."""
    x_high, y_high = (v * _SPLIT - (v * _SPLIT - v) for v in (x, y))
    x_low, y_low = x - x_high, y - y_high
    lost: Floats = x_low * y_low - (((product - x_high * y_high) - x_low * y_high) - x_high * y_low)
    return lost


def _one(x: float, y: float, z: float) -> float:
    """:func:`fma` of three numbers of any kind."""
    values = np.array([x, y, z])
    if not np.isfinite(values).all():
        return z if np.isfinite(values[:2]).all() else float(np.float64(x) * y + z)
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    if exact == 0:
        product: Any = np.copysign(np.float64(0), x) * np.copysign(1.0, y)
        return float(product + z) if z == 0 and (x == 0 or y == 0) else 0.0
    try:
        return float(exact)
    except OverflowError:
        return inf if exact > 0 else -inf
