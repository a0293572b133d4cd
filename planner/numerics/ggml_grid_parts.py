"""IQ1, IQ2 and IQ3 blocks taken apart: points of a grid, signs, scales.

Source: dequantize_row_iq* in ggml/src/ggml-quants.c. IQ1 adds ±1/8 to levels of -1, 0 and 1; its
codes here are eighths, its scales an eighth of the source's, which changes no value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.ggml_grids import grid
from planner.numerics.ggml_simple import BlockParts, Bytes, halves
from planner.numerics.tiles import FloatArray

Integers = npt.NDArray[np.integer]
_EIGHT = np.arange(8, dtype=np.uint8)
_SEVENS = np.array([0, 7, 14, 21], dtype=np.uint32)
_PAIRS = np.array([0, 2, 4, 6], dtype=np.uint8)
_HALF, _QUARTER = np.float32(0.5), np.float32(0.25)


def _words(stored: Bytes, dtype: str) -> Integers:
    """Little-endian words of the bytes of each row."""
    words: Integers = np.ascontiguousarray(stored).view(dtype)
    return words


def _signed(points: npt.NDArray[np.int8], negative: npt.NDArray[np.bool_]) -> Bytes:
    """Levels (n, …) with the sign of each as signed bytes (n, 256)."""
    flat, down = points.reshape(-1, 256), negative.reshape(-1, 256)
    return np.where(down, -flat, flat).view(np.uint8)


def _bits(signs: Bytes) -> npt.NDArray[np.bool_]:
    """A byte (n, k) for eight elements → (n, k, 8), lowest bit first."""
    return (signs[..., None] >> _EIGHT & np.uint8(1)).astype(bool)


def _even(indices: Integers) -> npt.NDArray[np.bool_]:
    """Seven signs and the eighth that makes their number even (``ksigns_iq2xs``): (…, 8)."""
    seven = (indices[..., None] >> np.arange(7, dtype=np.uint32) & 1).astype(bool)
    return np.concatenate([seven, np.logical_xor.reduce(seven, axis=-1, keepdims=True)], axis=-1)


def _nibbles(packed: Bytes) -> Bytes:
    """(n, k) → (n, 2k): low, then high nibble of each byte."""
    return np.stack([packed & np.uint8(15), packed >> np.uint8(4)], axis=2).reshape(
        -1, 2 * packed.shape[1]
    )


def _scales(stored: Bytes, steps: Bytes | Integers, last: np.float32) -> FloatArray:
    """d · (½ + step) · ``last``, in that order."""
    scales: FloatArray = (halves(stored)[:, None] * (_HALF + steps.astype(np.float32))) * last
    return scales


def parts_iq2_xxs(stored: Bytes) -> BlockParts:
    """Signed levels, and the scale of groups of 32; the fourth byte of the signs is the scale's."""
    words = _words(stored[:, 2:], "<u4").reshape(-1, 8, 2)
    points = grid("iq2_xxs")[_words(words[:, :, 0].astype("<u4"), "u1")]
    signs = _even(words[:, :, 1, None] >> _SEVENS & np.uint32(127))
    return BlockParts(
        _signed(points, signs), _scales(stored[:, :2], words[:, :, 1] >> np.uint32(28), _QUARTER)
    )


def parts_iq2_xs(stored: Bytes) -> BlockParts:
    """Signed levels, and the scale of groups of 16."""
    words = _words(stored[:, 2:66], "<u2")
    points = grid("iq2_xs")[words & np.uint16(511)]
    return BlockParts(
        _signed(points, _even(words >> np.uint16(9))),
        _scales(stored[:, :2], _nibbles(stored[:, 66:]), _QUARTER),
    )


def parts_iq2_s(stored: Bytes) -> BlockParts:
    """Signed levels, and the scale of groups of 16; signs are bytes of their own."""
    upper = (stored[:, 66:74, None] >> _PAIRS & np.uint8(3)).reshape(-1, 32)
    points = grid("iq2_s")[stored[:, 2:34] | upper.astype(np.uint16) << np.uint16(8)]
    return BlockParts(
        _signed(points, _bits(stored[:, 34:66])),
        _scales(stored[:, :2], _nibbles(stored[:, 74:]), _QUARTER),
    )


def parts_iq3_xxs(stored: Bytes) -> BlockParts:
    """Signed levels, and the scale of groups of 32."""
    words = _words(stored[:, 66:], "<u4")
    points = grid("iq3_xxs")[stored[:, 2:66]]
    signs = _even(words[:, :, None] >> _SEVENS & np.uint32(127))
    return BlockParts(_signed(points, signs), _scales(stored[:, :2], words >> np.uint32(28), _HALF))


def parts_iq3_s(stored: Bytes) -> BlockParts:
    """Signed levels, and the scale d · (1 + 2·step) of groups of 32."""
    upper = _bits(stored[:, 66:74]).reshape(-1, 64).astype(np.uint16)
    points = grid("iq3_s")[stored[:, 2:66] | upper << np.uint16(8)]
    steps = 1 + 2 * _nibbles(stored[:, 106:]).astype(np.float32)
    return BlockParts(
        _signed(points, _bits(stored[:, 74:106])), halves(stored[:, :2])[:, None] * steps
    )


def _eighths(indices: Integers, negative: npt.NDArray[np.bool_]) -> Bytes:
    """8 · level ± 1 of points (n, 32): (n, 256)."""
    shift = np.where(negative, np.int8(-1), np.int8(1))[..., None]
    codes: npt.NDArray[np.int8] = grid("iq1_s")[indices] * np.int8(8) + shift
    return codes.reshape(-1, 256).view(np.uint8)


_EIGHTH = np.float32(0.125)


def parts_iq1_s(stored: Bytes) -> BlockParts:
    """Eighths, and an eighth of the scale d · (2·step + 1) of groups of 32."""
    words = _words(stored[:, 34:], "<u2")
    upper = words[:, :, None] >> np.array([0, 3, 6, 9], dtype=np.uint16) & np.uint16(7)
    indices = stored[:, 2:34] | upper.reshape(-1, 32) << np.uint16(8)
    negative = np.repeat(words >> np.uint16(15) != 0, 4, axis=1)
    steps = (2 * (words >> np.uint16(12) & np.uint16(7)) + 1).astype(np.float32)
    return BlockParts(_eighths(indices, negative), halves(stored[:, :2])[:, None] * steps * _EIGHTH)


def parts_iq1_m(stored: Bytes) -> BlockParts:
    """Eighths, and an eighth of the scale d · (2·step + 1) of groups of 16; the upper nibbles of
    the scales' words are d."""
    words = _words(stored[:, 48:], "<u2")
    shifts = np.array([12, 8, 4, 0], dtype=np.uint16)
    masks = np.array([0x000F, 0x00F0, 0x0F00, 0xF000], dtype=np.uint16)
    d = np.bitwise_or.reduce(words >> shifts & masks, axis=1).astype("<u2")
    three = words[:, :, None] >> np.array([0, 3, 6, 9], dtype=np.uint16) & np.uint16(7)
    steps = (2 * three.reshape(-1, 16) + 1).astype(np.float32)
    high = _nibbles(stored[:, 32:48])
    indices = stored[:, :32] | (high & np.uint8(7)).astype(np.uint16) << np.uint16(8)
    scales = halves(d.view(np.uint8).reshape(-1, 2))[:, None] * steps * _EIGHTH
    return BlockParts(_eighths(indices, (high & np.uint8(8)) != 0), scales)
