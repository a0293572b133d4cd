"""Casts compiled by numba, with the bits of planner/numerics/cast.py. Import lazily: it needs the
``[fast]`` extra.

Rounding to nearest even adds and subtracts 1.5·2^(e+23-m), whose last bit is the target's: two
float32 operations that vectorise. Every other policy looks the code up, as numpy does.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from planner.errors import UnsupportedError
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

NEAREST, TABLE, INTEGER = 0, 1, 2


class CastParameters(NamedTuple):
    """What the kernels need to know of a format and a policy.

    ``kind`` selects the encoder. ``lowest`` bounds the exponent field of the rounding constant,
    ``add`` turns that field into the constant, ``ceiling`` is the first power of two above the
    range, ``top`` the magnitude code of the largest value; ``special`` holds the codes of overflow,
    infinity and NaN, positive then negative; ``negative_zero`` the code of -0.
    """

    kind: int
    symmetric: bool
    shift: np.uint32
    lowest: np.uint32
    ceiling: np.uint32
    add: np.uint32
    top: np.uint32
    largest: np.float32
    sign_shift: np.uint32
    sign_bit: np.uint32
    negative_zero: np.uint32
    special: Bytes
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
        raise UnsupportedError(f"numba has no kernel for {fmt.id} under policy {policy.id}",
                               hint="use engine='numpy'")
    if fmt.kind == "int":
        if not nearest_even:
            raise UnsupportedError("numba rounds integers to nearest even alone",
                                   hint="use engine='numpy'")
        return _recipe(INTEGER, fmt, np.zeros(65536, np.uint8))
    table = encode_table(fmt.id, policy).copy()
    floats = nearest_even and fmt.kind == "float" and fmt.signed
    return _recipe(NEAREST if floats else TABLE, fmt, table)


def _recipe(kind: int, fmt: ElementFormat, table: Bytes) -> CastParameters:
    mantissa = fmt.mantissa_bits if kind == NEAREST else 0
    sign, uint = 1 << fmt.bits - 1, np.uint32
    special = table[[0x7F7F, 0x7F80, 0x7FC0, 0xFF7F, 0xFF80, 0xFFC0]]
    top = max_code(fmt) if kind == NEAREST else 0
    symmetric = (int(special[3]) == int(special[0]) | sign and table[0x8000] == sign
                 and special[0] == special[1] and special[3] == special[4]
                 and int(special[0]) in (top, top + 1))  # fmt: skip
    return CastParameters(
        kind=kind,
        symmetric=bool(symmetric),
        shift=uint(23 - mantissa),
        lowest=uint(128 - fmt.bias << 23 if kind == NEAREST else 0),
        ceiling=uint(127 + int(np.frexp(fmt.max_finite)[1]) << 23),
        add=uint((23 - mantissa << 23) | 0x400000),
        top=uint(top),
        largest=np.float32(fmt.max_finite),
        sign_shift=uint(32 - fmt.bits),
        sign_bit=uint(sign),
        negative_zero=uint(table[0x8000]),
        special=special,
        table=table,
    )


@kernel
def encode_nearest(u: Words, r: CastParameters, out: Bytes) -> None:
    """To nearest even; ranges, NaN and -0 as the recipe says.

    The sum of the magnitude and the constant ends in the rounded significand; a carry into the next
    binade and subnormals need no case of their own.
    """
    over, inf, nan = np.uint32(r.special[0]), np.uint32(r.special[1]), np.uint32(r.special[2])
    over_n, inf_n = np.uint32(r.special[3]), np.uint32(r.special[4])
    nan_n = np.uint32(r.special[5])
    lowest, ceiling, add, top = r.lowest, r.ceiling, r.add, r.top
    sign_bit, negative_zero = r.sign_bit, r.negative_zero
    shift = np.uint32(r.shift & np.uint32(31))
    for i in range(u.size):
        bits = u[i]
        a = np.uint32(bits & np.uint32(0x7FFFFFFF))
        v = np.uint32(min(a, ceiling))
        e = np.uint32(max(np.uint32(v & np.uint32(0x7F800000)), lowest))
        c = np.uint32(e + add)
        total = np.float32(v.view(np.float32) + c.view(np.float32))
        above = np.uint32(np.uint32(e - lowest) >> shift)
        code = np.uint32(np.uint32(total.view(np.uint32) - c) + above)
        negative = bits > np.uint32(0x7FFFFFFF)
        signed = np.uint32(code | sign_bit) if code else negative_zero
        result = signed if negative else code
        result = (over_n if negative else over) if code > top else result
        result = (inf_n if negative else inf) if a == np.uint32(0x7F800000) else result
        result = (nan_n if negative else nan) if a > np.uint32(0x7F800000) else result
        out[i] = np.uint8(result)


@kernel
def encode_symmetric(u: Words, r: CastParameters, out: Bytes) -> None:
    """:func:`encode_nearest` where overflow and infinity share a code at or after the largest, and
    every code but NaN's has its sign in front, zero's as well.

    Shift counts are masked so that the compiler sees that they fit 32 bits: it then keeps 32-bit
    lanes.
    """
    over, nan, nan_n = np.uint32(r.special[0]), np.uint32(r.special[2]), np.uint32(r.special[5])
    lowest, ceiling, add, sign_bit = r.lowest, r.ceiling, r.add, r.sign_bit
    shift = np.uint32(r.shift & np.uint32(31))
    sign_shift = np.uint32(r.sign_shift & np.uint32(31))
    for i in range(u.size):
        bits = u[i]
        a = np.uint32(bits & np.uint32(0x7FFFFFFF))
        v = np.uint32(min(a, ceiling))
        e = np.uint32(max(np.uint32(v & np.uint32(0x7F800000)), lowest))
        c = np.uint32(e + add)
        total = np.float32(v.view(np.float32) + c.view(np.float32))
        above = np.uint32(np.uint32(e - lowest) >> shift)
        code = np.uint32(np.uint32(total.view(np.uint32) - c) + above)
        code = np.uint32(min(code, over))
        sign = np.uint32(np.uint32(bits >> sign_shift) & sign_bit)
        wrong = nan_n if sign else nan
        out[i] = np.uint8(wrong if a > np.uint32(0x7F800000) else np.uint32(code | sign))


@kernel
def encode_lookup(u: Words, table: Bytes, out: Bytes) -> None:
    """The table at the upper half, its last bit made sticky."""
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
    codes: Bytes, shift: np.uint32, offset: np.uint32, normal: np.uint32, unit: np.float32,
    top: np.uint32, last: np.uint32, out: Words,
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
    """Plain BF16."""
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
    elif r.kind == TABLE:
        encode_lookup(x.view(np.uint32), r.table, out)
    elif r.symmetric:
        encode_symmetric(x.view(np.uint32), r, out)
    else:
        encode_nearest(x.view(np.uint32), r, out)


@cache
def values_of(format: str) -> FloatArray:
    """The 256 decoded values, writable because kernels are compiled for such arrays."""
    return decode_table(format).copy()


def decode_flat(codes: npt.NDArray[Any], fmt: ElementFormat, out: FloatArray) -> None:
    """Decode one contiguous vector of codes.

    Raises UnsupportedError for formats of more than 8 bits.
    """
    if fmt.bits > 8:
        raise UnsupportedError(f"numba has no kernel to decode {fmt.id}",
                               hint="use engine='numpy'")
    if fmt.kind == "float" and fmt.signed and fmt.bits == 8 and fmt.nan != "negative-zero":
        mantissa, top = fmt.mantissa_bits, max_code(fmt)
        last = top if np.isnan(decode_table(fmt.id)[top + 1]) else top + 1
        decode_bits(codes, np.uint32(23 - mantissa), np.uint32(127 - fmt.bias << 23),
                    np.uint32(1 << mantissa), np.float32(fmt.min_subnormal), np.uint32(top),
                    np.uint32(last), out.view(np.uint32))
    else:
        decode_lookup(codes, values_of(fmt.id), out)
