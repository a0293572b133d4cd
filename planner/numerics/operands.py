"""Operands of matrix units as values and exponents, and roundings of float64 sums to FP32."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.formats.elements import element
from planner.numerics.cast import decode
from planner.numerics.matrix_units import Rounding

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Shorts = npt.NDArray[np.int16]

# Exponent of a zero operand: below every sum of real exponents, even twice.
ZERO_EXPONENT = -8192
NAN_BITS = np.uint32(0x7FFFFFFF)


@dataclass(frozen=True, slots=True)
class Operand:
    """One matrix: ``values`` (float32, or float64 once scaled) and ``exponents`` (int16).

    Exponents are those of the significand in [1, 2), the lowest normal one for subnormals, 128 for
    infinity and NaN, and ``ZERO_EXPONENT`` for zero.
    """

    values: npt.NDArray[Any]
    exponents: npt.NDArray[np.signedinteger[Any]]

    def __getitem__(self, index: Any) -> Operand:
        return Operand(self.values[index], self.exponents[index])

    def transposed(self) -> Operand:
        """The transposed matrix, without a copy."""
        return Operand(self.values.T, self.exponents.T)


def operand(codes: npt.NDArray[Any], format: str) -> Operand:
    """Values and exponents of ``codes`` (any shape); TF32 ignores the 13 lowest bits of a word."""
    fmt = element(format)
    if fmt.bits <= 8:
        values, exponents = _tables(fmt.id)
        return Operand(values.take(codes, mode="clip"), exponents.take(codes, mode="clip"))
    if fmt.id == "tf32":
        codes = codes & np.uint32(0xFFFFE000)
    values = decode(codes, fmt.id)
    return Operand(values, single_exponents(values, 1 - fmt.bias))


@cache
def _tables(format: str) -> tuple[Singles, Shorts]:
    fmt = element(format)
    values = np.full(256, np.nan, dtype=np.float32)
    size = 1 << fmt.bits
    values[:size] = decode(np.arange(size, dtype=np.uint8), format)
    exponents = single_exponents(values, 1 - fmt.bias)
    values.setflags(write=False)
    exponents.setflags(write=False)
    return values, exponents


def single_exponents(values: Singles, lowest: int) -> Shorts:
    """Exponents of float32 ``values`` (any shape) in a format whose lowest normal exponent is
    ``lowest``."""
    bits = np.ascontiguousarray(values).view(np.uint32) & np.uint32(0x7FFFFFFF)
    exponents = (bits >> np.uint32(23)).astype(np.int16) - np.int16(127)
    np.maximum(exponents, np.int16(lowest), out=exponents)
    exponents[bits == 0] = ZERO_EXPONENT
    return exponents


def power_of_two(exponents: npt.NDArray[Any]) -> Floats:
    """2.0 ** exponents as float64, for integers in [-1022, 1023]."""
    return ((exponents.astype(np.int64) + 1023) << 52).view(np.float64)


def round_sums(sums: Floats, rounding: Rounding) -> Floats:
    """``sums`` (any shape) in place as the accumulator holds them: rounded, +0 for zero, Inf on
    overflow."""
    if rounding == "rne-fp16":
        with np.errstate(over="ignore", invalid="ignore"):
            sums[...] = sums.astype(np.float16)
    elif rounding == "rne-fp32":
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            sums[...] = sums.astype(np.float32)
    else:
        truncate_to_single(sums, 13 if rounding == "rz-e8m13" else 23)
    sums += 0.0  # -0 becomes +0
    return sums


def truncate_to_single(sums: Floats, bits: int) -> None:
    """Cut ``sums`` (any shape) in place, towards zero, to ``bits`` mantissa bits in the range of
    FP32."""
    magnitude = np.abs(sums)
    tiny = magnitude < 2.0**-126
    small = bool(tiny.any()) and bool((tiny & (magnitude != 0)).any())
    cut = np.trunc(sums[tiny] * 2.0 ** (126 + bits)) * 2.0 ** -(126 + bits) if small else None
    words = sums.view(np.int64)
    words &= np.int64(-(1 << (52 - bits)))
    if cut is not None:
        sums[tiny] = cut
    over = magnitude >= 2.0**128
    if over.any():
        sums[over] = np.copysign(np.inf, sums[over])
