"""Block scales: largest magnitudes, and the rule that turns them into a stored scale.

Scales are float32 values that their stored format represents exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.formats.elements import element
from planner.formats.spec import ElementFormat, ScaleRule, ScaleSpec
from planner.numerics import library_rules
from planner.numerics.cast import decode, encode
from planner.numerics.policies import Scaling
from planner.numerics.tables import decode_table
from planner.numerics.tiles import FloatArray

DEEPSEEK_AMAX_FLOOR = 1e-4  # DeepSeek-V3 act_quant and DeepGEMM clamp activations here
SCALE_RULES: tuple[str, ...] = get_args(ScaleRule)

_POWER_FORMATS = ("e8m0", "fp32", "bf16")


@dataclass(frozen=True, slots=True)
class Scales:
    """``block`` (block rows, block columns); ``tensor`` is NVFP4's second level, else 1.

    ``exponent``: elements count 2^exponent times their code (MXINT8: -6). ``inverse``: ``tensor``
    divides, as compressed-tensors stores it.
    """

    block: FloatArray
    tensor: float = 1.0
    exponent: int = 0
    inverse: bool = False

    def effective(self) -> FloatArray:
        """What a decoded element is multiplied by, one float32 product."""
        if self.inverse:
            return self.block / np.float32(self.tensor)
        if self.tensor == 1 and self.exponent == 0:
            return self.block
        return self.block * np.float32(self.tensor * 2.0**self.exponent)


def block_sides(spec: ScaleSpec, rows: int, columns: int) -> tuple[int, int]:
    """(rows, columns) of one block of a matrix of that shape; 0 in ``spec`` is the whole side."""
    return spec.block_rows or max(rows, 1), spec.block_columns or max(columns, 1)


def check_rule(rule: str, spec: ScaleSpec, element_kind: str) -> None:
    """Raise UnknownNameError for another rule, UnsupportedError where ``spec`` can't follow it."""
    if rule not in SCALE_RULES:
        raise UnknownNameError("scale rule", rule, SCALE_RULES)
    if rule == "amax":
        return
    if rule == "half-range":
        if element_kind != "int" or spec.zero_point:
            raise UnsupportedError(
                "scale rule half-range belongs to symmetric integers", hint="use scale_rule='amax'"
            )
        return
    if rule == "four-over-six":
        if not spec.tensor_scale:
            raise UnsupportedError(
                "scale rule four-over-six belongs to NVFP4's two-level scales",
                hint="quantize(x, 'nvfp4', scale_rule='four-over-six')",
            )
        return
    if spec.tensor_scale or spec.zero_point:
        what = "two-level scales" if spec.tensor_scale else "zero points"
        raise UnsupportedError(
            f"scale rule {rule} is not defined with {what}", hint="use scale_rule='amax'"
        )
    if spec.format not in _POWER_FORMATS:
        raise UnsupportedError(
            f"{spec.format} scales do not hold every power of two", hint="use scale_rule='amax'"
        )


def block_amax(x: FloatArray, block_rows: int, block_columns: int) -> FloatArray:
    """Largest magnitude of each block of ``x`` (rows, columns); edge blocks are smaller.

    Returns (ceil(rows/block_rows), ceil(columns/block_columns)).
    Raises InputError for a matrix that holds NaN or infinities.
    """
    amax = block_reduce(np.maximum, x, block_rows, block_columns, magnitude=True)
    check_finite(amax)
    return amax


def check_finite(extremes: FloatArray) -> None:
    """Raise InputError where block extremes show NaN or infinities."""
    if not np.isfinite(extremes).all():
        raise InputError(
            "cannot scale a matrix that holds NaN or infinities",
            hint="replace NaN and infinities first, for example with numpy.nan_to_num",
        )


def block_reduce(
    ufunc: np.ufunc,
    x: FloatArray,
    block_rows: int,
    block_columns: int,
    *,
    magnitude: bool = False,
) -> FloatArray:
    """Minimum or maximum of each block, of magnitudes where asked; edge blocks are smaller."""
    with np.errstate(invalid="ignore"):
        across = _reduce_columns(ufunc, x, block_columns, magnitude)
        if block_rows == 1 or not across.shape[0]:
            return across
        down: FloatArray = ufunc.reduceat(across, np.arange(0, x.shape[0], block_rows), axis=0)
    return down


def _reduce_columns(ufunc: np.ufunc, a: FloatArray, width: int, magnitude: bool) -> FloatArray:
    """Over runs of ``width`` columns; short runs are gathered, so that loops are long."""
    rows, columns = a.shape
    short = a.size > 0 and columns % width == 0 and width in (8, 16, 32)
    if not short:
        a = np.abs(a) if magnitude else a
        if width == 1 or not a.size:
            return a[:, ::width]
        result: FloatArray = ufunc.reduceat(a, np.arange(0, columns, width), axis=1)
        return result
    # Four floats move as one 16-byte element, two as one of 8.
    quads = a.view(np.complex128).reshape(-1, width // 4)
    four = _gathered(quads[:, 0], magnitude)
    for k in range(1, width // 4):
        ufunc(four, _gathered(quads[:, k], magnitude), out=four)
    pairs = four.view(np.complex64)
    two = ufunc(_gathered(pairs[0::2], False), _gathered(pairs[1::2], False))
    folded: FloatArray = ufunc(two[0::2], two[1::2])
    return folded.reshape(rows, columns // width)


def _gathered(wide: npt.NDArray[np.complexfloating[Any]], magnitude: bool) -> FloatArray:
    values = wide.copy().view(np.float32)
    return np.abs(values, out=values) if magnitude else values


def scales_of(
    amax: FloatArray,
    spec: ScaleSpec,
    fmt: ElementFormat,
    *,
    exponent: int = 0,
    rule: ScaleRule | None = None,
    largest: np.float32 | None = None,
    scaling: Scaling = "plain",
    tensor: np.float32 | None = None,
) -> Scales:
    """The scales of blocks with largest magnitudes ``amax``, by ``rule`` (None: that of ``spec``).

    ``amax``: amax / max_finite in float32, rounded to the scale format. ``half-range``: amax over
    half the range of the integers, 2^(bits-1) - 1/2. ``rceil``: the same rounded
    up to a power of two (clipped to 2^-126 … 2^127). ``ocp-floor``: 2^(⌊log2 amax⌋ - emax), from
    exponent bits; ``ceil``: 2^(⌈log2 amax⌉ - emax); ``even``: as ``ocp-floor`` after rounding amax,
    half up, to the element's significand. With ``tensor_scale`` the block scale is relative to
    g = ``largest`` / (max_finite · 448), where ``largest`` is that of the whole tensor (None: of
    ``amax``); ``tensor`` is a g that is given. ``scaling`` names a library's form of all this
    (:mod:`planner.numerics.library_rules`). An all-zero block has a positive scale under every rule
    but NVFP4's, whose block scale is then 0. Elements count 2^``exponent`` times their code.
    Sources: OCP MX v1.0 section 6.3; DeepGEMM; pytorch/ao ScaleCalculationMode; NVIDIA NVFP4.
    """
    rule = spec.rule if rule is None else rule
    top = np.float32(fmt.max_finite * 2.0**exponent)
    if spec.tensor_scale:
        most = np.float32(amax.max(initial=0) if largest is None else largest)
        if tensor is None:
            tensor = library_rules.tensor_scale(most, top, scaling)
        return two_level(amax, top, tensor, scaling)
    if rule in ("amax", "half-range"):
        if rule == "half-range":
            top += np.float32(0.5 * 2.0**exponent)
        own = "plain" if scaling == "torchao" and fmt.kind != "int" else scaling
        return Scales(_proportional(amax, spec, top, own), exponent=exponent)
    if rule == "rceil":
        raw = amax / top
        lowest = 0 if scaling == "modelopt" else 1
        return Scales(_powers(_exponents(raw, up=True), lowest=lowest), exponent=exponent)
    largest_exponent = int(np.frexp(top)[1]) - 1
    if rule == "even":
        significand = library_rules.even_bits(fmt, scaling)
        bits = np.ascontiguousarray(amax).view(np.uint32) + np.uint32(1 << 22 - significand)
        amax = bits.view(np.float32)
    field = _exponents(amax, up=rule == "ceil") - largest_exponent
    return Scales(_powers(field, lowest=0), exponent=exponent)


def _proportional(
    amax: FloatArray, spec: ScaleSpec, top: np.float32, scaling: Scaling
) -> FloatArray:
    raw = amax / top
    if scaling in ("plain", "modelopt"):
        return stored_scale(positive(raw, amax, spec.format), spec.format)
    return library_rules.least(stored_scale(raw, spec.format), spec.format, scaling)


def stored_scale(raw: FloatArray, format: str) -> FloatArray:
    """``raw`` rounded to a scale format. Raises InputError where that overflows."""
    if format == "fp32":
        return raw
    stored = decode(encode(raw, format), format)
    if not np.isfinite(stored).all():
        raise InputError(
            f"a block scale exceeds the range of {format}",
            hint="divide the matrix by a power of two first, or choose a scheme with wider scales",
        )
    return stored


def positive(raw: FloatArray, amax: FloatArray, format: str) -> FloatArray:
    """1 for blocks of zeros; the smallest scale where a tiny one would underflow."""
    tiny = np.float32(element(format).min_subnormal)
    return np.where(amax > 0, np.maximum(raw, tiny), np.float32(1))


def two_level(amax: FloatArray, top: np.float32, tensor: np.float32, scaling: Scaling) -> Scales:
    """NVFP4's scales of blocks beside ``tensor``, that of the whole."""
    if tensor == 0 and scaling == "plain":
        return Scales(np.zeros_like(amax))
    block = library_rules.block_scales(amax, top, tensor, scaling)
    return Scales(block, float(tensor) if tensor else 1.0, inverse=scaling == "compressed-tensors")


def _exponents(x: FloatArray, *, up: bool) -> npt.NDArray[np.int32]:
    """The biased exponent of ⌊log2 x⌋ or ⌈log2 x⌉, from bits; of subnormals and 0: 0, or 1."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    field = (bits >> np.uint32(23)).astype(np.int32)
    return field + (bits & np.uint32(0x7FFFFF) != 0) if up else field


def _powers(biased: npt.NDArray[np.int32], *, lowest: int) -> FloatArray:
    powers: FloatArray = decode_table("e8m0")[np.minimum(np.maximum(biased, lowest), 254)]
    return powers
