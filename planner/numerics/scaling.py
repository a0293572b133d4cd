"""Block scales: largest magnitudes, and the rule that turns them into a stored scale.

Scales are float32 values that their stored format represents exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.errors import InputError
from planner.formats.elements import element
from planner.formats.spec import ElementFormat, ScaleSpec
from planner.numerics.cast import FloatArray, decode, encode

NVFP4_SCALE_MAX = 448.0
DEEPSEEK_AMAX_FLOOR = 1e-4  # DeepSeek-V3 act_quant and DeepGEMM clamp activations here


@dataclass(frozen=True, slots=True)
class Scales:
    """``block`` (block rows, block columns); ``tensor`` is NVFP4's second level, else 1."""

    block: FloatArray
    tensor: float = 1.0

    def effective(self) -> FloatArray:
        """What a decoded element is multiplied by, one float32 product."""
        return self.block * np.float32(self.tensor)


def block_sides(spec: ScaleSpec, rows: int, columns: int) -> tuple[int, int]:
    """(rows, columns) of one block of a matrix of that shape; 0 in ``spec`` is the whole side."""
    return spec.block_rows or max(rows, 1), spec.block_columns or max(columns, 1)


def block_amax(x: FloatArray, block_rows: int, block_columns: int) -> FloatArray:
    """Largest magnitude of each block of ``x`` (rows, columns); edge blocks are smaller.

    Returns (ceil(rows/block_rows), ceil(columns/block_columns)).
    Raises InputError for a matrix that holds NaN or infinities.
    """
    with np.errstate(invalid="ignore"):
        across = _reduce_columns(np.abs(x), block_columns)
        starts = np.arange(0, x.shape[0], block_rows)
        amax = np.maximum.reduceat(across, starts, axis=0) if block_rows > 1 else across
    if not np.isfinite(amax).all():
        raise InputError("cannot scale a matrix that holds NaN or infinities")
    return amax


def _reduce_columns(a: FloatArray, width: int) -> FloatArray:
    """Maximum over runs of ``width`` columns. Short runs are folded in halves, which vectorises."""
    rows, columns = a.shape
    if width == 1:
        return a
    if columns % width or width & (width - 1) or width > 256:
        return np.maximum.reduceat(a, np.arange(0, columns, width), axis=1)
    folded = a.reshape(rows, columns // width, width)
    while width > 1:
        width //= 2
        folded = np.maximum(folded[..., :width], folded[..., width:])
    return folded[..., 0]


def scales_of(amax: FloatArray, spec: ScaleSpec, fmt: ElementFormat) -> Scales:
    """The scales of blocks with largest magnitudes ``amax``, by the rule of ``spec``.

    ``amax``: amax / max_finite in float32, rounded to the scale format. ``ceil``: the same rounded
    up to a power of two (clipped to 2^-126 … 2^127). ``ocp-floor``: 2^(⌊log2 amax⌋ - emax), from
    exponent bits. With ``tensor_scale`` the block scale is relative to g = amax(tensor) /
    (max_finite · 448). An all-zero block has a positive scale under every rule but NVFP4's, whose
    block scale is then 0. Sources: OCP MX v1.0 section 6.3; DeepGEMM; NVIDIA NVFP4.
    """
    if spec.rule == "ocp-floor":
        return Scales(_floor_powers(amax, fmt))
    top = np.float32(fmt.max_finite)
    if spec.tensor_scale:
        return _two_level(amax, spec, top)
    raw = amax / top
    if spec.rule == "ceil":
        return Scales(_ceil_powers(raw))
    if spec.format != "fp32":
        raw = decode(encode(raw, spec.format), spec.format)
        if not np.isfinite(raw).all():
            raise InputError(f"a block scale exceeds the range of {spec.format}")
    return Scales(_positive(raw, amax, spec.format))


def _positive(raw: FloatArray, amax: FloatArray, format: str) -> FloatArray:
    """1 for blocks of zeros; the smallest scale where a tiny one underflowed."""
    tiny = np.float32(element(format).min_subnormal)
    return np.where(amax > 0, np.maximum(raw, tiny), np.float32(1))


def _two_level(amax: FloatArray, spec: ScaleSpec, top: np.float32) -> Scales:
    largest = amax.max(initial=0)
    tensor = largest / top / np.float32(NVFP4_SCALE_MAX)
    if tensor == 0:
        return Scales(np.zeros_like(amax))
    codes = encode(amax / top / tensor, spec.format, policy="ocp-saturating")
    return Scales(decode(codes, spec.format), float(tensor))


def _exponent_field(x: FloatArray) -> npt.NDArray[np.int32]:
    return (np.ascontiguousarray(x).view(np.uint32) >> np.uint32(23)).astype(np.int32)


def _powers(biased: npt.NDArray[np.int32]) -> FloatArray:
    return decode(biased.astype(np.uint8), "e8m0")


def _floor_powers(amax: FloatArray, fmt: ElementFormat) -> FloatArray:
    largest_exponent = int(np.frexp(fmt.max_finite)[1]) - 1 if fmt.kind == "float" else 0
    return _powers(np.clip(_exponent_field(amax) - largest_exponent, 0, 254))


def _ceil_powers(raw: FloatArray) -> FloatArray:
    mantissa = np.ascontiguousarray(raw).view(np.uint32) & np.uint32(0x7FFFFF)
    return _powers(np.clip(_exponent_field(raw) + (mantissa != 0), 1, 254))
