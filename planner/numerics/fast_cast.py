"""Casts compiled by numba, with the bits of planner/numerics/cast.py. Import lazily: it needs the
``[fast]`` extra.

Normal numbers are rounded in integers, by adding half a unit (less one, plus the parity of what
stays, for ties to even) before the shift; subnormals by a float32 sum whose last bit is the
target's, or, where ties do not go to even, by looking at what the conversion to an integer cuts
off. Selects decide, so that loops vectorise; formats without a sign look their codes up, as numpy
does.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from planner.base.errors import UnsupportedError
from planner.formats.elements import element
from planner.formats.spec import ElementFormat
from planner.numerics.engines import kernel
from planner.numerics.policies import Policy
from planner.numerics.reference import max_code
from planner.numerics.tables import decode_table, encode_table
from planner.numerics.tiles import FloatArray
from planner.numerics.wide import is_plain_bf16

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]

NEAREST, DIRECTED, TABLE, INTEGER = 0, 1, 2, 3
# Upper halves of a float32: the largest finite number, infinity, NaN, and their negatives; -0.
_SPECIAL = (0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0xFFC0, 0x8000)
_INFINITY = 0x7F800000


class CastParameters(NamedTuple):
    """What the kernels need to know of a format and a policy.

    ``kind`` selects the encoder. ``words`` (see :func:`_words`) are the numbers of float formats.
    ``symmetric``: a finite number's code is that of its magnitude with the sign in front, zero's
    too, and beyond the range it is the code of infinity. ``table`` is used by TABLE alone.
    """

    kind: int
    symmetric: bool
    words: Words
    table: Bytes


@cache
def recipe(format: str, policy: Policy) -> CastParameters:
    """The kernel parameters of a format of up to 8 bits under ``policy``.

    Raises UnsupportedError for wider formats, and for integers that are not rounded to nearest
    even.
    """
    fmt = element(format)
    nearest_even = policy.rounding == "nearest" and policy.tie == "even"
    if fmt.bits > 8:
        raise UnsupportedError(
            f"numba has no kernel for {fmt.id} under policy {policy.id}", hint="use engine='numpy'"
        )
    if fmt.kind == "int":
        if not nearest_even:
            raise UnsupportedError(
                "numba rounds integers to nearest even alone", hint="use engine='numpy'"
            )
        mask = np.array([(1 << fmt.bits) - 1], np.uint32)
        return CastParameters(INTEGER, False, mask, np.zeros(0, np.uint8))
    table = encode_table(fmt.id, policy).copy()
    words = _words(fmt, policy, table) if fmt.kind == "float" and fmt.signed else None
    if words is None:
        return CastParameters(TABLE, False, np.zeros(0, np.uint32), table)
    over, over_n, inf, inf_n, _, _, zero_n = (int(table[i]) for i in _SPECIAL)
    sign = 1 << fmt.bits - 1
    symmetric = (over, over_n, zero_n) == (inf, inf_n, sign) and over_n == over | sign
    return CastParameters(NEAREST if nearest_even else DIRECTED, symmetric, words, table)


def _words(fmt: ElementFormat, policy: Policy, table: Bytes) -> Words | None:
    """The numbers of a signed float format, None where its codes do not have the kernels' form.

    0 shift of the significand, 1 what is added before it, 2 the smallest normal number, 3 the
    constant of subnormals, 4 shift of the sign, 5 its bit, 6 code of overflow, 7 of infinity,
    8 the last magnitude that is not NaN, 9 code of NaN, 10 what its sign flips, 11 the last code
    that loses its sign (-1: none), 12 and 13 scale and threshold of subnormals (DIRECTED),
    14 the largest finite number. Floats as their bits.
    """
    over, over_n, inf, inf_n, nan, nan_n, zero_n = (int(table[i]) for i in _SPECIAL)
    sign, shift, last = 1 << fmt.bits - 1, 23 - fmt.mantissa_bits, _INFINITY
    if inf_n != inf | sign:
        last = _INFINITY - 1
    if over_n != over | sign:
        first = int(np.argmax(table[:0x7F80] == over))
        # An odd entry stands for everything between its neighbours.
        last = first - 1 << 16 if first & 1 else (first << 16) - 1
    apart = last != _INFINITY and (
        (inf, inf_n) != (nan, nan_n) or (over_n != over | sign and (over, over_n) != (nan, nan_n))
    )
    if apart or (nan ^ nan_n) not in (0, sign):
        return None
    half, threshold = 1 << shift - 1, np.float32(0.5)
    if policy.rounding == "toward-zero":
        add, threshold = 0, np.float32(2)
    elif policy.tie == "away":
        add = half
    else:
        add, threshold = half - 1, np.nextafter(threshold, np.float32(1))
    floats = np.array([2.0**23 * fmt.min_subnormal, 1 / fmt.min_subnormal, threshold,
                       fmt.max_finite], np.float32).view(np.uint32)  # fmt: skip
    return np.array(
        [
            shift,
            (add - (127 - fmt.bias << 23)) & 0xFFFFFFFF,
            128 - fmt.bias << 23,
            floats[0],
            32 - fmt.bits,
            sign,
            over,
            inf,
            last,
            nan,
            nan ^ nan_n,
            0xFFFFFFFF if zero_n == sign else 0,
            floats[1],
            floats[2],
            floats[3],
        ],
        np.uint32,
    )


@kernel
def encode_nearest(u: Words, p: Words, out: Bytes) -> None:
    """To nearest even; ranges, NaN and -0 as the words say.

    Shift counts are masked so that the compiler sees that they fit 32 bits: it then keeps 32-bit
    lanes.
    """
    shift, sign_shift = np.uint32(p[0] & np.uint32(31)), np.uint32(p[4] & np.uint32(31))
    add, normal, magic, sign_bit, over, inf = p[1], p[2], p[3], p[5], p[6], p[7]
    constant = np.uint32(p[3]).view(np.float32)
    last, nan, flip, least = p[8], p[9], p[10], np.int32(p[11])
    for i in range(u.size):
        b = u[i]
        a = np.uint32(b & np.uint32(0x7FFFFFFF))
        odd = np.uint32(np.uint32(a >> shift) & np.uint32(1))
        large = np.uint32(np.uint32(np.uint32(a + add) + odd) >> shift)
        total = np.float32(a.view(np.float32) + constant)
        small = np.uint32(total.view(np.uint32) - magic)
        code = np.uint32(min(np.uint32(small if a < normal else large), over))
        code = np.uint32(inf if a == np.uint32(0x7F800000) else code)
        sign = np.uint32(np.uint32(b >> sign_shift) & sign_bit)
        wrong = np.uint32(nan ^ np.uint32(sign & flip))
        sign = np.uint32(sign if np.int32(code) > least else np.uint32(0))
        out[i] = np.uint8(wrong if a > last else np.uint32(code | sign))


@kernel
def encode_directed(u: Words, p: Words, out: Bytes) -> None:
    """As :func:`encode_nearest`, toward zero or with ties away from or toward zero."""
    shift, sign_shift = np.uint32(p[0] & np.uint32(31)), np.uint32(p[4] & np.uint32(31))
    add, normal, sign_bit, over, inf = p[1], p[2], p[5], p[6], p[7]
    last, nan, flip, least = p[8], p[9], p[10], np.int32(p[11])
    scale, threshold = np.uint32(p[12]).view(np.float32), np.uint32(p[13]).view(np.float32)
    for i in range(u.size):
        b = u[i]
        a = np.uint32(b & np.uint32(0x7FFFFFFF))
        large = np.uint32(np.uint32(a + add) >> shift)
        units = np.float32(np.uint32(min(a, normal)).view(np.float32) * scale)
        full_units = np.int32(units)
        up = np.float32(units - np.float32(full_units)) >= threshold
        small = np.uint32(full_units + np.int32(1)) if up else np.uint32(full_units)
        code = np.uint32(min(np.uint32(small if a < normal else large), over))
        code = np.uint32(inf if a == np.uint32(0x7F800000) else code)
        sign = np.uint32(np.uint32(b >> sign_shift) & sign_bit)
        wrong = np.uint32(nan ^ np.uint32(sign & flip))
        sign = np.uint32(sign if np.int32(code) > least else np.uint32(0))
        out[i] = np.uint8(wrong if a > last else np.uint32(code | sign))


@kernel
def encode_lookup(u: Words, table: Bytes, out: Bytes) -> None:
    """The table [65,536] at the upper half, its last bit made sticky."""
    for i in range(u.size):
        b = u[i]
        low = np.uint32((b & np.uint32(0xFFFF)) + np.uint32(0xFFFF))
        out[i] = table[np.uint32(low | b) >> np.uint32(16)]


@kernel
def encode_integer(
    x: FloatArray, low: np.float32, high: np.float32, mask: np.uint8, out: Bytes
) -> None:
    """Clipped to [low, high], then to nearest even by adding 1.5·2^23; NaN is 0."""
    magic = np.float32(12582912.0)
    for i in range(x.size):
        v = x[i]
        v = high if v > high else v
        v = low if v < low else v
        v = v if v == v else np.float32(0)
        out[i] = np.uint8(np.int32(np.float32(v + magic) - magic)) & mask


@kernel
def decode_lookup(codes: Bytes, table: FloatArray, out: FloatArray) -> None:
    """The table at every byte."""
    for i in range(codes.size):
        out[i] = table[codes[i]]


@kernel
def decode_bits(
    codes: Bytes,
    shift: np.uint32,
    offset: np.uint32,
    normal: np.uint32,
    unit: np.float32,
    top: np.uint32,
    last: np.uint32,
    out: Words,
) -> None:
    """Signed floats of 8 bits: exponents move, subnormals are integers times a unit.

    Magnitudes above ``top`` are infinities, those above ``last`` NaN. ``out``: bits of float32.
    """
    shift = np.uint32(shift & np.uint32(31))
    for i in range(codes.size):
        code = np.uint32(codes[i])
        a = np.uint32(code & np.uint32(127))
        large = np.uint32(np.uint32(a << shift) + offset)
        small = np.float32(np.float32(np.int32(a)) * unit).view(np.uint32)
        y = large if a >= normal else small
        y = np.uint32(0x7F800000) if a > top else y
        y = np.uint32(y | np.uint32(np.uint32(code << np.uint32(24)) & np.uint32(0x80000000)))
        out[i] = np.uint32(0x7FC00000) if a > last else y


@kernel
def encode_upper(u: Words, out: npt.NDArray[np.uint16]) -> None:
    """Plain BF16 of the words ``u`` [n]."""
    for i in range(u.size):
        b = u[i]
        even = np.uint32(b >> np.uint32(16)) & np.uint32(1)
        rounded = np.uint32(np.uint32(b + np.uint32(0x7FFF)) + even) >> np.uint32(16)
        quiet = np.uint32(b >> np.uint32(16)) & np.uint32(0x8000) | np.uint32(0x7FC0)
        nan = np.uint32(b & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
        out[i] = np.uint16(quiet if nan else rounded)


def encode_flat(x: FloatArray, fmt: ElementFormat, policy: Policy, out: npt.NDArray[Any]) -> None:
    """Encode one contiguous float32 vector.

    Raises UnsupportedError for what numba has no kernel for: FP32, TF32, FP16, BF16 beyond the
    default policy, and integers under another rounding than to nearest even.
    """
    if is_plain_bf16(fmt, policy):
        encode_upper(x.view(np.uint32), out)
        return
    r = recipe(fmt.id, policy)
    if r.kind == INTEGER:
        low, high = -(1 << fmt.bits - 1), (1 << fmt.bits - 1) - 1
        mask = np.uint8((1 << fmt.bits) - 1)
        encode_integer(x, np.float32(low), np.float32(high), mask, out)
    else:
        encode_floats(x.view(np.uint32), r, out)


@kernel
def encode_floats(u: Words, r: CastParameters, out: Bytes) -> None:
    """Codes of the words ``u`` [n], whatever the recipe's kind, integers excepted."""
    if r.kind == NEAREST:
        encode_nearest(u, r.words, out)
    elif r.kind == DIRECTED:
        encode_directed(u, r.words, out)
    else:
        encode_lookup(u, r.table, out)


@cache
def values_of(format: str) -> FloatArray:
    """The 256 decoded values, writable because kernels are compiled for such arrays."""
    return decode_table(format).copy()


def decode_flat(codes: npt.NDArray[Any], fmt: ElementFormat, out: FloatArray) -> None:
    """Decode one contiguous vector of codes.

    Raises UnsupportedError for formats of more than 8 bits.
    """
    if fmt.bits > 8:
        raise UnsupportedError(f"numba has no kernel to decode {fmt.id}", hint="use engine='numpy'")
    if fmt.kind == "float" and fmt.signed and fmt.bits == 8 and fmt.nan != "negative-zero":
        mantissa, top = fmt.mantissa_bits, max_code(fmt)
        last = top if np.isnan(decode_table(fmt.id)[top + 1]) else top + 1
        decode_bits(
            codes,
            np.uint32(23 - mantissa),
            np.uint32(127 - fmt.bias << 23),
            np.uint32(1 << mantissa),
            np.float32(fmt.min_subnormal),
            np.uint32(top),
            np.uint32(last),
            out.view(np.uint32),
        )
    else:
        decode_lookup(codes, values_of(fmt.id), out)
