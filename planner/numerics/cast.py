"""Vectorised casts between float32 and every element format, bit-equal to the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.errors import InputError
from planner.formats.elements import element
from planner.formats.spec import ElementFormat
from planner.numerics.policies import Policy, resolve_policy
from planner.numerics.tables import decode_table, encode_table

Codes = npt.NDArray[np.unsignedinteger[Any]]
FloatArray = npt.NDArray[np.float32]

# Elements a step: the temporaries (4 + 4 + 1 bytes each) stay in a level-2 cache.
CHUNK = 1 << 15


def encode(x: npt.ArrayLike, format: str, *, policy: str | Policy = "ocp") -> Codes:
    """Codes of ``x`` in ``format``, of the shape of ``x``.

    uint8 for formats of up to 8 bits (one code a byte, integers as two's complement bit patterns),
    uint16 for BF16 and FP16, uint32 for FP32 and TF32. float64 input is rounded once, to odd in
    between, so that narrow formats see no double rounding.

    ``policy``: a preset name or a :class:`Policy`.
    Raises UnknownNameError for an unknown format or preset, InputError for input that is not real.
    """
    fmt = element(format)
    chosen = resolve_policy(policy, fmt)
    source = np.asarray(x)
    flat = as_float32(source, exact=fmt.id == "fp32").reshape(-1)
    codes = np.empty(flat.shape, dtype=code_dtype(fmt))
    encode_flat(flat, fmt, chosen, codes)
    return codes.reshape(source.shape)


def decode(codes: npt.ArrayLike, format: str) -> FloatArray:
    """float32 values of ``codes`` in ``format``; exact for every format.

    Raises InputError for codes that are not integers of the format's width.
    """
    fmt = element(format)
    given = np.asarray(codes)
    if given.dtype.kind not in "iu":
        raise InputError(f"codes have dtype {given.dtype}, {fmt.id} codes are integers")
    flat = _as_codes(given, fmt).reshape(-1)
    out = np.empty(flat.shape, dtype=np.float32)
    decode_flat(flat, fmt, out)
    return out.reshape(given.shape)


def code_dtype(fmt: ElementFormat) -> type[np.uint8] | type[np.uint16] | type[np.uint32]:
    """The unsigned type that holds one code."""
    return np.uint8 if fmt.bits <= 8 else np.uint16 if fmt.bits == 16 else np.uint32


def as_float32(x: npt.NDArray[Any], *, exact: bool = False) -> FloatArray:
    """``x`` as contiguous float32; wider floats are rounded to odd unless ``exact`` asks nearest.

    Raises InputError for dtypes that are not real numbers.
    """
    if x.dtype == np.float32:
        return np.ascontiguousarray(x)
    wide = x.dtype.kind in "iub" or x.dtype.itemsize > 4
    with np.errstate(all="ignore"):
        try:
            doubles = x.astype(np.float64) if x.dtype.kind != "c" else None
        except (TypeError, ValueError):
            doubles = None
        if doubles is None:
            raise InputError(f"cannot encode values of dtype {x.dtype}", hint="pass real numbers")
        nearest = np.ascontiguousarray(doubles.astype(np.float32))
        if exact or not wide:
            return nearest
        return _round_to_odd(doubles, nearest)


def _round_to_odd(doubles: npt.NDArray[np.float64], nearest: FloatArray) -> FloatArray:
    """Truncate to float32 and set the last bit where anything was lost (a sticky bit)."""
    back = nearest.astype(np.float64)
    inexact = (back != doubles) & ~np.isnan(doubles)
    bits = np.ascontiguousarray(nearest).view(np.uint32)
    bits = bits - (inexact & (np.abs(back) > np.abs(doubles))).astype(np.uint32)
    odd: FloatArray = (bits | inexact.astype(np.uint32)).view(np.float32)
    return odd


def encode_flat(x: FloatArray, fmt: ElementFormat, policy: Policy, out: npt.NDArray[Any]) -> None:
    """Encode one contiguous float32 vector into ``out`` (the type of :func:`code_dtype`)."""
    if fmt.kind == "int":
        _encode_ints(x, fmt, policy, out)
        return
    bits = x.view(np.uint32)
    if fmt.id == "fp32":
        out[:] = bits
    elif fmt.bits <= 8:
        _encode_table(bits, encode_table(fmt.id, policy), out)
    else:
        default = replace(Policy("ocp"), id=policy.id, reciprocal=policy.reciprocal)
        plain = fmt.id == "bf16" and policy == default
        for start in range(0, bits.size, CHUNK):
            part = bits[start : start + CHUNK]
            done = _encode_bf16(part) if plain else _encode_wide(part, fmt, policy)
            out[start : start + CHUNK] = done


def decode_flat(codes: npt.NDArray[Any], fmt: ElementFormat, out: FloatArray) -> None:
    """Decode one contiguous vector of codes into float32 ``out``."""
    if fmt.bits <= 8:
        table = decode_table(fmt.id)
        for start in range(0, codes.size, CHUNK):
            part = slice(start, start + CHUNK)
            # mode="clip" skips a bounds check that byte indices cannot fail.
            np.take(table, codes[part], out=out[part], mode="clip")
    elif fmt.id == "fp16":
        with np.errstate(invalid="ignore"):
            out[:] = codes.view(np.float16)
    elif fmt.id == "bf16":
        np.left_shift(codes, np.uint32(16), out=out.view(np.uint32), dtype=np.uint32)
    else:
        out.view(np.uint32)[:] = codes


def pack4(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pack 4-bit codes two to a byte along the last axis, low nibble first.

    Raises InputError for a last axis of odd length.
    """
    if codes.shape[-1] % 2:
        raise InputError(f"{codes.shape[-1]} four-bit codes do not fill whole bytes")
    return codes[..., 0::2] & np.uint8(15) | codes[..., 1::2] << np.uint8(4)


def unpack4(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The inverse of :func:`pack4`: one code a byte."""
    out = np.empty((*packed.shape[:-1], 2 * packed.shape[-1]), dtype=np.uint8)
    out[..., 0::2] = packed & np.uint8(15)
    out[..., 1::2] = packed >> np.uint8(4)
    return out


def _as_codes(given: npt.NDArray[Any], fmt: ElementFormat) -> npt.NDArray[Any]:
    dtype = np.dtype(code_dtype(fmt))
    if given.dtype == np.int8 and fmt.id == "int8":
        return np.ascontiguousarray(given).view(np.uint8)
    if given.size and (given.dtype != dtype or fmt.bits < 8):
        low, high = int(given.min()), int(given.max())
        if low < 0 or high >= 1 << fmt.bits:
            bad = low if low < 0 else high
            raise InputError(f"code {bad} does not fit the {fmt.bits} bits of {fmt.id}")
    return np.ascontiguousarray(given, dtype=dtype)


def _encode_table(
    bits: npt.NDArray[np.uint32], table: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8]
) -> None:
    """Look up the upper half with the lower half folded into its last bit.

    Adding 0xFFFF to the lower half carries into bit 16 exactly if that half is not zero; OR-ing the
    input puts this sticky bit into the upper half without losing anything.
    """
    size = min(CHUNK, bits.size)
    sticky = np.empty(size, dtype=np.uint32)
    index = np.empty(size, dtype=np.intp)
    for start in range(0, bits.size, CHUNK):
        u = bits[start : start + CHUNK]
        t, i = sticky[: u.size], index[: u.size]
        np.bitwise_and(u, np.uint32(0xFFFF), out=t)
        np.add(t, np.uint32(0xFFFF), out=t)
        np.bitwise_or(t, u, out=t)
        np.right_shift(t, np.uint32(16), out=t)
        i[:] = t
        np.take(table, i, out=out[start : start + CHUNK], mode="clip")


def _encode_ints(x: FloatArray, fmt: ElementFormat, policy: Policy, out: npt.NDArray[Any]) -> None:
    low, high = np.float32(-(1 << fmt.bits - 1)), np.float32((1 << fmt.bits - 1) - 1)
    mask = np.uint8((1 << fmt.bits) - 1)
    for start in range(0, x.size, CHUNK):
        part = x[start : start + CHUNK]
        with np.errstate(invalid="ignore"):  # signalling NaNs and infinities
            rounded = np.clip(_round(part, policy), low, high)
        rounded[np.isnan(rounded)] = 0
        out[start : start + CHUNK] = rounded.astype(np.int8).view(np.uint8) & mask


def _round(x: FloatArray, policy: Policy) -> FloatArray:
    """To the nearest integer, ties as the policy says."""
    if policy.tie == "even":
        return np.rint(x)
    truncated = np.trunc(x)
    rest = np.abs(x - truncated)
    up = rest >= 0.5 if policy.tie == "away" else rest > 0.5
    return truncated + np.copysign(up.astype(np.float32), x)


def _encode_bf16(u: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """BF16 under the default choices: add half less the parity bit, and keep the upper half."""
    code = u >> np.uint32(16)
    code &= np.uint32(1)
    code += np.uint32(0x7FFF)
    code += u
    code >>= np.uint32(16)
    nan = u & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000)
    if nan.any():
        code[nan] = u[nan] >> np.uint32(16) & np.uint32(0x8000) | np.uint32(0x7FC0)
    return code


def _encode_wide(
    u: npt.NDArray[np.uint32], fmt: ElementFormat, policy: Policy
) -> npt.NDArray[np.uint32]:
    """BF16, FP16 and TF32 in integers: shift the significand, round, let carries ripple."""
    magnitude = u & np.uint32(0x7FFFFFFF)
    exponent = (magnitude >> np.uint32(23)).astype(np.int32)
    significand = magnitude & np.uint32(0x7FFFFF) | (exponent > 0) * np.uint32(0x800000)
    biased = np.maximum(exponent, 1) - 127 + fmt.bias  # in the target; below 1 = subnormal
    shift = np.minimum(23 - fmt.mantissa_bits + np.maximum(1 - biased, 0), 31).astype(np.uint32)
    n = significand >> shift
    rest = significand & (np.uint32(1) << shift) - np.uint32(1)
    half = np.uint32(1) << shift - np.uint32(1)
    n += rest > half
    if policy.tie != "zero":
        n += (rest == half) & ((n & np.uint32(1) == 1) if policy.tie == "even" else True)
    code = n + (np.maximum(biased, 1) - 1 << fmt.mantissa_bits).astype(np.uint32)
    return _finish_wide(u, magnitude, code, fmt, policy)


def _finish_wide(
    u: npt.NDArray[np.uint32],
    magnitude: npt.NDArray[np.uint32],
    code: npt.NDArray[np.uint32],
    fmt: ElementFormat,
    policy: Policy,
) -> npt.NDArray[np.uint32]:
    """Range, NaN and sign. ``code`` holds magnitude codes as if exponents had no upper end."""
    infinity = np.uint32((1 << fmt.exponent_bits) - 1 << fmt.mantissa_bits)
    inf, nan = magnitude == 0x7F800000, magnitude > 0x7F800000
    over = (code >= infinity) & ~inf & ~nan
    code[over] = infinity - np.uint32(policy.overflow == "saturate")
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
