"""The fused dot product as a compiled kernel (the ``[fast]`` extra), bit-equal to numpy.

numba compiles the loops of :mod:`planner.numerics.fast_kernel` on first use, serially and without
the interpreter lock, so that threads can share the rows of one product. Products are exact in
float32 (22 bits at most) and so is scaling them by a power of two; the conversion to int32 cuts
towards zero; sums of up to 16 terms below 4·2^25 - 2^18 (32 below 4·2^13) fit an int32.

It takes the common case: finite operands whose exponents span less than 2^7, an accumulator in that
range, FP32 accumulation. Everything else goes through :mod:`planner.numerics.fused_numpy`, which
gives the same bits where both apply.

Chains of FP32 fused multiply-adds compiled by numba (the ``[fast]`` extra), bit-equal to
:mod:`planner.numerics.dot_fma`. Import lazily.

The compiler's own fused multiply-add rounds once, as the chain is defined. What the x86 BF16
instructions add, flushing of subnormal inputs and results, cannot happen where every product is a
multiple of 2^-126: sums of such numbers, rounded or not, are multiples of it too, hence zero or
normal. Operands for which that does not hold go through numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import ceil, log2
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError
from planner.numerics.dot_fma import fma_matmul
from planner.numerics.engines import kernel
from planner.numerics.fast_kernel import BLOCK, ROWS, build
from planner.numerics.fused_numpy import fused_matmul
from planner.numerics.matrix_units import DotRule
from planner.numerics.operands import ZERO_EXPONENT, Operand, Singles

_SPAN = 120  # exponents above the lowest product's that int8 holds, sums included
_HALF = 64  # the same for one operand: a zero is at -64, which nothing lifts above 0
_PIECE = 1 << 14  # elements
_LIMIT = 100  # products from 2^-100 and sums to 2^120: scales and results are normal float32


@dataclass(frozen=True, slots=True)
class Packed:
    """Operands of one call: the right one in blocks of columns, exponents from 0 in int8."""

    left: Singles
    left_exponents: npt.NDArray[np.int8]
    right: Singles
    right_exponents: npt.NDArray[np.int8]
    lowest: int
    span: int


def numba_available() -> bool:
    """Whether the ``[fast]`` extra is installed."""
    from importlib.util import find_spec

    return find_spec("numba") is not None


def fast_fused_matmul(a: Operand, b: Operand, c: Singles, rule: DotRule) -> None:
    """As :func:`fused_matmul`, compiled. Raises InputError where numba is not installed."""
    packed = _pack(a, b, rule)
    if packed is None or not _plain(c, packed, rule):
        fused_matmul(a, b, c, rule)
        return
    bits = rule.fraction_bits or 0
    lost = 39 if rule.rounding == "rz-e8m13" else 29  # of a float64's 52 bits
    kept = -(1 << (lost - 29 if bits == 13 and rule.c_entry == "fused" else lost))
    batch = rule.terms if bits == 13 else min(rule.terms, 16)
    _compiled()(packed.left, packed.left_exponents, packed.right, packed.right_exponents, c,
                rule.terms, batch, bits, packed.lowest, np.int64(kept),
                rule.c_entry == "fused")  # fmt: skip


def _pack(a: Operand, b: Operand, rule: DotRule) -> Packed | None:
    """Operands for the kernel, or None where its ranges do not hold them."""
    if rule.accumulator != "fp32" or rule.k_order != "sequential":
        return None
    if a.values.dtype != np.float32 or b.values.dtype != np.float32:
        return None
    k = a.values.shape[1]
    a_range, b_range = _range(a.exponents), _range(b.exponents)
    if a_range is None or b_range is None:
        return None
    (a_low, a_high), (b_low, b_high) = a_range, b_range
    lowest, highest = a_low + b_low, a_high + b_high
    span = highest - lowest + ceil(log2(k)) + 3
    if lowest < -_LIMIT or lowest + span > _SPAN or span > _SPAN:
        return None
    if max(a_high, b_high) > 127 or max(a_high - a_low, b_high - b_low) > _HALF:
        return None
    return Packed(even_rows(a.values), even_rows(_shifted(a.exponents, a_low)),
                  column_blocks(b.values), column_blocks(_shifted(b.exponents, b_low)), lowest,
                  span)  # fmt: skip


def _range(exponents: npt.NDArray[Any]) -> tuple[int, int] | None:
    """Lowest and highest exponent of what is not zero; None where everything is zero."""
    high = int(exponents.max(initial=ZERO_EXPONENT))
    if high == ZERO_EXPONENT:
        return None
    low = int(exponents.min(initial=high))
    if low == ZERO_EXPONENT:  # as unsigned numbers from just above it, zeros are the largest
        words = exponents.astype(np.int16, copy=False).view(np.uint16)
        above = words - np.array(ZERO_EXPONENT + 1, np.int16).view(np.uint16)
        low = int(above.min()) + ZERO_EXPONENT + 1
    return low, high


def _shifted(exponents: npt.NDArray[Any], low: int) -> npt.NDArray[np.int8]:
    """Exponents from 0, and -64 for zero: no sum of two wraps, and none with a zero exceeds 0."""
    shifted: npt.NDArray[np.int8] = np.maximum(exponents - low, -_HALF).astype(np.int8)
    return shifted


def even_rows(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``x`` [rows, columns] with an even number of rows."""
    return np.ascontiguousarray(np.pad(x, ((0, x.shape[0] % 2), (0, 0))))


def column_blocks(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(K, N) as (N / BLOCK, K, BLOCK), the last block padded with zeros."""
    k, n = x.shape
    count = -(-n // BLOCK)
    padded = x if n == count * BLOCK else np.pad(x, ((0, 0), (0, count * BLOCK - n)))
    return np.ascontiguousarray(padded.reshape(k, count, BLOCK).transpose(1, 0, 2))


def _plain(c: Singles, packed: Packed, rule: DotRule) -> bool:
    """Whether every accumulator is zero or a multiple of the least step, within the range."""
    step = np.float64(2.0 ** ((rule.fraction_bits or 0) - packed.lowest))
    height = max(1, _PIECE // max(1, c.shape[1]))
    for i in range(0, c.shape[0], height):  # pieces stay in a level-2 cache
        part = c[i : i + height]
        top = max(float(part.max(initial=0.0)), -float(part.min(initial=0.0)))
        if top == 0.0:
            continue
        if not top < 2.0 ** (packed.lowest + packed.span):
            return False
        scaled = part * step
        if not (scaled == np.trunc(scaled)).all():
            return False
    return True


@cache
def _compiled() -> Callable[..., None]:
    try:
        import numba
    except ImportError as error:
        raise InputError(
            "engine 'numba' needs numba, which is not installed",
            hint="pip install 'precision-planner[fast]'",
        ) from error
    return build(numba.njit(nogil=True, error_model="numpy"))


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
    _compiled_chains()(even_rows(a), column_blocks(b), c, rule.k_order == "two-chains")


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
def _compiled_chains() -> Callable[..., None]:
    """The kernel over ``a`` (M, K), M even, ``b`` (blocks, K, BLOCK) and ``c`` (M, N) in place."""
    four, single = _steps()

    def chain(a: Any, b: Any, i: int, start: int, stop: int, part: Any) -> None:
        last_four = start + (stop - start) // 4 * 4
        for k in range(start, last_four, 4):
            four(a, b, i, k, 1, part)
        for k in range(last_four, stop):
            single(a, b, i, k, part)

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
