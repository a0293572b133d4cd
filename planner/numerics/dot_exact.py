"""Exact sums of products, rounded once: the reference that no order of summation can change.

Operands are written in fixed point and cut into limbs of w bits. A product of limb matrices is a
sum of K integers below 2^(2w), exact in float64 for K·2^(2w) ≤ 2^53, so that BLAS adds it without
rounding. Digits of equal weight are added in int64 and carried, and the leading three with a sticky
bit are rounded to FP32. E4M3 × E4M3 needs one limb: its products are multiples of 2^-18 below 2^18.
"""

from __future__ import annotations

from functools import reduce
from math import ceil, log2

import numpy as np
import numpy.typing as npt

from planner.numerics.operands import Floats, Singles

Digits = npt.NDArray[np.int64]

COLUMNS = 2048
CHUNK = 2048  # of K
BITS = 1 << 16  # elements a step
_MAX_LIMB = 19  # three digits and a carry stay below 2^62


def exact_matmul(a: Singles, b: Singles, c: Singles) -> Singles:
    """The exact ``a`` (M, K) @ ``b`` (K, N) + ``c`` (M, N), rounded to nearest even.

    Infinities and NaN follow IEEE 754: 0·∞ and ∞-∞ give NaN.
    """
    out = np.empty(c.shape, dtype=np.float32)
    for j in range(0, c.shape[1], COLUMNS):
        columns = slice(j, j + COLUMNS)
        out[:, columns] = _exact(a, b[:, columns], c[:, columns])
    return out


def _exact(a: Singles, b: Singles, c: Singles) -> Singles:
    finite = [bool(np.isfinite(x).all()) for x in (a, b, c)]
    clean = [x if fine else np.where(np.isfinite(x), x, np.float32(0))
             for x, fine in zip((a, b, c), finite, strict=True)]  # fmt: skip
    k = max(1, a.shape[1])
    single = _one_limb(clean[0], clean[1], k)
    if single is not None and not c.any():
        with np.errstate(over="ignore"):
            out: Singles = single.astype(np.float32)
    else:
        out = _by_limbs(clean[0], clean[1], clean[2], k)
    if not all(finite):
        special = _special(a, b, c)
        np.copyto(out, special, where=special != 0)
    return out


def _one_limb(a: Singles, b: Singles, k: int) -> Floats | None:
    """One float64 product where it cannot round: K·max|a|·max|b| ≤ 2^53 steps."""
    steps = [_lowest_bit(x) for x in (a, b)]
    tops = [_top(x) for x in (a, b)]
    if k * tops[0] * tops[1] > 2.0 ** (53 + sum(steps)):
        return None
    product = np.zeros((a.shape[0], b.shape[1]))
    for ks in _chunks(k):
        product += a[:, ks].astype(np.float64) @ b[ks].astype(np.float64)
    return product


def _chunks(k: int) -> list[slice]:
    return [slice(i, i + CHUNK) for i in range(0, k, CHUNK)]


def _top(x: Singles) -> float:
    return max(float(x.max(initial=0.0)), -float(x.min(initial=0.0)))


def _lowest_bit(x: Singles) -> int:
    """The largest q such that all of ``x`` are multiples of 2^q (0 where all are zero)."""
    bits = np.ascontiguousarray(x).view(np.uint32).reshape(-1)
    lowest_bits = [_lowest_of(bits[i : i + BITS]) for i in range(0, bits.size, BITS)]
    return min((q for q in lowest_bits if q is not None), default=0)


def _lowest_of(bits: npt.NDArray[np.uint32]) -> int | None:
    bits = bits & np.uint32(0x7FFFFFFF)
    bits = bits[bits != 0]
    if not bits.size:
        return None
    exponent = np.maximum((bits >> np.uint32(23)).astype(np.int64), 1)
    normal = (bits >> np.uint32(23) != 0) * np.uint32(1 << 23)
    significand = (bits & np.uint32(0x7FFFFF) | normal).astype(np.int64)
    trailing = np.log2((significand & -significand).astype(np.float64)).astype(np.int64)
    return int((exponent - 150 + trailing).min())


def _by_limbs(a: Singles, b: Singles, c: Singles, k: int) -> Singles:
    width = min(_MAX_LIMB, (53 - ceil(log2(min(k, CHUNK)))) // 2)
    low_a, low_b, low_c = _lowest_bit(a), _lowest_bit(b), _lowest_bit(c)
    count_a, count_b = _limb_count(a, low_a, width), _limb_count(b, low_b, width)
    # The accumulator may reach below the products: shift those up by whole digits.
    low = low_a + low_b
    extra = max(0, -(-(low - low_c) // width)) if c.any() else 0
    base = low - extra * width
    count_c = _limb_count(c, base, width)
    digits = np.zeros((max(count_a + count_b + extra, count_c) + 3, *c.shape), dtype=np.int64)
    for ks in _chunks(k):
        limbs_a = _limbs(a[:, ks], low_a, width, count_a)
        limbs_b = _limbs(b[ks], low_b, width, count_b)
        for i, x in enumerate(limbs_a):
            for j, y in enumerate(limbs_b):
                digits[i + j + extra] += (x @ y).astype(np.int64)
        _carry(digits, width)
    for i, x in enumerate(_limbs(c, base, width, count_c)):
        digits[i] += x.astype(np.int64)
    return _round_digits(digits, width, base)


def _limb_count(x: Singles, low: int, width: int) -> int:
    top = _top(x)
    return max(1, ceil((int(np.frexp(top)[1]) - low) / width)) if top else 1


def _limbs(x: Singles, low: int, width: int, count: int) -> list[Floats]:
    """``x`` / 2^low as float64 integer limbs of ``width`` bits, all with the sign of ``x``."""
    rest = np.abs(x).astype(np.float64)
    sign = np.sign(x).astype(np.float64)
    limbs = []
    for i in reversed(range(count)):
        digit = np.floor(np.ldexp(rest, -(low + i * width)))
        rest -= np.ldexp(digit, low + i * width)
        limbs.append(digit * sign)
    return limbs[::-1]


def _round_digits(digits: Digits, width: int, low: int) -> Singles:
    """Σ digits[i]·2^(low + i·width), rounded once to FP32; ``digits`` is overwritten."""
    base = np.int64(1) << width
    _carry(digits, width)
    negative = digits[-1] < 0
    np.negative(digits, out=digits, where=negative)
    _carry(digits, width)
    lead = np.zeros(digits.shape[1:], dtype=np.int64)
    place = np.zeros_like(lead)
    used = np.zeros_like(lead)
    sticky = np.zeros(lead.shape, dtype=bool)
    for i in reversed(range(digits.shape[0])):
        taking = (used > 0) | (digits[i] != 0)
        room = taking & (used < 3)
        lead = np.where(room, lead * base + digits[i], lead)
        place = np.where(room, i, place)
        used += room
        sticky |= taking & ~room & (digits[i] != 0)
    # At most 57 bits: four go into the sticky bit where float64 does not hold them (to odd).
    shift = np.where(lead >= 1 << 53, 4, 0)
    sticky |= lead & ((np.int64(1) << shift) - 1) != 0
    odd = (lead >> shift) | sticky
    with np.errstate(over="ignore", under="ignore"):
        value = np.ldexp(odd.astype(np.float64), place * width + low + shift)
        result: Singles = np.where(negative, -value, value).astype(np.float32)
    return result


def _carry(digits: Digits, width: int) -> None:
    """Bring every digit but the last into [0, 2^width)."""
    for i in range(digits.shape[0] - 1):
        digits[i + 1] += digits[i] >> width
        digits[i] &= (np.int64(1) << width) - 1


def _special(a: Singles, b: Singles, c: Singles) -> Singles:
    """±∞ or NaN where the sum has one, else 0."""
    (ap, an, au, ad), (bp, bn, bu, bd) = (_classes(x) for x in (a, b))
    plus = ap @ bu + an @ bd + au @ bp + ad @ bn + (c == np.inf)
    minus = ap @ bd + an @ bu + au @ bn + ad @ bp + (c == -np.inf)
    nan_a, nan_b = np.isnan(a).astype(np.float32), np.isnan(b).astype(np.float32)
    zero_a, zero_b = (a == 0).astype(np.float32), (b == 0).astype(np.float32)
    bad = reduce(np.add, [nan_a.sum(axis=1)[:, None], nan_b.sum(axis=0), np.isnan(c),
                          (ap + an) @ zero_b, zero_a @ (bp + bn)])  # fmt: skip
    out = np.zeros(c.shape, dtype=np.float32)
    out[plus > 0] = np.inf
    out[minus > 0] = -np.inf
    out[(bad > 0) | ((plus > 0) & (minus > 0))] = np.nan
    return out


def _classes(x: Singles) -> list[Singles]:
    """1.0 where +∞, -∞, above zero, below zero."""
    return [y.astype(np.float32) for y in (x == np.inf, x == -np.inf, x > 0, x < 0)]
