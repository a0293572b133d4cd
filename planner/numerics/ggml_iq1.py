"""IQ1_S and IQ1_M: three levels, -1, 0 and 1, moved by an eighth up or down, on one lattice.

Source: quantize_row_iq1_s_impl, quantize_row_iq1_m_impl and iq1_find_best_neighbour2 in
ggml/src/ggml-quants.c. Sorted, the elements of a group fall into three runs: every pair of cuts is
tried with every move, and the best becomes points of the lattice. Equal elements stay in order, as
they do where the C library sorts stably. IQ1_S needs an importance matrix; without one elements of
IQ1_M weigh x².
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.ggml_blocks import Bytes, half_bytes
from planner.numerics.ggml_grids import Index, Lattice, best_neighbour, iq_lattice, states_of
from planner.numerics.ggml_search import groups_of, nearest, ordered_sum
from planner.numerics.tiles import FloatArray

_UP = np.array([-0.875, 0.125, 1.125], dtype=np.float32)  # IQ1S_DELTA, IQ1M_DELTA
_DOWN = np.array([-1.125, -0.125, 0.875], dtype=np.float32)
_MOVED = np.stack([_DOWN, _UP])
_TINY_S, _TINY_M = np.float32(1e-12), np.float32(1e-7)  # GROUP_MAX_EPS_IQ1_S, _IQ1_M
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_LOWEST = -np.finfo(np.float32).max


class _Best:
    """The best cuts so far of each group, and the move (a number) that they were found with."""

    def __init__(self, groups: int) -> None:
        self.score = np.full(groups, _LOWEST, dtype=np.float32)
        self.scale = np.zeros(groups, dtype=np.float32)
        self.cuts = np.full((2, groups), -1, dtype=np.int32)
        self.move = np.zeros(groups, dtype=np.int8)

    def offer(self, sum_qx: FloatArray, sum_q2: FloatArray, i: int, j: int, move: int) -> None:
        """Σwqx and Σwq² of the cuts before i and before j."""
        better = np.flatnonzero((sum_q2 > 0) & (sum_qx * sum_qx > self.score * sum_q2))
        scale = sum_qx[better] / sum_q2[better]
        self.scale[better], self.score[better] = scale, scale * sum_qx[better]
        self.cuts[0, better], self.cuts[1, better] = i, j
        self.move[better] = move


def _weights(blocks: FloatArray, importance: FloatArray | None) -> FloatArray:
    squares: FloatArray = blocks * blocks
    if importance is None:
        return squares
    sigma2 = np.float32(2) * ordered_sum(np.ascontiguousarray(squares.T)) / np.float32(256)
    weights: FloatArray = importance * np.sqrt(sigma2[:, None] + squares)
    return weights


def _levels(best: _Best, order: npt.NDArray[np.intp]) -> npt.NDArray[np.int8]:
    """Levels 0, 1, 2 (size, groups) of elements in their own order."""
    places = np.arange(order.shape[0])[:, None]
    ranked = ((places >= best.cuts[0]).astype(np.int8) + (places >= best.cuts[1])).astype(np.int8)
    levels = np.empty_like(ranked)
    np.put_along_axis(levels, order, ranked, axis=0)
    turned: npt.NDArray[np.int8] = np.where(best.scale < 0, np.int8(2) - levels, levels)
    return turned


def _on_lattice(
    x: FloatArray, weights: FloatArray, levels: npt.NDArray[np.int8], scale: FloatArray, up: Index
) -> tuple[FloatArray, Index]:
    """Scales and points (vectors, groups): where a vector is no point, the neighbour with the least
    error, and the scale that fits then; ``up`` (vectors, groups) is 1 where levels move up.
    """
    lattice, groups = iq_lattice("iq1_s"), x.shape[1]
    vectors, importance = (
        rows.reshape(-1, 8, groups).transpose(1, 0, 2).reshape(8, -1) for rows in (x, weights)
    )
    count = x.shape[0] // 8
    states = states_of(levels.reshape(-1, 8, groups).transpose(1, 0, 2).reshape(8, -1), 3)
    index = lattice.of_state[states]
    off = np.flatnonzero(index < 0)
    index[off] = best_neighbour(
        lattice,
        states[off],
        vectors[:, off],
        importance[:, off],
        np.tile(scale, count)[off],
        _MOVED,
        up.reshape(-1)[off],
    )
    on = np.ones(index.shape, dtype=np.bool_)
    on[off] = False
    index = index.reshape(count, groups)
    sum_qx, sum_q2 = _sums(x, weights, _stand_for(lattice, index, up))
    fitted = ~on.reshape(count, groups).all(axis=0) & (sum_qx > 0) & (sum_q2 > 0)
    return np.where(fitted, sum_qx / sum_q2, scale), index


def _stand_for(lattice: Lattice, index: Index, up: Index) -> FloatArray:
    """(size, groups): the values of points (vectors, groups)."""
    values: FloatArray = _MOVED[up, lattice.points[:, index]]
    return np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(-1, index.shape[1])


def _sums(x: FloatArray, weights: FloatArray, q: FloatArray) -> tuple[FloatArray, FloatArray]:
    weighted = weights * q
    return ordered_sum(weighted * x), ordered_sum(weighted * q)


def _three_bits(scale: FloatArray, largest: FloatArray) -> Bytes:
    inverse: FloatArray = _ONE / (largest / np.float32(15))
    steps = np.clip(nearest(_HALF * (inverse[:, None] * scale - _ONE)), 0, 7)
    return np.where(largest[:, None] == 0, 0, steps).astype(np.uint8)


def _running(rows: FloatArray) -> FloatArray:
    """Sums of the first 0, 1, 2 … of (size, groups)."""
    return np.concatenate([np.zeros_like(rows[:1]), np.add.accumulate(rows, axis=0)])


def quantize_iq1_s(blocks: FloatArray, importance: FloatArray) -> Bytes:
    """(n, 256) → (n, 50): d in FP16, low bytes of 32 indices, eight words of four times three upper
    bits, a 3-bit scale and the move of a group of 32."""
    x = groups_of(blocks, 32)
    with np.errstate(all="ignore"):
        weights = groups_of(_weights(blocks, importance), 32)
        order = x.argsort(axis=0, kind="stable")
        best = _cut_groups(x, weights, order)
        empty = (np.abs(x).max(axis=0) < _TINY_S) | (best.cuts[0] < 0)
        up = (best.move == 1) != (best.scale < 0)
        moves = np.broadcast_to(up.astype(np.int32), (4, up.size))
        scale, index = _on_lattice(x, weights, _levels(best, order), np.abs(best.scale), moves)
        scale = np.where(empty, _ZERO, scale).reshape(-1, 8)
        largest = scale.max(axis=1)
        d = half_bytes(np.where(largest > 0, largest / np.float32(15) * np.float32(1.125), _ZERO))
        steps = _three_bits(scale, largest)
    points = np.where(empty, 0, index).T.reshape(-1, 8, 4).astype(np.uint16)
    words = np.bitwise_or.reduce(
        points >> np.uint16(8) << np.array([0, 3, 6, 9], dtype=np.uint16), axis=2
    )
    down = ~(up | empty).reshape(-1, 8) & (largest > 0)[:, None]
    words |= (steps | down.astype(np.uint8) << np.uint8(3)).astype(np.uint16) << np.uint16(12)
    return np.concatenate(
        [d, points.astype(np.uint8).reshape(-1, 32), words.astype("<u2").view(np.uint8)], axis=1
    )


def _cut_groups(x: FloatArray, weights: FloatArray, order: npt.NDArray[np.intp]) -> _Best:
    """The best cuts where all elements of a group move alike: 1 up, -1 down."""
    w = np.take_along_axis(weights, order, axis=0)
    sx, sw = _running(w * np.take_along_axis(x, order, axis=0)), _running(w)
    size, best = x.shape[0], _Best(x.shape[1])
    for i in range(size + 1):
        for j in range(i, size + 1):
            parts = (
                (sx[i], sw[i]),
                (sx[j] - sx[i], sw[j] - sw[i]),
                (sx[size] - sx[j], sw[size] - sw[j]),
            )
            for move, q in ((1, _UP), (-1, _DOWN)):
                (x0, w0), (x1, w1), (x2, w2) = parts
                best.offer(
                    x0 * q[0] + x1 * q[1] + x2 * q[2],
                    w0 * q[0] * q[0] + w1 * q[1] * q[1] + w2 * q[2] * q[2],
                    i,
                    j,
                    move,
                )
    return best


def quantize_iq1_m(blocks: FloatArray, importance: FloatArray | None = None) -> Bytes:
    """(n, 256) → (n, 56): low bytes of 32 indices, nibbles of three upper bits and a move for each
    eight, sixteen 3-bit scales among four words whose upper nibbles are d in FP16."""
    x = groups_of(blocks, 16)
    with np.errstate(all="ignore"):
        weights = groups_of(_weights(blocks, importance), 16)
        order = x.argsort(axis=0, kind="stable")
        best = _cut_halves(x, weights, order)
        empty = (np.abs(x).max(axis=0) < _TINY_M) | (best.cuts[0] < 0)
        move = np.where(empty, 0, np.where(best.scale < 0, 3 - best.move, best.move))
        up = np.stack([move < 2, move % 2 == 0]).astype(np.int32)
        scale, index = _on_lattice(x, weights, _levels(best, order), np.abs(best.scale), up)
        index = np.where(empty, 0, index)
        scale = np.where(empty, _ZERO, scale).reshape(-1, 16)
        largest = scale.max(axis=1)
        steps = _three_bits(scale, largest)
        d = _fitted(x, weights, _stand_for(iq_lattice("iq1_s"), index, up), steps)
        d = np.where(np.isnan(d), largest / np.float32(15), d)
        stored = half_bytes(np.where(largest > 0, d * np.float32(1.1125), _ZERO))
    down = np.stack([move >= 2, move % 2 == 1], axis=1).reshape(-1, 16, 2)
    down &= (largest > 0)[:, None, None]
    upper = index.T.reshape(-1, 16, 2) >> 8 | down.astype(np.int32) << 3
    nibbles = (upper[:, :, 0] | upper[:, :, 1] << 4).astype(np.uint8)
    return np.concatenate(
        [index.T.astype(np.uint8).reshape(-1, 32), nibbles, _scale_words(steps, stored)], axis=1
    )


def _fitted(x: FloatArray, weights: FloatArray, q: FloatArray, steps: Bytes) -> FloatArray:
    """Σwqx / Σwq² of whole super-blocks (n,), with the steps of their groups; NaN of no weight."""
    factor = (2 * steps.astype(np.float32) + _ONE).reshape(-1)
    values = q * factor
    weighted = weights * values
    sum_qx, sum_q2 = (
        ordered_sum(np.ascontiguousarray(rows.T.reshape(-1, 256).T))
        for rows in (weighted * x, weighted * values)
    )
    return np.where(sum_q2 > 0, sum_qx / sum_q2, np.float32(np.nan))


def _scale_words(steps: Bytes, stored: Bytes) -> Bytes:
    shifts = np.array([0, 3, 6, 9], dtype=np.uint16)
    words = np.bitwise_or.reduce(steps.astype(np.uint16).reshape(-1, 4, 4) << shifts, axis=2)
    half = stored.view("<u2")[:, 0].astype(np.uint16)[:, None]
    words |= (half >> np.array([0, 4, 8, 12], dtype=np.uint16) & np.uint16(15)) << np.uint16(12)
    stored_words: Bytes = words.astype("<u2").view(np.uint8)
    return stored_words


def _cut_halves(x: FloatArray, weights: FloatArray, order: npt.NDArray[np.intp]) -> _Best:
    """The best cuts where the two halves of a group move apart: 0 up, up; 1 up, down; 2 down, up;
    3 down, down.

    Levels differ by one, so that Σwqx is the total times the upper value less the sums before
    either cut.
    """
    size, best = x.shape[0], _Best(x.shape[1])
    w = np.take_along_axis(weights, order, axis=0)
    wx, second = w * np.take_along_axis(x, order, axis=0), order >= size // 2
    sx = [_running(np.where(half, wx, _ZERO)) for half in (~second, second)]
    sw = [_running(np.where(half, w, _ZERO)) for half in (~second, second)]
    upper = (_UP[2], _DOWN[2])
    low = [q[0] * q[0] - q[1] * q[1] for q in (_UP, _DOWN)]
    high = [q[1] * q[1] - q[2] * q[2] for q in (_UP, _DOWN)]
    for i in range(size + 1):
        for j in range(i, size + 1):
            qx, q2 = [], []
            for h in (0, 1):
                before = sx[h][i] + sx[h][j]
                qx.append([sx[h][size] * top - before for top in upper])
                q2.append(
                    [
                        sw[h][size] * top * top + sw[h][i] * low[m] + sw[h][j] * high[m]
                        for m, top in enumerate(upper)
                    ]
                )
            for move in range(4):
                a, b = divmod(move, 2)
                best.offer(qx[0][a] + qx[1][b], q2[0][a] + q2[1][b], i, j, move)
    return best
