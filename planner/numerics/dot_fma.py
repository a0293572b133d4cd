"""Chains of FP32 fused multiply-adds, with and without the flushing of the x86 BF16 instructions.

A product of two operands of at most 24 significant bits is exact in float64. Adding the accumulator
there rounds once more than the hardware does, so that sum is rounded *to odd* (cut, with the last
bit set where anything was lost): float64 keeps more than 2·24 + 2 bits, so that rounding to FP32
afterwards gives the correctly rounded result of the exact sum (Boldo and Melquiond, 2008).

A second rounding shows only where the first one lost something and ended half-way between FP32
numbers. Chains run without that care for a while, and again with it where that has happened.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from planner.numerics.matrix_units import DotRule
from planner.numerics.operands import Floats, Singles

TILE_ELEMENTS = 1 << 11
BLOCK_ELEMENTS = 1 << 15  # of a tile for several k
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
    order = np.asarray(ks, dtype=np.intp)
    step = max(1, BLOCK_ELEMENTS // max(1, c.size))
    for start in range(0, order.size, step):
        part = order[start : start + step]
        products = a.T[part][:, :, None] * b[part][:, None, :]
        ended = _carefree(c, products)
        if ended is None:
            for p in products:
                c = _add(c, p, flush)
        else:
            c = ended
    return c


def _carefree(c: Floats, products: Floats) -> Floats | None:
    """``c`` plus all products, each sum rounded to float64 and then to FP32; None where that may
    differ from one rounding, or where a sum is subnormal."""
    sums = np.empty((len(products) + 1, *c.shape))
    sums[0] = c
    totals, single = np.empty_like(products), np.empty(c.shape, dtype=np.float32)
    for i, p in enumerate(products):
        np.add(sums[i], p, out=totals[i])
        np.copyto(single, totals[i], casting="same_kind")
        np.copyto(sums[i + 1], single)
    size = np.abs(totals)
    if ((size < 2.0**-126) & (size != 0)).any():
        return None
    half = totals.view(np.int64) & 0x1FFFFFFF == 0x10000000
    if half.any():
        before, total, p = sums[:-1][half], totals[half], products[half]
        virtual = total - before
        if (((before - (total - virtual)) + (p - virtual)) != 0).any():
            return None
    last: Floats = sums[-1]
    return last


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
