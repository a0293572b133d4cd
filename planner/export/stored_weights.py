"""Weights of a scheme as a compressed-tensors checkpoint holds them, bit for bit.

The arithmetic is llm-compressor's with weights in BF16 and its min-max observer: a scale is the
largest magnitude over half the range of codes, divided and kept in BF16, and so is the quotient of
a weight and its scale before it is rounded to a code, ties to even. Sources: compressed-tensors
0.20, quantization/utils/helpers.py (calculate_qparams), lifecycle/forward_helpers.py (_quantize),
compressors/pack_quantized/helpers.py (pack_to_int32); llm-compressor 0.14, observers/min_max.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError, UnsupportedError
from planner.base.records import record
from planner.formats.schemes import SCHEMES
from planner.numerics import decode, encode

Floats = npt.NDArray[np.float32]
_EPS = np.float32(2.0**-7)
"""What takes the place of a scale of 0: torch.finfo(torch.bfloat16).eps."""


@record
class StoredRule:
    """How one scheme's weights are stored: ``block`` (rows, columns) elements share a scale, 0 is
    the whole axis; ``dtype`` is the checkpoint's type of codes, ``packed`` several in an INT32."""

    element: str
    dtype: str
    block: tuple[int, int]
    packed: bool = False


RULES: Mapping[str, StoredRule] = {
    "fp8-tensor": StoredRule("e4m3fn", "F8_E4M3", (0, 0)),
    "fp8-channel": StoredRule("e4m3fn", "F8_E4M3", (1, 0)),
    "fp8-block": StoredRule("e4m3fn", "F8_E4M3", (128, 128)),
    "fp8-w8a16": StoredRule("e4m3fn", "F8_E4M3", (128, 128)),
    "int8-w8a8": StoredRule("int8", "I8", (1, 0)),
    "int8-w8a16": StoredRule("int8", "I32", (1, 0), packed=True),
    "int4-w4a16": StoredRule("int4", "I32", (1, 128), packed=True),
    "int4-w4a16-g32": StoredRule("int4", "I32", (1, 32), packed=True),
}
"""Schemes that are written here; the others need calibration data or a scale that several matrices
share, which llm-compressor makes."""
_HALF_RANGE = {"e4m3fn": 448.0, "int8": 127.5, "int4": 7.5}
_CODES = {"e4m3fn": (-448.0, 448.0), "int8": (-128.0, 127.0), "int4": (-8.0, 7.0)}
_BITS = {"int8": 8, "int4": 4}


def stored_shapes(scheme: str, rows: int, columns: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What stands for ``weight`` (rows, columns): name after the module → (type, shape).

    Raises:
        UnsupportedError: a scheme that is not written here, or columns that are no whole groups.
    """
    rule = _rule(scheme)
    scales = ("BF16", _scale_shape(rule, rows, columns))
    if rule.block[1] and rule.packed and columns % rule.block[1]:
        raise UnsupportedError(
            f"{scheme}: rows of {columns} weights are no whole groups of {rule.block[1]}",
            hint="plan such matrices in another scheme: engines and llm-compressor refuse them",
        )
    if not rule.packed:
        return {"weight": (rule.dtype, (rows, columns)), "weight_scale": scales}
    words = -(-columns * _BITS[rule.element] // 32)
    return {
        "weight_packed": ("I32", (rows, words)),
        "weight_scale": scales,
        "weight_shape": ("I64", (2,)),
    }


def stored_weight(scheme: str, values: Floats) -> dict[str, npt.NDArray[Any]]:
    """``values`` (rows, columns), which are BF16, as :func:`stored_shapes` names them: codes as
    bytes or words, scales as BF16 codes.

    Raises:
        UnsupportedError: as there. InputError: a weight that is not finite.
    """
    rule = _rule(scheme)
    rows, columns = values.shape
    stored_shapes(scheme, rows, columns)
    if not np.isfinite(values).all():
        raise InputError(
            "a weight is not finite", hint="the checkpoint is damaged: download it again"
        )
    high, wide = rule.block[0] or max(rows, 1), rule.block[1] or max(columns, 1)
    amax = np.maximum.reduceat(np.abs(values), np.arange(0, columns, wide), axis=1)
    amax = np.maximum.reduceat(amax, np.arange(0, rows, high), axis=0)
    scale = _bf16((amax / np.float32(_HALF_RANGE[rule.element])).astype(np.float32))
    scale[scale == 0] = _EPS
    spread = np.repeat(np.repeat(scale, high, axis=0)[:rows], wide, axis=1)[:, :columns]
    lowest, highest = _CODES[rule.element]
    scaled: Floats = np.clip(_bf16(values / spread), np.float32(lowest), np.float32(highest))
    stored = encode(scale, "bf16").reshape(_scale_shape(rule, rows, columns))
    if rule.element == "e4m3fn":
        return {"weight": encode(scaled, "e4m3fn"), "weight_scale": stored}
    codes = np.rint(scaled).astype(np.int8)
    if not rule.packed:
        return {"weight": codes, "weight_scale": stored}
    return {
        "weight_packed": _packed(codes, _BITS[rule.element]),
        "weight_scale": stored,
        "weight_shape": np.array([rows, columns], np.int64),
    }


def _rule(scheme: str) -> StoredRule:
    rule = RULES.get(scheme)
    if rule is None:
        raise UnsupportedError(
            f"weights in {scheme} are not written here"
            + ("" if scheme in SCHEMES else ": no such scheme"),
            hint="written are " + ", ".join(RULES) + "; for others run the export's quantise.py",
        )
    return rule


def _scale_shape(rule: StoredRule, rows: int, columns: int) -> tuple[int, ...]:
    if rule.block == (0, 0):
        return (1,)
    high, wide = rule.block[0] or rows, rule.block[1] or columns
    return (-(-rows // high), -(-columns // wide))


def _bf16(values: Floats) -> Floats:
    """``values`` rounded to BF16, to the nearest, ties to even."""
    return decode(encode(values, "bf16"), "bf16")


def _packed(codes: npt.NDArray[np.int8], bits: int) -> npt.NDArray[np.int32]:
    """Codes of 4 or 8 bits, offset to unsigned, the first in the lowest bits of an INT32."""
    rows, columns = codes.shape
    each = 32 // bits
    filled = np.zeros((rows, -(-columns // each) * each), np.uint32)
    filled[:, :columns] = codes.astype(np.int32) + (1 << (bits - 1))
    shifts = np.arange(each, dtype=np.uint32) * np.uint32(bits)
    words = (filled.reshape(rows, -1, each) << shifts).sum(axis=2, dtype=np.uint32)
    packed: npt.NDArray[np.int32] = words.view(np.int32)
    return packed
