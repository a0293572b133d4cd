"""Chains of FP32 fused multiply-adds compiled by numba (the ``[fast]`` extra), bit-equal to
:mod:`planner.numerics.dot_fma`. Import lazily.

The compiler's own fused multiply-add rounds once, as the chain is defined. What the x86 BF16
instructions add, flushing of subnormal inputs and results, cannot happen where every product is a
multiple of 2^-126: sums of such numbers, rounded or not, are multiples of it too, hence zero or
normal. Operands for which that does not hold go through numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from planner.numerics.dot_fma import fma_matmul
from planner.numerics.engines import kernel
from planner.numerics.fast_fused import column_blocks, even_rows
from planner.numerics.fast_kernel import BLOCK, ROWS
from planner.numerics.matrix_units import DotRule
from planner.numerics.operands import Singles

DEPTH = 32  # k a step: with BLOCK columns they stay in a level-1 cache; AMX's instruction
_LEAST = -126  # exponent of the smallest normal FP32 number


def fast_fma_matmul(a: Singles, b: Singles, c: Singles, rule: DotRule) -> None:
    """As :func:`planner.numerics.dot_fma.fma_matmul`, compiled."""
    if rule.rounding == "rne-fp32-daz-ftz" and not _never_tiny(a, b, c):
        fma_matmul(a, b, c, rule)
        return
    if rule.k_order == "odd-first":
        order = np.arange(a.shape[1]).reshape(-1, 2)[:, ::-1].reshape(-1)
        a, b = a[:, order], b[order]
    _compiled()(even_rows(a), column_blocks(b), c, rule.k_order == "two-chains")


def _never_tiny(a: Singles, b: Singles, c: Singles) -> bool:
    """Whether no input is subnormal and all products and accumulators are multiples of 2^-126."""
    lowest = 0
    for x in (a, b):
        exponent, subnormal = _exponents(x)
        if subnormal:
            return False
        lowest += exponent - 7  # BF16 has 8 significant bits
    _, subnormal = _exponents(c)
    if subnormal or lowest < _LEAST:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        steps = c * np.float64(2.0**-_LEAST)
        return bool((~np.isfinite(steps) | (steps == np.trunc(steps))).all())


def _exponents(x: Singles) -> tuple[int, bool]:
    """Exponent of the smallest magnitude above zero (0 where there is none), and whether any
    number is subnormal."""
    bits = np.ascontiguousarray(x).view(np.uint32) & np.uint32(0x7FFFFFFF)
    least = int(bits.min(initial=0x7F800000, where=bits != 0))
    return (least >> 23) - 127 if least < 0x7F800000 else 0, least < 0x800000


@cache
def _compiled() -> Callable[..., None]:
    """The kernel over ``a`` (M, K), M even, ``b`` (blocks, K, BLOCK) and ``c`` (M, N) in place."""
    four, one = _steps()

    def chain(a: Any, b: Any, i: int, start: int, stop: int, part: Any) -> None:
        whole = start + (stop - start) // 4 * 4
        for k in range(start, whole, 4):
            four(a, b, i, k, 1, part)
        for k in range(whole, stop):
            one(a, b, i, k, part)

    def two_chains(a: Any, b: Any, i: int, start: int, part: Any, even: Any, odd: Any) -> None:
        even[:] = 0
        odd[:] = 0
        for k in range(start, start + 32, 8):
            four(a, b, i, k, 2, even)
            four(a, b, i, k + 1, 2, odd)
        for r in range(2):
            for n in range(BLOCK):
                part[r, n] = part[r, n] + np.float32(even[r, n] + odd[r, n])

    chain, two_chains = kernel(chain), kernel(two_chains)

    def product(a: Any, b: Any, c: Any, two: bool) -> None:
        part = np.zeros((ROWS, BLOCK), np.float32)
        even, odd = np.empty((2, BLOCK), np.float32), np.empty((2, BLOCK), np.float32)
        for j in range(b.shape[0]):
            left = j * BLOCK
            width = min(BLOCK, c.shape[1] - left)
            for top in range(0, a.shape[0], ROWS):
                height = min(ROWS, a.shape[0] - top)
                own = min(height, c.shape[0] - top)
                for i in range(own):
                    for n in range(width):
                        part[i, n] = c[top + i, left + n]
                for start in range(0, a.shape[1], DEPTH):
                    stop = min(start + DEPTH, a.shape[1])
                    for i in range(0, height, 2):
                        if two:
                            two_chains(a, b[j], top + i, start, part[i : i + 2], even, odd)
                        else:
                            chain(a, b[j], top + i, start, stop, part[i : i + 2])
                for i in range(own):
                    for n in range(width):
                        c[top + i, left + n] = part[i, n]

    return kernel(product)


def _steps() -> tuple[Callable[..., None], Callable[..., None]]:
    """Four k (``stride`` apart) and one k of two rows of a block of columns."""
    fma = _fma()

    def four(a: Any, b: Any, i: int, k: int, stride: int, part: Any) -> None:
        x0, x1 = part[0], part[1]
        k1, k2, k3 = k + stride, k + 2 * stride, k + 3 * stride
        p0, p1, p2, p3 = a[i, k], a[i, k1], a[i, k2], a[i, k3]
        q0, q1, q2, q3 = a[i + 1, k], a[i + 1, k1], a[i + 1, k2], a[i + 1, k3]
        b0, b1, b2, b3 = b[k], b[k1], b[k2], b[k3]
        for n in range(BLOCK):
            x0[n] = fma(p3, b3[n], fma(p2, b2[n], fma(p1, b1[n], fma(p0, b0[n], x0[n]))))
            x1[n] = fma(q3, b3[n], fma(q2, b2[n], fma(q1, b1[n], fma(q0, b0[n], x1[n]))))

    def one(a: Any, b: Any, i: int, k: int, part: Any) -> None:
        for r in range(2):
            for n in range(BLOCK):
                part[r, n] = fma(a[i + r, k], b[k, n], part[r, n])

    return kernel(four), kernel(one)


def _fma() -> Any:
    """x·y + z of float32, rounded once: LLVM's intrinsic, an instruction where the CPU has it."""
    from numba.core import types
    from numba.extending import intrinsic

    def fma(context: Any, x: Any, y: Any, z: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.fma(*values)

        return types.float32(types.float32, types.float32, types.float32), emit

    return intrinsic(fma)
