"""TQ1_0, TQ2_0, Q2_0 and Q1_0: signs and small integers of one scale a block.

Source: quantize_row_tq1_0_ref, quantize_row_tq2_0_ref, quantize_row_q2_0_ref, quantize_row_q1_0_ref
and the dequantize_row_* of each in ggml/src/ggml-quants.c. An importance matrix changes nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.ggml_blocks import BlockParts, Bytes, half_bytes, halves, round_half_away
from planner.numerics.ggml_search import ordered_sum
from planner.numerics.tiles import FloatArray

_PAIRS = np.array([0, 2, 4, 6], dtype=np.uint8)
_POWERS = np.array([1, 3, 9, 27, 81], dtype=np.uint8)
_TRITS = np.array([81, 27, 9, 3, 1], dtype=np.uint16)
# Bytes of a TQ1_0 block that hold five trits of elements 32 and 16 apart, and four 4 apart.
_RUNS = ((0, 32, 5), (32, 48, 5), (48, 52, 4))


def _by_largest(blocks: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int32]]:
    """d = the largest magnitude (n,) and x · (1/d) rounded half away from zero, -1 to 1."""
    d: FloatArray = np.abs(blocks).max(axis=1)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inverse = np.where(d != 0, np.float32(1) / d, np.float32(0))[:, None]
        return d, round_half_away(blocks * inverse).astype(np.int32)


def quantize_tq2_0(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 66): in each half byte m holds elements m, m + 32, m + 64, m + 96 in pairs of
    bits, less one; then d in FP16."""
    d, q = _by_largest(blocks)
    pairs = ((q + 1) & 3).astype(np.uint8).reshape(-1, 2, 4, 32) << _PAIRS[:, None]
    packed: Bytes = np.bitwise_or.reduce(pairs, axis=2)
    return np.concatenate([packed.reshape(-1, 64), half_bytes(d)], axis=1)


def parts_tq2_0(stored: Bytes) -> BlockParts:
    """Codes less one as signed bytes, and one scale."""
    q = stored[:, :64].reshape(-1, 2, 1, 32) >> _PAIRS[:, None] & np.uint8(3)
    return BlockParts((q - np.uint8(1)).reshape(-1, 256), halves(stored[:, 64:])[:, None])


def quantize_tq1_0(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 54): trits in bytes of ⌈256 · t / 243⌉, most significant first; d in FP16."""
    d, q = _by_largest(blocks)
    trits, at, packed = (q + 1).astype(np.uint16), 0, []
    for first, last, count in _RUNS:
        width = last - first
        run = trits[:, at : at + count * width].reshape(-1, count, width)
        packed_trits = (run * _TRITS[:count, None]).sum(axis=1, dtype=np.uint32)
        packed.append(((packed_trits * 256 + 242) // 243).astype(np.uint8))
        at += count * width
    return np.concatenate([*packed, half_bytes(d)], axis=1)


def parts_tq1_0(stored: Bytes) -> BlockParts:
    """Trits less one as signed bytes, and one scale."""
    codes = []
    for first, last, count in _RUNS:
        shifted = stored[:, None, first:last] * _POWERS[:count, None]  # modulo 256
        trits = shifted.astype(np.uint16) * np.uint16(3) >> np.uint16(8)
        codes.append(trits.astype(np.uint8).reshape(-1, count * (last - first)))
    return BlockParts(np.concatenate(codes, axis=1) - np.uint8(1), halves(stored[:, 52:])[:, None])


def quantize_q2_0(blocks: FloatArray) -> Bytes:
    """(n, 64) → (n, 18): d, the largest magnitude, in FP16; codes -1 to 2, of which 2 is never
    written, plus one in pairs of bits."""
    d, q = _by_largest(blocks)
    pairs = np.clip(q + 1, 0, 3).astype(np.uint8).reshape(-1, 16, 4) << _PAIRS
    return np.concatenate([half_bytes(d), np.bitwise_or.reduce(pairs, axis=2)], axis=1)


def parts_q2_0(stored: Bytes) -> BlockParts:
    """Codes less one as signed bytes, and one scale."""
    q = stored[:, 2:, None] >> _PAIRS & np.uint8(3)
    return BlockParts((q - np.uint8(1)).reshape(-1, 64), halves(stored[:, :2])[:, None])


def quantize_q1_0(blocks: FloatArray) -> Bytes:
    """(n, 128) → (n, 18): d, the mean magnitude, in FP16; a bit for each element of 0 or more."""
    d = ordered_sum(np.ascontiguousarray(np.abs(blocks).T)) / np.float32(128)
    return np.concatenate(
        [half_bytes(d), np.packbits(blocks >= 0, axis=1, bitorder="little")], axis=1
    )


def parts_q1_0(stored: Bytes) -> BlockParts:
    """1 or -1 as signed bytes, and one scale."""
    bits = np.unpackbits(np.ascontiguousarray(stored[:, 2:]), axis=1, bitorder="little")
    return BlockParts((bits << np.uint8(1)) - np.uint8(1), halves(stored[:, :2])[:, None])
