"""Chains of FP32 fused multiply-adds, with and without the flushing of the x86 BF16 instructions.

A product of two operands of at most 24 significant bits is exact in float64. Adding the accumulator
there rounds once more than the hardware does, so that sum is rounded *to odd* (cut, with the last
bit set where anything was lost): float64 keeps more than 2·24 + 2 bits, so that rounding to FP32
afterwards gives the correctly rounded result of the exact sum (Boldo and Melquiond, 2008).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from planner.numerics.matrix_units import DotRule
from planner.numerics.operands import Floats, Singles

TILE_ELEMENTS = 1 << 15
NAN_BITS = np.uint32(0x7FC00000)
# Smallest magnitude that rounds, with 24 bits and any exponent, to the smallest normal number.
_NOT_TINY = 2.0**-126 * (1 - 2.0**-25)


def fma_matmul(a: Singles, b: Singles, c: Singles, rule: DotRule) -> None:
    """All products of ``a`` (M, K) and ``b`` (K, N) added to ``c`` (M, N) in place, K padded."""
    flush = rule.rounding == "rne-fp32-daz-ftz"
    height = max(1, TILE_ELEMENTS // max(1, c.shape[1]))
    with np.errstate(all="ignore"):
        left, right = _flushed(a, flush), _flushed(b, flush)
        for i in range(0, c.shape[0], height):
            rows = slice(i, i + height)
            tile = _flushed(c[rows], flush)
            if rule.k_order == "two-chains":
                for start in range(0, left.shape[1], rule.instruction_k):
                    ks = range(start, start + rule.instruction_k)
                    even = _chain(left[rows], right, np.zeros_like(tile), ks[::2], flush)
                    odd = _chain(left[rows], right, np.zeros_like(tile), ks[1::2], flush)
                    tile = _add(tile, _add(even, odd, flush), flush)
            else:
                order = np.arange(left.shape[1])
                if rule.k_order == "odd-first":
                    order = order.reshape(-1, 2)[:, ::-1].reshape(-1)
                tile = _chain(left[rows], right, tile, order, flush)
            c[rows] = tile


def _flushed(x: Singles, flush: bool) -> Floats:
    """As float64; subnormal FP32 numbers are zero (of their sign) where inputs are flushed."""
    wide = x.astype(np.float64)
    if flush:
        wide[np.abs(wide) < 2.0**-126] *= 0.0
    return wide


def _chain(a: Floats, b: Floats, c: Floats, ks: Iterable[int] | npt.NDArray[np.intp],
           flush: bool) -> Floats:  # fmt: skip
    for k in ks:
        c = _add(c, a[:, k, None] * b[k], flush)
    return c


def _add(c: Floats, p: Floats, flush: bool) -> Floats:
    """``c + p`` rounded once to FP32: the exact sum to odd, then to nearest."""
    total: Floats = c + p
    virtual = total - c
    error = (c - (total - virtual)) + (p - virtual)
    bits = total.view(np.int64)
    inexact = (error != 0) & np.isfinite(total) & (bits & 1 == 0)
    bits += np.where(inexact, np.where((error < 0) == (total < 0), 1, -1), 0)
    rounded: Floats = total.astype(np.float32).astype(np.float64)
    if flush:
        rounded[np.abs(total) < _NOT_TINY] *= 0.0
    return rounded
