"""Integer products through float32 BLAS, exact by bound, and the saturation of x86 instructions.

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
