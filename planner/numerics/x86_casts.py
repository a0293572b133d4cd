"""Conversions of x86 instructions that differ from the software casts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.base.typed import typed

_CHUNK = 1 << 15


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
