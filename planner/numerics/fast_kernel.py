"""The loops that numba compiles for :mod:`planner.numerics.fast_fused`.

They are plain functions, compiled by :func:`build`; names ending in 0 and 1 belong to a pair of
output rows, which share every load of the right operand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

BLOCK = 128  # columns a step; a constant of the compiled code
ROWS = 32  # rows that use a block of the right operand while it is in a level-1 cache

Kernel = Callable[..., None]


def build(compile: Callable[[Kernel], Any]) -> Kernel:
    """The kernel, each of its loops passed through ``compile`` (``numba.njit`` with options)."""
    largest, products = compile(_largest), compile(_products)
    begin, finish, finish_narrow = compile(_begin), compile(_finish), compile(_finish_narrow)

    def kernel(a: Any, ae: Any, b: Any, be: Any, c: Any, terms: int, batch: int, bits: int,
               lowest: int, kept: int, fused: bool) -> None:  # fmt: skip
        """All fused sums of ``a`` (M, K) and ``b`` (blocks, K, BLOCK) over ``c`` (M, N).

        float32 in place. ``ae`` and ``be`` are int8 exponents above those that add up to
        ``lowest``, zeros far below. M is even. Sums of ``batch`` terms are kept in int32, two
        batches at most, and added in float64, where they are exact; with 13 bits the whole sum is
        exact in an int32 and a float32. ``kept`` masks the bits that the accumulator keeps, of a
        float64 or, with 13 bits, a float32. ``fused`` is False where the accumulator is added to
        each sum in FP32.
        """
        part = np.zeros((ROWS, BLOCK), np.float32)
        e = np.empty((2, BLOCK), np.int8)
        s = np.empty((2, BLOCK), np.float32)
        t = np.empty((2, BLOCK), np.int32)
        u = np.zeros((2, BLOCK), np.int32)
        narrow, up = fused and bits == 13, 127 + bits - lowest
        for j in range(b.shape[0]):
            left = j * BLOCK
            width = min(BLOCK, c.shape[1] - left)
            for top in range(0, a.shape[0], ROWS):
                height = min(ROWS, a.shape[0] - top)
                own = min(height, c.shape[0] - top)
                for i in range(own):
                    for n in range(width):
                        part[i, n] = c[top + i, left + n]
                for start in range(0, a.shape[1], terms):
                    for i in range(0, height, 2):
                        tile = part[i : i + 2]
                        largest(ae, be[j], top + i, start, terms, e)
                        begin(tile, e, s, t, up, lowest, fused, narrow)
                        products(a, b[j], top + i, start, batch, s, t)
                        if batch < terms:
                            u[:] = 0
                            products(a, b[j], top + i, start + batch, batch, s, u)
                        if narrow:
                            finish_narrow(tile, s, t, np.int32(kept))
                        else:
                            finish(tile, s, t, u, kept, fused)
                for i in range(own):
                    for n in range(width):
                        c[top + i, left + n] = part[i, n]

    compiled: Kernel = compile(kernel)
    return compiled


def _largest(a: Any, b: Any, i: int, start: int, terms: int, e: Any) -> None:
    """Largest exponents of ``terms`` products, at least 0 = ``lowest``."""
    e0, e1 = e[0], e[1]
    for n in range(BLOCK):
        e0[n] = 0
        e1[n] = 0
    for k in range(start, start + terms, 4):
        p0, p1, p2, p3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
        q0, q1, q2, q3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        for n in range(BLOCK):
            m = max(np.int8(p0 + b0[n]), np.int8(p1 + b1[n]))
            m = max(m, max(np.int8(p2 + b2[n]), np.int8(p3 + b3[n])))
            e0[n] = max(e0[n], m)
            m = max(np.int8(q0 + b0[n]), np.int8(q1 + b1[n]))
            m = max(m, max(np.int8(q2 + b2[n]), np.int8(q3 + b3[n])))
            e1[n] = max(e1[n], m)


def _begin(c: Any, e: Any, s: Any, t: Any, up: int, lowest: int, fused: bool,
           narrow: bool) -> None:  # fmt: skip
    """Scales 2^(F-E), E the largest exponent of products and (if ``fused``) accumulators; where
    ``narrow`` the accumulators cut at 2^(E-F) as first terms, else zeros."""
    bits, z = c.view(np.int32), s.view(np.int32)
    for r in range(2):
        for n in range(BLOCK):
            field = np.int32(np.int32(bits[r, n] >> 23) & np.int32(255))
            own = np.int32(field - np.int32(127 + lowest))
            largest = np.int32(e[r, n])
            largest = max(largest, own) if fused else largest
            z[r, n] = np.int32(np.int32(up - largest) << 23)
            t[r, n] = np.int32(c[r, n] * s[r, n]) if narrow else np.int32(0)


def _products(a: Any, b: Any, i: int, start: int, batch: int, s: Any, t: Any) -> None:
    """``batch`` products in units of 2^(E-F) onto ``t``; converting one cuts it towards zero."""
    s0, s1, t0, t1 = s[0], s[1], t[0], t[1]
    for k in range(start, start + batch, 4):
        p0, p1, p2, p3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
        q0, q1, q2, q3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        for n in range(BLOCK):
            x = s0[n]
            t0[n] += (np.int32((p0 * b0[n]) * x) + np.int32((p1 * b1[n]) * x)
                      + np.int32((p2 * b2[n]) * x) + np.int32((p3 * b3[n]) * x))  # fmt: skip
            x = s1[n]
            t1[n] += (np.int32((q0 * b0[n]) * x) + np.int32((q1 * b1[n]) * x)
                      + np.int32((q2 * b2[n]) * x) + np.int32((q3 * b3[n]) * x))  # fmt: skip


def _finish_narrow(c: Any, s: Any, t: Any, kept: int) -> None:
    """Back to values, cut to the accumulator's bits: sums below 2^24 (all normal numbers)."""
    z, bits = s.view(np.int32), c.view(np.int32)
    for r in range(2):
        for n in range(BLOCK):
            down = np.int32(np.int32(254 << 23) - z[r, n])  # 1 / s
            v = np.float32(np.float32(t[r, n]) * down.view(np.float32))
            bits[r, n] = np.int32(v.view(np.int32) & kept)


def _finish(c: Any, s: Any, t: Any, u: Any, kept: int, fused: bool) -> None:
    """Back to values, cut to the accumulator's bits (all normal float32 numbers)."""
    z = s.view(np.int32)
    for r in range(2):
        for n in range(BLOCK):
            down = np.int32(np.int32(254 << 23) - z[r, n])  # 1 / s
            own = np.float64(np.int32(c[r, n] * s[r, n])) if fused else np.float64(0)
            total = np.float64(np.float64(t[r, n]) + np.float64(u[r, n])) + own
            value = np.float64(total * np.float64(down.view(np.float32)))
            cut = np.float32(np.int64(value.view(np.int64) & kept).view(np.float64))
            c[r, n] = cut if fused else np.float32(c[r, n] + cut)
