"""Integer matrix products as tensor cores, VNNI, AVX2 and AMX compute them.

Integer products through float32 BLAS, exact by bound, and the saturation of x86 instructions.

Let |a| ≤ A and |b| ≤ B. In a chunk of K ≤ 2^24 / (A·B) every product, and every partial sum in any
order and grouping, is an integer of magnitude at most K·A·B ≤ 2^24. float32 holds all of those, so
no operation rounds, whether a library fuses, blocks or reorders them. The chunk is 1024 for s8 × s8
(128·128·1024 = 2^24), 514 for u8 × s8 and 258 for u8 × u8. Chunks are added as int32, modulo 2^32.
One product over all of K would not do: from K = 1025 on it can round, and on adversarial data does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError, UnsupportedError
from planner.base.typed import typed
from planner.numerics.matrix_units import DotRule, Unit
from planner.numerics.product_inputs import check_shapes, checked_codes, padded
from planner.numerics.unit_catalog import UNITS, unit_by_name

ROWS = 2048
COLUMNS = 4096

# Units whose instruction has a saturating form, with the products it adds before clipping.
_SATURATING = {"int8-imma": 32, "avx512-vnni": 4}


@typed
def matmul_int32(
    a_codes: npt.ArrayLike,
    b_codes: npt.ArrayLike,
    *,
    a_format: str = "int8",
    b_format: str = "int8",
    unit: str,
    c: npt.ArrayLike | None = None,
    saturate: bool = False,
) -> Words:
    """``a`` (M, K) @ ``b`` (K, N) + ``c`` (M, N) in int32, as an integer unit computes it.

    Sums wrap modulo 2^32. ``saturate`` selects the instruction that clips instead (IMMA satfinite
    after every 32 products, VPDPBUSDS after every 4). ``a_format`` "uint8" means unsigned bytes.
    The x86 instructions multiply unsigned by signed bytes: an "int8" ``a`` is shifted by 128 and
    128·Σb subtracted from the result (as oneDNN does), which is exact except where VPMADDUBSW clips
    a pair at int16 or VPDPBUSDS clips a sum.

    Raises UnknownNameError, UnsupportedError and InputError as :func:`matmul` does.
    """
    matrix_unit = unit_by_name(unit, UNITS, integers=True)
    a, a_format = checked_codes(a_codes, a_format, "a")
    b, b_format = checked_codes(b_codes, b_format, "b")
    check_shapes(a, b, c)
    if matrix_unit.kind != "integer":
        raise UnsupportedError(f"unit {matrix_unit.id} adds no integers", hint="use matmul")
    rule = matrix_unit.rule(a_format, b_format, "int32")
    if saturate and matrix_unit.id not in _SATURATING:
        raise UnsupportedError(
            f"unit {matrix_unit.id} has no saturating form", hint="one of " + ", ".join(_SATURATING)
        )
    out = _accumulator(c, (a.shape[0], b.shape[1]))
    for j in range(0, out.shape[1], COLUMNS):
        for i in range(0, out.shape[0], ROWS):
            rows, columns = slice(i, i + ROWS), slice(j, j + COLUMNS)
            _multiply(matrix_unit, rule, a[rows], b[:, columns], (a_format, b_format),
                      out[rows, columns], saturate)  # fmt: skip
    return out


def _multiply(unit: Unit, rule: DotRule, a: npt.NDArray[Any], b: npt.NDArray[Any],
              formats: tuple[str, str], out: Words, saturate: bool) -> None:  # fmt: skip
    x86 = rule.a_formats[0] == "uint8"
    right = integer_values(b, formats[1])
    shifted = x86 and formats[0] == "int8"
    name = "uint8" if shifted else formats[0]
    left = integer_values(a ^ np.uint8(128) if shifted else a, name)
    if shifted and right.shape[0]:
        out -= (np.int64(128) * right.sum(axis=0, dtype=np.int64)).astype(np.int32)
    if rule.rounding == "saturate-int16-wrap-int32":
        maddubs_matmul(padded(left, 2, 1), padded(right, 2, 0), out)
    elif saturate and not _fits(left, right, out):
        group = _SATURATING[unit.id]
        saturating_matmul(padded(left, group, 1), padded(right, group, 0), out, group)
    else:
        integer_matmul(left, right, out, chunk_length(name, formats[1]))


def _fits(a: Bytes, b: Bytes, out: Words) -> bool:
    """Whether no partial sum can reach the ends of int32."""
    tops = [max(int(x.max(initial=0)), -int(x.min(initial=0))) for x in (a, b, out)]
    start = tops[2]
    return bool(a.shape[1] * tops[0] * tops[1] + start < 1 << 31)


def _accumulator(c: npt.ArrayLike | None, shape: tuple[int, int]) -> Words:
    if c is None:
        return np.zeros(shape, dtype=np.int32)
    given = np.asarray(c)
    if given.size and (given.dtype.kind not in "iuf" or (given != np.trunc(given)).any()
                       or given.min() < -(2**31) or given.max() >= 2**31):  # fmt: skip
        raise InputError(
            "c of an integer unit must hold integers of 32 bits",
            hint="pass c as an array of numpy.int32",
        )
    return np.array(given, dtype=np.int32, order="C")


Bytes = npt.NDArray[np.int8] | npt.NDArray[np.uint8]
Words = npt.NDArray[np.int32]

_EXACT = 1 << 24
_TILE = 1 << 15


def integer_values(codes: npt.NDArray[np.uint8], format: str) -> Bytes:
    """The integers that codes (any shape) of int8, int4 (low four bits) or uint8 stand for."""
    if format == "uint8":
        return codes
    if format == "int4":
        return ((codes ^ np.uint8(8)) - np.uint8(8)).view(np.int8)
    return codes.view(np.int8)


def chunk_length(a_format: str, b_format: str) -> int:
    """The largest K whose float32 sums are exact for these formats."""
    bound = {"int8": 128, "uint8": 255, "int4": 8}
    return _EXACT // (bound[a_format] * bound[b_format])


def integer_matmul(a: npt.NDArray[Any], b: npt.NDArray[Any], out: Words, chunk: int) -> None:
    """Add ``a`` (M, K) @ ``b`` (K, N) to ``out`` (M, N) modulo 2^32; see the proof above."""
    for k in range(0, a.shape[1], chunk):
        left, right = a[:, k : k + chunk].astype(np.float32), b[k : k + chunk].astype(np.float32)
        out += (left @ right).astype(np.int32)


def saturating_matmul(a: Bytes, b: Bytes, out: Words, group: int) -> None:
    """``a`` (M, K) @ ``b`` (K, N), ``group`` products and the accumulator at a time, clipped to
    int32 after each."""
    info = np.iinfo(np.int32)
    total = out.astype(np.int64)
    for k in range(0, a.shape[1], group):
        part = a[:, k : k + group].astype(np.float64) @ b[k : k + group].astype(np.float64)
        total += part.astype(np.int64)
        np.clip(total, info.min, info.max, out=total)
    out[...] = total


def maddubs_matmul(a: Bytes, b: Bytes, out: Words) -> None:
    """VPMADDUBSW: pairs of u8 × s8 clipped to int16, then added exactly modulo 2^32.

    Pairs that the largest magnitudes of their columns and rows keep within int16 need no clipping
    and go through :func:`integer_matmul`; the others are added one pair at a time.
    """
    pairs = a.shape[1] // 2
    top = a.max(axis=0, initial=0).astype(np.int32).reshape(pairs, 2, 1)
    both = b.astype(np.int32).reshape(pairs, 2, b.shape[1])
    above = (top * np.maximum(both, 0)).sum(axis=1).max(axis=1, initial=0)
    below = (top * np.maximum(-both, 0)).sum(axis=1).max(axis=1, initial=0)
    risky = (above > 32767) | (below > 32768)
    safe = np.repeat(~risky, 2)
    integer_matmul(a[:, safe], b[safe], out, chunk_length("uint8", "int8"))
    height = max(1, _TILE // max(1, out.shape[1]))
    for i in range(0, out.shape[0], height):
        rows = slice(i, i + height)
        left = a[rows].astype(np.int32)
        for p in np.flatnonzero(risky):
            pair = left[:, 2 * p, None] * both[p, 0] + left[:, 2 * p + 1, None] * both[p, 1]
            np.clip(pair, -32768, 32767, out=pair)
            out[rows] += pair
