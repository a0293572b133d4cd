"""Block-scaled operands: MX formats with E8M0 scales, and FP4 with the scales of 16 or 32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.fused_numpy import TILE_ELEMENTS
from planner.numerics.matrix_units import DotRule
from planner.numerics.operands import (
    ZERO_EXPONENT,
    Floats,
    Operand,
    Singles,
    operand,
    power_of_two,
    round_sums,
    single_exponents,
)

SUM = 16  # FP4 products that are added exactly before their scales


def scale_operand(x: Operand, scales: npt.NDArray[np.uint8], group: int) -> Operand:
    """``x`` (rows, K) with E8M0 ``scales`` (rows, K / group) in its values and exponents.

    float32 where that holds every value exactly, else float64.
    """
    exponents = np.repeat(scales.astype(np.int16) - np.int16(127), group, axis=1)
    missing = np.repeat(scales == 255, group, axis=1)
    shifted = np.where(x.exponents == ZERO_EXPONENT, ZERO_EXPONENT, x.exponents + exponents)
    with np.errstate(invalid="ignore"):
        values = x.values.astype(np.float64) * power_of_two(exponents)
    values[missing] = np.nan
    shifted[missing] = 128
    shifted = shifted.astype(np.int16)
    used = shifted[shifted != ZERO_EXPONENT]
    if used.size == 0 or (used.min() > -100 and used.max() < 100):
        return Operand(values.astype(np.float32), shifted)
    return Operand(values, shifted)


def fp4_matmul(
    a: Singles, b: Singles, a_scales: Operand, b_scales: Operand, c: Singles, rule: DotRule
) -> None:
    """K in groups of 64 over ``c`` (M, N) in place.

    ``a`` (M, K) and ``b`` (K, N) hold values; the scales, (M, K / 16) and (K / 16, N), are repeated
    where one covers 32. Sums of 16 products of FP4 are multiples of 1/4 up to 576, exact in
    float32; times both scales' significands and 2^35 they stay below 2^48.
    """
    height = max(1, TILE_ELEMENTS // max(1, c.shape[1]))
    for i in range(0, c.shape[0], height):
        rows = slice(i, i + height)
        with np.errstate(all="ignore"):
            tile = c[rows].astype(np.float64)
            for start in range(0, a.shape[1], rule.terms):
                terms = [_term(a[rows], b, a_scales[rows], b_scales, k)
                         for k in range(start, start + rule.terms, SUM)]  # fmt: skip
                _fuse(terms, tile, rule)
            c[rows] = tile


def scale_values(codes: npt.NDArray[np.uint8], format: str, group: int) -> Operand:
    """Scales of FP4 operands (rows, K / group), one for every 16 elements; the sign is ignored.

    E8M0 has no zero; UE4M3 zero has no exponent of its own.
    """
    if format == "e8m0":
        exponents = codes.astype(np.int16) - np.int16(127)
        with np.errstate(invalid="ignore"):
            values = np.where(codes == 255, np.nan, power_of_two(exponents)).astype(np.float32)
        scales = Operand(values, exponents)
    else:
        scales = operand(codes & np.uint8(0x7F), "e4m3fn")
    copies = group // SUM
    return Operand(np.repeat(scales.values, copies, axis=1),
                   np.repeat(scales.exponents, copies, axis=1))  # fmt: skip


def _term(a: Singles, b: Singles, sa: Operand, sb: Operand, k: int) -> tuple[Floats, Floats]:
    """Values and exponents of the sum of 16 products that starts at ``k``."""
    part, g = slice(k, k + SUM), k // SUM
    left, right = np.ascontiguousarray(a[:, part]), b[part]
    value = (left @ right).astype(np.float64)
    empty = np.abs(left) @ np.abs(right) == 0
    value *= sa.values[:, g].astype(np.float64)[:, None]
    value *= sb.values[g].astype(np.float64)
    exponent = sa.exponents[:, g].astype(np.int32)[:, None] + sb.exponents[g]
    exponent = np.where(empty, 2 * ZERO_EXPONENT, exponent)
    return value, exponent.astype(np.float64)


def _fuse(terms: list[tuple[Floats, Floats]], c: Floats, rule: DotRule) -> None:
    bits, floor = rule.fraction_bits or 0, rule.min_exponent or 0
    e = np.maximum(single_exponents(c.astype(np.float32), -126), np.int16(floor))
    for _, exponent in terms:
        e = np.maximum(e, exponent.astype(np.int16))
    up = power_of_two(bits - e.astype(np.int64))
    total = np.trunc(c * up)
    for value, _ in terms:
        total += np.trunc(value * up)
    c[...] = total * power_of_two(e.astype(np.int64) - bits)
    round_sums(c, rule.rounding)
