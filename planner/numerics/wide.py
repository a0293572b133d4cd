"""Casts of float32 to BF16, FP16 and TF32 in integer arithmetic, and stochastic rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from planner.base.errors import UnsupportedError
from planner.formats.spec import ElementFormat
from planner.numerics.policies import Policy
from planner.numerics.tiles import FloatArray

Words = npt.NDArray[np.uint32]
_DEFAULT = Policy("ocp")


def is_plain_bf16(fmt: ElementFormat, policy: Policy) -> bool:
    """Whether the cast is BF16 under the default choices, which has a shorter form."""
    return (
        fmt.id == "bf16"
        and replace(policy, id="ocp", reciprocal=False, scaling="plain", random_bits=32) == _DEFAULT
    )


def encode_bf16(u: Words) -> Words:
    """BF16 of words (any shape) under the default choices: add half less the parity bit, and keep
    the upper half."""
    code = u >> np.uint32(16)
    code &= np.uint32(1)
    code += np.uint32(0x7FFF)
    code += u
    code >>= np.uint32(16)
    nan = u & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000)
    if nan.any():
        code[nan] = u[nan] >> np.uint32(16) & np.uint32(0x8000) | np.uint32(0x7FC0)
    return code


def encode_wide(u: Words, fmt: ElementFormat, policy: Policy) -> Words:
    """BF16, FP16 and TF32 of words (any shape) in integers: shift the significand, round, let
    carries ripple."""
    magnitude = u & np.uint32(0x7FFFFFFF)
    exponent = (magnitude >> np.uint32(23)).astype(np.int32)
    significand = magnitude & np.uint32(0x7FFFFF) | (exponent > 0) * np.uint32(0x800000)
    biased = np.maximum(exponent, 1) - 127 + fmt.bias  # in the target; below 1 = subnormal
    shift = np.minimum(23 - fmt.mantissa_bits + np.maximum(1 - biased, 0), 31).astype(np.uint32)
    n = significand >> shift
    if policy.rounding == "nearest":
        rest = significand & (np.uint32(1) << shift) - np.uint32(1)
        half = np.uint32(1) << shift - np.uint32(1)
        n += rest > half
        if policy.tie != "zero":
            n += (rest == half) & ((n & np.uint32(1) == 1) if policy.tie == "even" else True)
    code = n + (np.maximum(biased, 1) - 1 << fmt.mantissa_bits).astype(np.uint32)
    return _finish(u, magnitude, code, fmt, policy)


def _finish(u: Words, magnitude: Words, code: Words, fmt: ElementFormat, policy: Policy) -> Words:
    """Range, NaN and sign. ``code`` holds magnitude codes as if exponents had no upper end."""
    infinity = np.uint32((1 << fmt.exponent_bits) - 1 << fmt.mantissa_bits)
    inf, nan = magnitude == 0x7F800000, magnitude > 0x7F800000
    over = (code >= infinity) & ~inf & ~nan
    stays = policy.overflow == "saturate" or policy.rounding == "toward-zero"
    code[over] = infinity - np.uint32(stays)
    code[inf] = infinity - np.uint32(policy.infinity == "saturate")
    quiet = 1 << fmt.mantissa_bits - 1 if policy.nan_payload == "quiet" else -1
    code[nan] = infinity | np.uint32(quiet & (1 << fmt.mantissa_bits) - 1)
    sign = u >> np.uint32(31)
    if policy.nan_sign == "positive":
        sign[nan] = 0
    if not policy.keep_negative_zero:
        sign[code == 0] = 0
    code |= sign << np.uint32(fmt.exponent_bits + fmt.mantissa_bits)
    return code << np.uint32(13) if fmt.id == "tf32" else code


def stochastic(
    x: FloatArray, fmt: ElementFormat, rng: np.random.Generator, bits: int
) -> FloatArray:
    """``x`` moved to one of its two neighbours in ``fmt``, as if exponents had no upper end.

    One uniform draw k of ``bits`` bits an element, in the order of ``x``, NaN and infinities
    included: with the magnitude n·ulp the result is ⌊n + k·2^-bits⌋·ulp. With 8 bits what n has
    beyond them is lost: up with the probability ⌊256·fraction⌋ / 256, as in NVIDIA's cvt.rs.
    Rounding the result to nearest gives the code. Raises UnsupportedError for E8M0.
    """
    if fmt.kind == "scale":
        raise UnsupportedError(
            "stochastic rounding to e8m0 is not defined",
            hint="round scales to nearest, up or toward zero",
        )
    draws = rng.integers(0, 1 << bits, size=x.shape, dtype=np.uint32) << np.uint32(32 - bits)
    finite = np.isfinite(x)
    # Beyond 2^20 every integer format clips; the bound keeps integers below 64 bits.
    size = np.abs(np.where(finite, x, 0)).astype(np.float64)
    if fmt.kind == "int":
        size = np.minimum(size, 2.0**20)
        exponent = np.zeros(x.shape, dtype=np.int32)
    else:
        exponent = np.maximum(np.frexp(size)[1] - 1, 1 - fmt.bias) - fmt.mantissa_bits
    scaled = np.ldexp(size, 32 - exponent).astype(np.uint64)
    significand = scaled + draws >> np.uint64(32)
    value = np.minimum(np.ldexp(significand.astype(np.float64), exponent), np.finfo(np.float32).max)
    if not fmt.signed:  # a negative number stays one, whatever the policy makes of it
        value = np.where((value == 0) & (x < 0), np.finfo(np.float32).smallest_subnormal, value)
    return np.where(finite, np.copysign(value.astype(np.float32), x), x)
