"""The fused dot product in numpy: tiles of outputs, one k at a time, bit-equal to the reference.

Per group of L products the largest exponent E is found in small integers. Every product is then
scaled by 2^(F-E), cut with ``trunc`` and added. Products of the operand formats are exact in the
lane type, and so are the sums, which are integers below (L + 1)·4·2^F: 2^20.1 for FP8 with F = 13
(float32 lanes, below 2^24), 2^32.1 for F = 25 and L = 32 (float64 lanes, below 2^53).

Block-scaled operands: MX formats with E8M0 scales, and FP4 with the scales of 16 or 32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from planner.numerics.matrix_units import DotRule
from planner.numerics.operands import (
    ZERO_EXPONENT,
    Floats,
    Operand,
    Shorts,
    Singles,
    operand,
    power_of_two,
    round_sums,
    single_exponents,
)

# Broadcasting one column over rows of 4096 costs numpy a third of what rows of 2048 do.
TILE_COLUMNS = 4096
TILE_ELEMENTS = 1 << 16
# Tiles so small that calling numpy costs more than computing: whole groups at once.
FEW = 1 << 9
BLOCK_ELEMENTS = 1 << 15


def fused_matmul(a: Operand, b: Operand, c: Singles, rule: DotRule) -> None:
    """Run all instructions of ``rule`` over ``c`` (M, N) in place.

    ``a`` (M, K) and ``b`` (K, N) with K a multiple of the instruction's; ``c`` holds accumulator
    values. Temporaries are a few tiles of 2^16 elements, whatever the size.
    """
    if c.shape[0] > c.shape[1]:  # products commute; long rows are faster
        a, b, c = b.transposed(), a.transposed(), c.T
    groups = fused_groups(a.values.shape[1], rule)
    if c.size <= FEW:
        with np.errstate(all="ignore"):
            c[...] = _few(_lanes(a, narrow=False), _lanes(b, narrow=False), c, rule, groups)
        return
    narrow = _narrow(a, b, c, rule)
    with np.errstate(all="ignore"):
        for j in range(0, c.shape[1], TILE_COLUMNS):
            columns = slice(j, j + TILE_COLUMNS)
            right = _lanes(b[:, columns], narrow=narrow)
            height = max(1, TILE_ELEMENTS // right.values.shape[1])
            for i in range(0, c.shape[0], height):
                rows = slice(i, i + height)
                tile = c[rows, columns].astype(np.float64)
                _tile(_lanes(a[rows], narrow=narrow), right, tile, rule, groups)
                c[rows, columns] = tile


def fused_groups(k: int, rule: DotRule) -> list[list[npt.NDArray[np.intp]]]:
    """For every instruction, the k of each of its fused sums."""
    order = np.arange(rule.instruction_k)
    if rule.k_order == "interleaved":
        order = np.concatenate([order[order % 4 < 2], order[order % 4 >= 2]])
    parts = np.split(order, rule.instruction_k // rule.terms)
    return [[p + start for p in parts] for start in range(0, k, rule.instruction_k)]


def _narrow(a: Operand, b: Operand, c: Singles, rule: DotRule) -> bool:
    """Whether float32 lanes and int8 exponents hold everything: FP8, F = 13, ordinary ``c``."""
    if rule.fraction_bits != 13 or a.values.dtype != np.float32 or b.values.dtype != np.float32:
        return False
    magnitude = np.abs(c)
    return bool(((magnitude == 0) | ((magnitude > 2.0**-60) & (magnitude < 2.0**60))).all())


def _lanes(x: Operand, *, narrow: bool) -> Operand:
    if narrow:
        small = np.maximum(x.exponents, -64).astype(np.int8, order="C")
        return Operand(np.ascontiguousarray(x.values), small)
    return Operand(x.values.astype(np.float64, order="C"), np.ascontiguousarray(x.exponents))


def _tile(a: Operand, b: Operand, c: Floats, rule: DotRule,
          groups: list[list[npt.NDArray[np.intp]]]) -> None:  # fmt: skip
    lanes = a.values.dtype
    small = np.empty(c.shape, dtype=a.exponents.dtype)
    largest = np.empty_like(small)
    product = np.empty(c.shape, dtype=lanes)
    total = np.empty_like(product)
    fused = rule.c_entry == "fused"
    columns = np.ascontiguousarray(a.values.T)[:, :, None]
    exponents = np.ascontiguousarray(a.exponents.T)[:, :, None]
    for instruction in groups:
        partial = c if fused else np.zeros_like(c)
        for group in instruction:
            _largest(exponents, b.exponents, group, small, largest)
            e = _with_accumulator(partial, largest, rule)
            bits = rule.fraction_bits or 0
            up = power_of_two(bits - e)
            scale = up.astype(lanes, copy=False)
            np.trunc(partial * up, out=total, casting="same_kind")
            for k in group:
                np.multiply(columns[k], b.values[k], out=product)
                np.multiply(product, scale, out=product)
                np.trunc(product, out=product)
                np.add(total, product, out=total)
            np.multiply(total, power_of_two(e - bits), out=partial)
            round_sums(partial, rule.rounding)
        if not fused:
            c += partial
            round_sums(c, "rne-fp16" if rule.accumulator == "fp16" else "rne-fp32")


def _few(a: Operand, b: Operand, c: Singles, rule: DotRule,
         groups: list[list[npt.NDArray[np.intp]]]) -> Floats:  # fmt: skip
    """:func:`_tile` for few outputs: the products of many groups at once."""
    total, fused, bits = c.astype(np.float64), rule.c_entry == "fused", rule.fraction_bits or 0
    per = max(1, BLOCK_ELEMENTS // max(1, c.size * rule.instruction_k))
    lowest = -14 if rule.accumulator == "fp16" else -126
    floor = ZERO_EXPONENT if rule.min_exponent is None else rule.min_exponent
    for first in range(0, len(groups), per):
        some = groups[first : first + per]
        ks = np.array(some)  # (instructions, groups, terms)
        left, right = a.values.T[ks][..., :, None], b.values[ks][..., None, :]
        products = left * right
        sums = a.exponents.T[ks][..., :, None] + b.exponents[ks][..., None, :]
        largest = np.maximum(sums.max(axis=2), floor)
        for i in range(len(some)):
            partial = total if fused else np.zeros_like(total)
            for g in range(ks.shape[1]):
                own = (partial.view(np.int64) >> 52 & 0x7FF) - 1023
                np.maximum(own, lowest, out=own, where=partial != 0)
                up = power_of_two(bits - np.maximum(own, largest[i, g]))
                cut = np.trunc(products[i, g] * up).sum(axis=0)
                cut += np.trunc(partial * up)
                np.divide(cut, up, out=partial)
                round_sums(partial, rule.rounding)
            if not fused:
                total += partial
                round_sums(total, "rne-fp16" if rule.accumulator == "fp16" else "rne-fp32")
    return total


def _largest(a: npt.NDArray[Any], b: npt.NDArray[Any], group: npt.NDArray[np.intp],
             small: npt.NDArray[Any], largest: npt.NDArray[Any]) -> None:  # fmt: skip
    """Largest exponent of the products of one group, zeros far below every other."""
    np.add(a[group[0]], b[group[0]], out=largest)
    for k in group[1:]:
        np.add(a[k], b[k], out=small)
        np.maximum(largest, small, out=largest)


def _with_accumulator(c: Floats, largest: npt.NDArray[Any], rule: DotRule) -> Shorts:
    lowest = -14 if rule.accumulator == "fp16" else -126
    own = single_exponents(c.astype(np.float32), lowest)
    floor = rule.min_exponent if rule.min_exponent is not None else ZERO_EXPONENT
    e: Shorts = np.maximum(np.maximum(own, largest), np.int16(floor))
    return e


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
