"""Dot products of AMD's matrix cores (MFMA), generation by generation, in numpy.

``exact-groups`` (CDNA1): a few products and the accumulator are added exactly and rounded once.
``flushed-pairs`` (CDNA2): products and sums are FP32, rounded one by one in a tree, subnormal
numbers flushed on the way in and out. ``two-stage`` (CDNA3): products are cut towards zero below
the largest exponent among them, their sum and the accumulator then down (towards minus infinity)
below theirs. :mod:`planner.numerics.unit_catalog` tells which operands go which way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.matrix_units import DotRule
from planner.numerics.operands import Floats, Operand, Singles, power_of_two, single_exponents

TILE_ELEMENTS = 1 << 15
SECOND_STAGE_BITS = 31
_LEAST = -126  # exponent of FP32's smallest normal number
_NO_TERM = -999  # exponent of a group whose products are all zero


def amd_matmul(a: Operand, b: Operand, c: Singles, rule: DotRule) -> None:
    """All instructions of ``rule`` over ``c`` (M, N) in place; K is padded to the instruction."""
    height = max(1, TILE_ELEMENTS // max(1, c.shape[1]))
    step = {"exact-groups": _exact_groups, "flushed-pairs": _flushed_pairs,
            "two-stage": _two_stage}[rule.arithmetic]  # fmt: skip
    with np.errstate(all="ignore"):
        for i in range(0, c.shape[0], height):
            c[i : i + height] = step(a[i : i + height], b, c[i : i + height], rule)


def _products(a: Operand, b: Operand, ks: npt.NDArray[np.intp]) -> Floats:
    """The products of each k, exact in float64: (k, rows, columns)."""
    left, right = a.values[:, ks].astype(np.float64), b.values[ks].astype(np.float64)
    products: Floats = left.T[:, :, None] * right[:, None, :]
    return products


def _groups(k: int, length: int) -> list[npt.NDArray[np.intp]]:
    return [np.arange(start, start + length) for start in range(0, k, length)]


def _exact_groups(a: Operand, b: Operand, c: Singles, rule: DotRule) -> Singles:
    for ks in _groups(a.values.shape[1], rule.terms):
        products = _products(a, b, ks)
        if rule.terms == 2:
            high, low = products
        else:
            # Multiples of 2^-48 below 2^32: both halves of their sum are exact.
            upper = np.trunc(products * 2.0**8) * 2.0**-8
            high, low = two_sum(upper.sum(axis=0), (products - upper).sum(axis=0))
        wide = c.astype(np.float64)
        plain = products.sum(axis=0) + wide
        total = _sum_of_three(high, low, wide)
        # A zero sum is +0; a tiny negative one rounds to -0.
        exact = np.where(total == 0, 0.0, total).astype(np.float32)
        c = np.where(np.isfinite(plain), exact, plain.astype(np.float32))
    return c


def two_sum(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The rounded sum, and what it lost."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def to_odd(x: Floats, y: Floats) -> Floats:
    """``x + y`` cut, with the last bit set where anything was lost."""
    total, error = two_sum(x, y)
    bits = total.view(np.int64)
    inexact = (error != 0) & np.isfinite(total) & (bits & 1 == 0)
    bits += np.where(inexact, np.where((error < 0) == (total < 0), 1, -1), 0)
    return total


def _sum_of_three(x: Floats, y: Floats, z: Floats) -> Floats:
    """``x + y + z`` rounded to odd in float64, so that FP32 rounds it once (Boldo and Melquiond,
    2008)."""
    high, low = two_sum(y, z)
    top, rest = two_sum(x, high)
    return to_odd(top, to_odd(rest, low))


def _flushed(x: Singles, least: float | Floats, *, keep_sign: bool) -> Singles:
    zero = x * np.float32(0) if keep_sign else np.float32(0)
    flushed: Singles = np.where(np.abs(x) < least, zero, x)
    return flushed


def _flushed_pairs(a: Operand, b: Operand, c: Singles, rule: DotRule) -> Singles:
    """Sums of pairs, of two pairs where ``terms`` is 4, then the accumulator."""
    tiny = 2.0**_LEAST
    left, right = (
        _flushed(x.values, power_of_two(np.maximum(x.exponents, _LEAST)), keep_sign=False)
        for x in (a, b)
    )

    def add(x: Singles, y: Singles) -> Singles:
        return _flushed(x + y, tiny, keep_sign=True)

    for instruction in _groups(a.values.shape[1], rule.instruction_k):
        c = _flushed(c, tiny, keep_sign=False)
        for ks in instruction.reshape(-1, rule.terms):
            terms = [_flushed(left[:, k, None] * right[k], tiny, keep_sign=True) for k in ks]
            while len(terms) > 1:
                terms = [add(x, y) for x, y in zip(terms[::2], terms[1::2], strict=True)]
            c = add(c, terms[0])
    return c


def _two_stage(a: Operand, b: Operand, c: Singles, rule: DotRule) -> Singles:
    bits, split = rule.fraction_bits or 0, rule.k_order == "even-and-odd"
    for ks in _groups(a.values.shape[1], rule.terms):
        if split:
            even, odd = (_truncated(a, b, part, bits) for part in (ks[::2], ks[1::2]))
            largest = np.maximum(even[1], odd[1])
            value = _down(even[0], largest, bits) + _down(odd[0], largest, bits)
        else:
            value, largest = _truncated(a, b, ks, bits)
        own = np.maximum(single_exponents(c, _LEAST), _LEAST).astype(np.int64)
        top = np.maximum(largest, own)
        kept = _down(c.astype(np.float64), top, bits)
        if split:
            kept[own < top - bits - 1] = 0
        total = _down(value, top, SECOND_STAGE_BITS + 1) + kept
        exponent = np.maximum(np.frexp(np.where(np.isfinite(total), total, 0))[1] - 1, _LEAST)
        c = _down(total, exponent, SECOND_STAGE_BITS).astype(np.float32)
    return c


def _truncated(
    a: Operand, b: Operand, ks: npt.NDArray[np.intp], bits: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Sums of the products, each cut towards zero ``bits`` below the largest exponent, and it.

    A product beyond FP32 is an infinity.
    """
    products = _products(a, b, ks)
    products = np.where(np.abs(products) >= 2.0**128, np.copysign(np.inf, products), products)
    exponents = a.exponents[:, ks].astype(np.int64).T[:, :, None] + b.exponents[ks][:, None, :]
    largest = np.maximum(exponents.max(axis=0), _NO_TERM)
    cut = np.trunc(products * power_of_two(bits - largest)).sum(axis=0) + 0.0
    return cut * power_of_two(largest - bits), largest


def _down(x: Floats, exponents: npt.NDArray[np.int64], bits: int) -> Floats:
    """``x`` as a multiple of 2^(exponents - bits), towards minus infinity."""
    steps = exponents.astype(np.int64) - bits
    down: Floats = np.floor(x * power_of_two(-steps)) * power_of_two(steps)
    return down
