"""Exact encoders and decoders of every element format, in rational arithmetic.

This file is the definition; the tables and vectorised casts are built from it or proved equal to
it. It is slow on purpose: one value at a time, integers and fractions only.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from planner.base.errors import InputError, UnsupportedError
from planner.formats.elements import element
from planner.formats.spec import ElementFormat
from planner.numerics.policies import Policy, resolve_policy


@dataclass(frozen=True, slots=True)
class Exact:
    """A number without rounding: sign, class and magnitude (0 unless ``finite``)."""

    negative: bool
    kind: Literal["finite", "inf", "nan"]
    magnitude: Fraction = Fraction(0)


def _layout_bits(fmt: ElementFormat) -> int:
    """Significant bits of a code: TF32 has 19 of them in a 32-bit word."""
    return (1 if fmt.signed else 0) + fmt.exponent_bits + fmt.mantissa_bits


def _word_shift(fmt: ElementFormat) -> int:
    return fmt.bits - _layout_bits(fmt) if fmt.kind == "float" and fmt.signed else 0


def max_code(fmt: ElementFormat) -> int:
    """The magnitude code of the largest finite value (of E8M0: 254)."""
    top: int = (1 << fmt.exponent_bits + fmt.mantissa_bits) - 1
    if fmt.nan == "ieee":
        return top - (1 << fmt.mantissa_bits)
    return top - (1 if fmt.nan in ("all-ones", "ff") else 0)


def decode_exact(code: int, fmt: ElementFormat) -> Exact:
    """The number that ``code`` stands for.

    Raises InputError for a code outside the format's width.
    """
    if not 0 <= code < 1 << fmt.bits:
        raise InputError(
            f"code {code:#x} does not fit the {fmt.bits} bits of {fmt.id}",
            hint="pass codes that encode() returned for this format",
        )
    if fmt.kind == "int":
        value = code - (1 << fmt.bits) if code >> (fmt.bits - 1) else code
        return Exact(value < 0, "finite", abs(value) * Fraction(fmt.min_subnormal))
    code >>= _word_shift(fmt)
    magnitude_bits = fmt.exponent_bits + fmt.mantissa_bits
    negative = fmt.signed and bool(code >> magnitude_bits & 1)
    code &= (1 << magnitude_bits) - 1
    if negative and code == 0 and fmt.nan == "negative-zero":
        return Exact(negative, "nan")
    if code > max_code(fmt):
        infinite = fmt.has_inf and code == max_code(fmt) + 1
        return Exact(negative, "inf" if infinite else "nan")
    exponent, mantissa = code >> fmt.mantissa_bits, code & (1 << fmt.mantissa_bits) - 1
    if fmt.kind == "scale":
        return Exact(False, "finite", _power(exponent - fmt.bias))
    if exponent:
        mantissa += 1 << fmt.mantissa_bits
    scale = _power(max(exponent, 1) - fmt.bias - fmt.mantissa_bits)
    return Exact(negative, "finite", mantissa * scale)


def encode_exact(value: Exact, fmt: ElementFormat, policy: Policy, draw: int = 0) -> int:
    """The code of ``value`` under ``policy``; ``draw`` in [0, 2^32) decides stochastic rounding.

    Raises UnsupportedError for stochastic rounding to E8M0.
    """
    if fmt.kind == "int":
        return _encode_int(value, fmt, policy, draw)
    if fmt.kind == "scale":
        return _encode_power(value, policy)
    if value.kind == "nan":
        return _nan_code(value.negative, fmt, policy)
    negative = value.negative
    if not fmt.signed and negative:
        if policy.unsigned == "nan" and (value.kind == "inf" or value.magnitude):
            return _nan_code(False, fmt, policy)
        negative = False
    if value.kind == "inf":
        return _out_of_range(negative, fmt, policy, policy.infinity)
    code = _round_magnitude(value.magnitude, fmt, policy, draw)
    if code > max_code(fmt):
        if policy.rounding == "toward-zero":
            return _signed(max_code(fmt), negative, fmt)
        return _out_of_range(negative, fmt, policy, policy.overflow)
    if code == 0 and (not policy.keep_negative_zero or fmt.nan == "negative-zero"):
        negative = False
    return _signed(code, negative, fmt)


def encode_reference(bits: int, format: str, *, policy: str | Policy = "ocp", draw: int = 0) -> int:
    """The code in ``format`` of the float32 whose bit pattern is ``bits``.

    FP32 itself is the identity on bit patterns, NaN payloads included.
    """
    fmt = element(format)
    if fmt.id == "fp32":
        return bits
    return encode_exact(decode_exact(bits, element("fp32")), fmt, resolve_policy(policy, fmt), draw)


def decode_reference(code: int, format: str) -> float:
    """The value of ``code`` in ``format`` as a Python float (exact for every format)."""
    value = decode_exact(code, element(format))
    sign = -1.0 if value.negative else 1.0
    if value.kind == "finite":
        return sign * float(value.magnitude)
    return sign * float(value.kind)


def _power(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def floor_log2(value: Fraction) -> int:
    """The largest e with 2^e ≤ value, for value > 0."""
    e = value.numerator.bit_length() - value.denominator.bit_length()
    return e if _power(e) <= value else e - 1


def _round_to_integer(value: Fraction, policy: Policy, draw: int = 0) -> int:
    """``value`` ≥ 0 rounded by the policy; stochastic is ⌊value + draw·2^-32⌋, of which
    the policy may take the draw's highest bits alone."""
    low = value.numerator // value.denominator
    rest = value - low
    draw = draw >> 32 - policy.random_bits << 32 - policy.random_bits
    if policy.rounding != "nearest":
        return low + (policy.rounding == "stochastic" and rest + Fraction(draw, 1 << 32) >= 1)
    half = Fraction(1, 2)
    if rest != half:
        return low + (rest > half)
    if policy.tie == "even":
        return low + (low & 1)
    return low + (policy.tie == "away")


def _round_magnitude(magnitude: Fraction, fmt: ElementFormat, policy: Policy, draw: int = 0) -> int:
    """The magnitude code of the rounded value, as if exponents had no upper end.

    With value n·2^(e-m) and e ≥ 1-bias the code is n + (e+bias-1)·2^m, subnormals (n < 2^m at the
    lowest e) and carries into the next binade (n = 2^(m+1)) included.
    """
    if magnitude == 0:
        return 0
    lowest = 1 - fmt.bias
    e = max(floor_log2(magnitude), lowest)
    n = _round_to_integer(magnitude / _power(e - fmt.mantissa_bits), policy, draw)
    return n + (e - lowest << fmt.mantissa_bits)


def _signed(code: int, negative: bool, fmt: ElementFormat) -> int:
    sign = 1 << fmt.exponent_bits + fmt.mantissa_bits if negative and fmt.signed else 0
    return (code | sign) << _word_shift(fmt)


def _nan_code(negative: bool, fmt: ElementFormat, policy: Policy) -> int:
    negative = negative and policy.nan_sign == "kept"
    if fmt.nan == "negative-zero":
        return _signed(0, True, fmt)
    if fmt.nan == "none":
        if policy.missing_nan == "max":
            return _signed(max_code(fmt), False, fmt)
        return _signed(0, not negative, fmt)
    top = (1 << fmt.exponent_bits + fmt.mantissa_bits) - 1
    if fmt.nan == "ieee" and policy.nan_payload == "quiet":
        top -= (1 << fmt.mantissa_bits - 1) - 1
    return _signed(top, negative, fmt)


def _out_of_range(negative: bool, fmt: ElementFormat, policy: Policy, rule: str) -> int:
    if rule == "saturate" or fmt.nan == "none":
        return _signed(max_code(fmt), negative, fmt)
    if fmt.has_inf:
        return _signed(max_code(fmt) + 1, negative, fmt)
    return _nan_code(negative, fmt, policy)


def _encode_int(value: Exact, fmt: ElementFormat, policy: Policy, draw: int) -> int:
    """The two's complement code, clipped to the full range; NaN becomes 0."""
    if value.kind == "nan":
        return 0
    top: int = 1 << (fmt.bits - 1)
    n = (
        top
        if value.kind == "inf"
        else _round_to_integer(value.magnitude / Fraction(fmt.min_subnormal), policy, draw)
    )
    n = -min(n, top) if value.negative else min(n, top - 1)
    return n & (1 << fmt.bits) - 1


def _encode_power(value: Exact, policy: Policy) -> int:
    """E8M0: the code of a power of two, clipped below to 2^-127; 255 is NaN."""
    if policy.rounding == "stochastic":
        raise UnsupportedError(
            "stochastic rounding to e8m0 is not defined",
            hint="round scales to nearest, up or toward zero",
        )
    if value.kind == "nan":
        return 255
    if value.kind == "inf":
        return 254 if policy.infinity == "saturate" and not _refused(value, policy) else 255
    if _refused(value, policy):
        return 255
    if value.magnitude == 0:
        return 0
    e = floor_log2(value.magnitude)
    exact = value.magnitude == _power(e)
    up = policy.power_rounding == "up" or (policy.power_rounding == "field" and e == -127)
    if policy.rounding == "nearest" and up:
        e += not exact
    else:
        e += _round_to_integer(value.magnitude / _power(e), policy) - 1
    if e > 127:
        return 254 if policy.overflow == "saturate" else 255
    return max(e + 127, 0)


def _refused(value: Exact, policy: Policy) -> bool:
    """Negative numbers and zero have no power of two; the policy may read their magnitude."""
    zero = value.kind == "finite" and value.magnitude == 0
    return policy.unsigned == "nan" and (value.negative or zero)
