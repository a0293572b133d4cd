"""The fused dot product as a compiled kernel (the ``[fast]`` extra), bit-equal to numpy.

numba compiles the loops of :mod:`planner.numerics.fast_kernel` on first use, serially and without
the interpreter lock, so that threads can share the rows of one product. Products are exact in
float32 (22 bits at most) and so is scaling them by a power of two; the conversion to int32 cuts
towards zero; sums of up to 16 terms below 4·2^25 - 2^18 (32 below 4·2^13) fit an int32.

It takes the common case: finite operands whose exponents span less than 2^7, an accumulator in that
range, FP32 accumulation. Everything else goes through :mod:`planner.numerics.fused_numpy`, which
gives the same bits where both apply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import ceil, log2
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.errors import InputError
from planner.numerics.fast_kernel import BLOCK, build
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
