"""The fused dot product in numpy: tiles of outputs, one k at a time, bit-equal to the reference.

Per group of L products the largest exponent E is found in small integers. Every product is then
scaled by 2^(F-E), cut with ``trunc`` and added. Products of the operand formats are exact in the
lane type, and so are the sums, which are integers below (L + 1)·4·2^F: 2^20.1 for FP8 with F = 13
(float32 lanes, below 2^24), 2^32.1 for F = 25 and L = 32 (float64 lanes, below 2^53).
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
