"""Codes as others have them: values of ml_dtypes or numpy without a copy, an x86 conversion."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError, UnsupportedError
from planner.base.typed import typed
from planner.formats.elements import element
from planner.numerics.cast import code_dtype

ML_DTYPES: Mapping[str, str] = MappingProxyType({
    "bf16": "bfloat16", "e4m3fn": "float8_e4m3fn", "e5m2": "float8_e5m2", "e3m2": "float6_e3m2fn",
    "e2m3": "float6_e2m3fn", "e2m1": "float4_e2m1fn", "e8m0": "float8_e8m0fnu",
    **{id: f"float8_{id}" for id in ("e4m3fnuz", "e5m2fnuz", "e4m3b11fnuz", "e4m3", "e3m4")},
})  # fmt: skip
_NUMPY: Mapping[str, type[np.generic]] = MappingProxyType(
    {"fp32": np.float32, "tf32": np.float32, "fp16": np.float16, "int8": np.int8}
)
_CHUNK = 1 << 15


@typed
def view(codes: npt.NDArray[Any], format: str) -> npt.NDArray[Any]:
    """The memory of ``codes`` as an array of numbers: numpy's own types for FP32, TF32, FP16 and
    INT8, those of ml_dtypes for BF16, FP8, FP6, FP4 and E8M0.

    Raises UnknownNameError for an unknown format; UnsupportedError for UE4M3, INT4 and MXINT8,
    whose codes no such type reads, and where ml_dtypes is not installed; InputError for codes of
    another dtype.
    """
    fmt = element(format)
    if codes.dtype != np.dtype(code_dtype(fmt)):
        raise InputError(
            f"codes have dtype {codes.dtype}, those of {fmt.id} {np.dtype(code_dtype(fmt))}",
            hint="pass codes that encode() returned for this format",
        )
    if fmt.id in _NUMPY:
        return codes.view(_NUMPY[fmt.id])
    if fmt.id not in ML_DTYPES:
        raise UnsupportedError(f"no array type reads {fmt.id} codes", hint="use decode()")
    try:
        import ml_dtypes
    except ImportError:
        raise UnsupportedError("ml_dtypes is not installed", hint="pip install ml_dtypes") from None
    return codes.view(getattr(ml_dtypes, ML_DTYPES[fmt.id]))


@typed
def vcvtneps2bf16(x: npt.ArrayLike) -> npt.NDArray[np.uint16]:
    """BF16 codes of float32 ``x`` (any shape) as the instruction VCVTNEPS2BF16 gives them.

    To nearest even, with subnormal inputs read as zero of their sign, whatever MXCSR says; NaN
    keeps its sign and upper payload bits and becomes quiet. ``encode(x, "bf16")`` keeps subnormals.
    Source: Intel 64 and IA-32 Software Developer's Manual. Input of other types is rounded to
    float32 first.
    """
    source = np.asarray(x)
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(source, dtype=np.float32).reshape(-1).view(np.uint32)
    codes = np.empty(bits.shape, dtype=np.uint16)
    for start in range(0, bits.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        codes[part] = _convert(bits[part])
    return codes.reshape(source.shape)


def _convert(u: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    upper = u >> np.uint32(16)
    code = (u + np.uint32(0x7FFF) + (upper & np.uint32(1))) >> np.uint32(16)
    magnitude = u & np.uint32(0x7FFFFFFF)
    code = np.where(magnitude < 0x00800000, upper & np.uint32(0x8000), code)
    quiet: npt.NDArray[np.uint32] = np.where(magnitude > 0x7F800000, upper | np.uint32(0x40), code)
    return quiet
