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
    begin, collect, finish = compile(_begin), compile(_collect), compile(_finish)

    def kernel(a: Any, ae: Any, b: Any, be: Any, c: Any, terms: int, batch: int, bits: int,
               lowest: int, kept: int, fused: bool) -> None:  # fmt: skip
        """All fused sums of ``a`` (M, K) and ``b`` (blocks, K, BLOCK) over ``c`` (M, N).

        float32 in place. ``ae`` and ``be`` are int8 exponents above those that add up to
        ``lowest``, zeros far below. M is even. Sums of ``batch`` terms are kept in int32 and added
        in float64, where they are exact; ``kept`` masks the bits of a float64 that the accumulator
        keeps. ``fused`` is False where the accumulator is added to each sum in FP32.
        """
        part = np.zeros((ROWS, BLOCK), np.float32)
        e = np.empty((2, BLOCK), np.int8)
        s = np.empty((2, BLOCK), np.float32)
        t = np.empty((2, BLOCK), np.int32)
        w = np.empty((2, BLOCK), np.float64)
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
                        begin(part[i : i + 2], e, lowest, fused)
                        largest(ae, be[j], top + i, start, terms, e)
                        collect(part[i : i + 2], e, s, w, 127 + bits - lowest, fused)
                        for k in range(start, start + terms, batch):
                            products(a, b[j], top + i, k, batch, s, t)
                            for n in range(BLOCK):
                                w[0, n] += t[0, n]
                                w[1, n] += t[1, n]
                        finish(part[i : i + 2], e, s, w, 127 - bits + lowest, kept, fused)
                for i in range(own):
                    for n in range(width):
                        c[top + i, left + n] = part[i, n]

    compiled: Kernel = compile(kernel)
    return compiled


def _begin(c: Any, e: Any, lowest: int, fused: bool) -> None:
    """Exponents of the accumulators, at least 0 = ``lowest``."""
    bits = c.view(np.int32)
    for r in range(2):
        for n in range(BLOCK):
            own = ((bits[r, n] >> 23) & 255) - 127 - lowest
            e[r, n] = np.int8(min(max(own, 0), 127)) if fused else np.int8(0)


def _largest(a: Any, b: Any, i: int, start: int, terms: int, e: Any) -> None:
    """Largest exponents of ``terms`` products and of what ``e`` holds."""
    e0, e1 = e[0], e[1]
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


def _collect(c: Any, e: Any, s: Any, w: Any, up: int, fused: bool) -> None:
    """Scales 2^(F-E), and the accumulators cut at 2^(E-F) as the first terms."""
    z = s.view(np.int32)
    for r in range(2):
        for n in range(BLOCK):
            z[r, n] = np.int32(up - np.int32(e[r, n])) << 23
            w[r, n] = np.int32(c[r, n] * s[r, n]) if fused else 0


def _products(a: Any, b: Any, i: int, start: int, batch: int, s: Any, t: Any) -> None:
    """Sums of ``batch`` products in units of 2^(E-F), each cut towards zero by the conversion."""
    s0, s1, t0, t1 = s[0], s[1], t[0], t[1]
    for n in range(BLOCK):
        t0[n] = 0
        t1[n] = 0
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


def _finish(c: Any, e: Any, s: Any, w: Any, down: int, kept: int, fused: bool) -> None:
    """Back to values, cut to the accumulator's bits (all normal float32 numbers)."""
    v, z = w.view(np.int64), s.view(np.int32)
    for r in range(2):
        for n in range(BLOCK):
            z[r, n] = np.int32(down + np.int32(e[r, n])) << 23
            w[r, n] *= s[r, n]
            v[r, n] &= kept
            c[r, n] = np.float32(w[r, n]) if fused else c[r, n] + np.float32(w[r, n])
