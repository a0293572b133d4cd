"""IQ4_NL and IQ4_XS: nibbles that index sixteen unevenly spaced levels.

Source: quantize_row_iq4_nl_impl with fifteen trials (quantize_iq4_nl and quantize_iq4_xs, which
write model files; quantize_row_iq4_nl_ref, for caches, tries one scale only) in
ggml/src/ggml-quants.c. Without an importance matrix elements weigh x². Arrays run over groups of 32
in their last axis and over the elements of a group in their first.
"""

from __future__ import annotations

import numpy as np

from planner.numerics.ggml_search import groups_of, nearest, ordered_sum
from planner.numerics.ggml_simple import BlockParts, Bytes, half_bytes, halves
from planner.numerics.tiles import FloatArray

LEVELS = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.int8
)
_LEVELS = LEVELS.astype(np.float32)
_TINY = np.float32(1e-15)  # GROUP_MAX_EPS
_TRIALS = range(-7, 8)
# The first level above each integer from -128 on, 1 to 15; levels are integers.
_ABOVE = np.clip(np.searchsorted(_LEVELS, np.arange(-128, 128), side="right"), 1, 15).astype(
    np.uint8
)


def _level(x: FloatArray) -> Bytes:
    """The index of the nearest level, the upper one of two that are equally near."""
    above = _ABOVE[np.clip(np.floor(x), -128, 127).astype(np.int16) + 128]
    below = above - np.uint8(1)
    lower = (x <= _LEVELS[0]) | (x - _LEVELS[below] < _LEVELS[above] - x)
    return np.where(lower & (x < _LEVELS[15]), below, above).astype(np.uint8)


def _scales(x: FloatArray, weights: FloatArray) -> FloatArray:
    """Least-squares scale of each group (size, groups), the best over sixteen first roundings."""
    first = np.abs(x).argmax(axis=0)
    extreme = x[first, np.arange(x.shape[1])]

    def trial(inverse: FloatArray) -> tuple[FloatArray, FloatArray]:
        q = _LEVELS[_level(inverse * x)]
        weighted = weights * q
        return ordered_sum(weighted * x), ordered_sum(weighted * q)

    sum_qx, sum_q2 = trial(np.float32(1) / (-extreme / _LEVELS[0]))
    scale = np.where(sum_q2 > 0, sum_qx / sum_q2, np.float32(0))
    best = scale * sum_qx
    for step in _TRIALS:
        sum_qx, sum_q2 = trial((np.float32(step) + _LEVELS[0]) / extreme)
        better = (sum_q2 > 0) & (sum_qx * sum_qx > best * sum_q2)
        scale = np.where(better, sum_qx / sum_q2, scale)
        best = np.where(better, scale * sum_qx, best)
    return np.where(np.abs(extreme) < _TINY, np.float32(0), scale)


def _inverse(scale: FloatArray) -> FloatArray:
    return np.where(scale == 0, np.float32(0), np.float32(1) / scale)


def _nibbles(q: Bytes) -> Bytes:
    """(n, groups, 32) indices → (n, groups · 16): i in the low, i + 16 in the high nibble."""
    return (q[..., :16] | q[..., 16:] << np.uint8(4)).reshape(-1, 16 * q.shape[1])


def _level_codes(nibbles: Bytes) -> Bytes:
    """Levels as signed bytes, groups of 32 from 16 bytes each."""
    count, size = nibbles.shape
    q = nibbles.reshape(count, size // 16, 1, 16)
    indices = np.concatenate([q & np.uint8(15), q >> np.uint8(4)], axis=2)
    codes: Bytes = LEVELS.view(np.uint8)[indices.reshape(count, 2 * size)]
    return codes


def quantize_iq4_nl(blocks: FloatArray) -> Bytes:
    """(n, 32) → (n, 18): d in FP16, 32 nibbles."""
    return iq4_nl_blocks(blocks, blocks * blocks)


def iq4_nl_blocks(blocks: FloatArray, weights: FloatArray) -> Bytes:
    """As :func:`quantize_iq4_nl` with the weight of each element."""
    x = groups_of(blocks, 32)
    with np.errstate(all="ignore"):
        scale = _scales(x, groups_of(weights, 32))
        q = _level(_inverse(scale) * x).T.reshape(-1, 1, 32)
        return np.concatenate([half_bytes(scale), _nibbles(q)], axis=1)


def parts_iq4_nl(stored: Bytes) -> BlockParts:
    """Levels as signed bytes, and one scale."""
    return BlockParts(_level_codes(stored[:, 2:]), halves(stored[:, :2])[:, None])


def quantize_iq4_xs(blocks: FloatArray) -> Bytes:
    """(n, 256) → (n, 136): d in FP16, eight 6-bit signed scales (upper pairs, then nibbles), 256
    nibbles. Codes follow the float32 d, not the stored one."""
    return iq4_xs_blocks(blocks, blocks * blocks)


def iq4_xs_blocks(blocks: FloatArray, weights: FloatArray) -> Bytes:
    """As :func:`quantize_iq4_xs` with the weight of each element."""
    x = groups_of(blocks, 32)
    with np.errstate(all="ignore"):
        scale = _scales(x, groups_of(weights, 32)).reshape(-1, 8)
        first = np.abs(scale).argmax(axis=1)[:, None]
        d = -np.take_along_axis(scale, first, axis=1) / np.float32(32)
        steps = np.clip(nearest(_inverse(d) * scale), -32, 31)
        unit: FloatArray = (d * steps.astype(np.float32)).reshape(-1)
        q = _level(_inverse(unit) * x).T.reshape(-1, 8, 32)
        stored = half_bytes(d[:, 0])
    s = (steps + 32).astype(np.uint8)
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8)
    upper = np.bitwise_or.reduce((s >> np.uint8(4)).reshape(-1, 2, 4) << shifts, axis=2)
    low = s & np.uint8(15)
    return np.concatenate(
        [stored, upper, low[:, ::2] | low[:, 1::2] << np.uint8(4), _nibbles(q)], axis=1
    )


def parts_iq4_xs(stored: Bytes) -> BlockParts:
    """Levels as signed bytes, and the scale d·(s - 32) of groups of 32."""
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8)
    upper = (stored[:, 2:4, None] >> shifts & np.uint8(3)).reshape(-1, 8)
    low = np.stack([stored[:, 4:8] & np.uint8(15), stored[:, 4:8] >> np.uint8(4)], axis=2)
    steps = (low.reshape(-1, 8) | upper << np.uint8(4)).astype(np.float32) - np.float32(32)
    return BlockParts(_level_codes(stored[:, 8:]), halves(stored[:, :2])[:, None] * steps)
