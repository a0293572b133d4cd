"""The search that IQ2 and IQ3 share: a scale and lattice points for magnitudes, by trials.

Source: the loops of quantize_row_iq2_xxs_impl, _iq2_xs_impl, _iq2_s_impl, _iq3_xxs_impl and
_iq3_s_impl in ggml/src/ggml-quants.c. Arrays run over groups in their last axis and over the
elements of a group in their first.

IQ2_XXS, IQ2_XS and IQ2_S: magnitudes as points of a lattice of eight coordinates, signs apart.

Source: quantize_row_iq2_xxs_impl, quantize_row_iq2_xs_impl and quantize_row_iq2_s_impl in
ggml/src/ggml-quants.c. The first two need an importance matrix; without one elements of IQ2_S weigh
half the mean x² and x².

IQ3 has points of four coordinates, signs apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from planner.numerics.ggml_blocks import Bytes, half_bytes
from planner.numerics.ggml_grids import Index, Lattice, best_neighbour, iq_lattice, states_of
from planner.numerics.ggml_search import TINY, groups_of, nearest, ordered_sum, search_positive
from planner.numerics.tiles import FloatArray

Mask = npt.NDArray[np.bool_]
_HALF = np.float32(0.5)
_ONE = np.float32(1)


@dataclass(frozen=True, slots=True)
class Trials:
    """Inverse scales that are tried, (2·levels - 1 + step·i) / reach for |i| ≤ ``count``.

    ``again`` says which vectors are rounded once more at the scale that was found: those ``off``
    the lattice, all of a group where ``any`` is off, or ``all``.
    """

    count: int
    step: float
    again: Literal["off", "any", "all"] = "off"


class _Vectors:
    """Magnitudes and weights of all groups, vector by vector."""

    def __init__(self, x: FloatArray, weights: FloatArray, lattice: Lattice) -> None:
        self.x, self.weights, self.lattice = x, weights, lattice
        size, groups = x.shape
        self.shape = (size // lattice.width, groups)
        self._x = self._flat(x)
        self._roots = self._flat(np.sqrt(weights))
        levels = np.arange(lattice.levels, dtype=np.float32)
        self._tables: FloatArray = (2 * levels + _ONE)[None]
        self._values: FloatArray = self._tables[0][lattice.points]

    def _flat(self, rows: FloatArray) -> FloatArray:
        count, groups = self.shape
        return np.ascontiguousarray(rows.reshape(count, -1, groups).transpose(1, 0, 2)).reshape(
            self.lattice.width, -1
        )

    def rounded(self, inverse: FloatArray, scale: FloatArray) -> tuple[Index, Mask]:
        """Points (vectors, groups) at an inverse scale, and which vectors were points at once."""
        count, _ = self.shape
        steps = nearest(_HALF * (np.tile(inverse, count) * self._x - _ONE))
        states = states_of(np.clip(steps, 0, self.lattice.levels - 1), self.lattice.levels)
        index = self.lattice.of_state[states]
        off = np.flatnonzero(index < 0)
        index[off] = best_neighbour(
            self.lattice,
            states[off],
            self._x[:, off],
            self._roots[:, off],
            np.tile(scale, count)[off],
            self._tables,
        )
        on: Mask = np.ones(index.shape, dtype=np.bool_)
        on[off] = False
        return index.reshape(self.shape), on.reshape(self.shape)

    def sums(self, index: Index) -> tuple[FloatArray, FloatArray]:
        """Σ w·x·q and Σ w·q²."""
        q: FloatArray = self._values[:, index].transpose(1, 0, 2).reshape(self.x.shape)
        return ordered_sum(self.weights * self.x * q), ordered_sum(self.weights * q * q)


def search(
    x: FloatArray,
    weights: FloatArray,
    lattice: Lattice,
    trials: Trials,
    reach: FloatArray,
    first: FloatArray | None = None,
) -> tuple[FloatArray, Index]:
    """Scales (groups,) and points (vectors, groups) of magnitudes ``x`` (size, groups).

    ``reach`` is what the topmost level is tried at, the largest magnitude; ``first`` the scale
    where no trial fits (default: that of the reach). Of the trials that with the largest
    (Σwxq)² / Σwq² stays; then vectors are rounded again at its own scale.
    """
    vectors = _Vectors(x, weights, lattice)
    top = np.float32(2 * lattice.levels - 1)
    scale: FloatArray = reach / top if first is None else first
    best = np.zeros_like(scale)
    index = np.zeros(vectors.shape, dtype=np.int32)
    on: Mask = np.full(vectors.shape, trials.again == "off")
    for i in range(-trials.count, trials.count + 1):
        inverse: FloatArray = (top + np.float32(i) * np.float32(trials.step)) / reach
        new, new_on = vectors.rounded(inverse, _ONE / inverse)
        sum_qx, sum_q2 = vectors.sums(new)
        better = (sum_q2 > 0) & (sum_qx * sum_qx > best * sum_q2)
        scale = np.where(better, sum_qx / sum_q2, scale)
        best = np.where(better, scale * sum_qx, best)
        index, on = np.where(better, new, index), np.where(better, new_on, on)
    again = (scale > 0) & (True if trials.again == "all" else ~on.all(axis=0))
    new, _ = vectors.rounded(_ONE / scale, scale)
    index = np.where(again & (~on if trials.again == "off" else True), new, index)
    sum_qx, sum_q2 = vectors.sums(index)
    return np.where(again & (sum_q2 > 0), sum_qx / sum_q2, scale), index


def signs_of(blocks: FloatArray) -> Bytes:
    """Which elements are negative (-0 is not), eight a byte, the first lowest: (n, width / 8)."""
    return np.packbits(blocks < 0, axis=-1, bitorder="little")


def even_signs(
    blocks: FloatArray,
    weights: FloatArray,
) -> tuple[FloatArray, Bytes]:
    """Magnitudes (n, width) and seven sign bits for each eight, whose parity gives the eighth.

    Where an odd number is negative, the element of the least w·x² changes its sign.
    """
    x, w = blocks.reshape(-1, 8), weights.reshape(-1, 8)
    negative = x < 0
    odd = np.flatnonzero(negative.sum(axis=1) % 2)
    least = (w * x * x).argmin(axis=1)[odd]
    negative[odd, least] ^= True
    magnitude = np.abs(x)
    magnitude[odd, least] *= np.float32(-1)
    signs = np.packbits(negative, axis=1, bitorder="little")[:, 0] & np.uint8(127)
    return magnitude.reshape(blocks.shape), signs.reshape(len(blocks), -1)


def four_bits(scale: FloatArray, largest: FloatArray) -> Bytes:
    """Steps 0 to 15 of (n, groups) scales: 2·step + 1 thirty-firsts of the largest."""
    inverse: FloatArray = np.float32(1) / (largest / np.float32(31))
    steps = np.clip(nearest(_HALF * (inverse[:, None] * scale - np.float32(1))), 0, 15)
    codes: Bytes = np.where(largest[:, None] == 0, 0, steps).astype(np.uint8)
    return codes


def with_signs(signs: Bytes, steps: Bytes) -> Bytes:
    """(n, 32) words of seven bits and (n, 8) of four as little-endian words of 32: (n, 32)."""
    shifts = np.array([0, 7, 14, 21], dtype=np.uint32)
    words = np.bitwise_or.reduce(signs.reshape(-1, 8, 4).astype(np.uint32) << shifts, axis=2)
    words |= steps.astype(np.uint32) << np.uint32(28)
    stored_words: Bytes = words.astype("<u4").view(np.uint8)
    return stored_words


_TINY_S = np.float32(1e-8)  # GROUP_MAX_EPS_IQ2_S
_ZERO = np.float32(0)


def _weights(blocks: FloatArray, importance: FloatArray) -> FloatArray:
    """(n, 256): importance · √(mean x² + x²)."""
    squares: FloatArray = blocks * blocks
    sigma2 = ordered_sum(np.ascontiguousarray(squares.T)) / np.float32(256)
    weights: FloatArray = importance * np.sqrt(sigma2[:, None] + squares)
    return weights


def quantize_iq2_xxs(blocks: FloatArray, importance: FloatArray) -> Bytes:
    """(n, 256) → (n, 66): d in FP16, eight times four indices of a byte and a word of four times
    seven signs and a 4-bit scale."""
    with np.errstate(all="ignore"):
        weights = _weights(blocks, importance)
        x, signs = even_signs(blocks, weights)
        groups, weights = groups_of(x, 32), groups_of(weights, 32)
        first, _ = search_positive(groups, weights, 4)
        reach = first * np.float32(3)
        scale, index = search(
            groups, weights, iq_lattice("iq2_xxs"), Trials(6, 0.1, "all"), reach, first
        )
        empty = ((groups.max(axis=0) < TINY) | (reach <= 0)).reshape(-1, 8)
        scale, signs = _made_positive(np.where(empty, _ZERO, scale.reshape(-1, 8)), signs, 127)
        largest = scale.max(axis=1)
        d, steps = half_bytes(largest / np.float32(31)), four_bits(scale, largest)
    points = np.where(empty[:, :, None], 0, index.T.reshape(-1, 8, 4)).astype(np.uint8)
    words = with_signs(np.where(np.repeat(empty, 4, axis=1), 0, signs), steps)
    both = np.concatenate([points, words.reshape(-1, 8, 4)], axis=2)
    return np.concatenate([d, both.reshape(-1, 64)], axis=1)


def _made_positive(scale: FloatArray, signs: Bytes, mask: int) -> tuple[FloatArray, Bytes]:
    """Scales as magnitudes, and the signs of negative ones turned."""
    turned = np.repeat(scale < 0, signs.shape[1] // scale.shape[1], axis=1)
    return np.abs(scale), np.where(turned, ~signs & np.uint8(mask), signs)


def quantize_iq2_xs(blocks: FloatArray, importance: FloatArray) -> Bytes:
    """(n, 256) → (n, 74): d in FP16, 32 words of nine bits of index and seven signs, sixteen 4-bit
    scales."""
    with np.errstate(all="ignore"):
        weights = _weights(blocks, importance)
        x, signs = even_signs(blocks, weights)
        groups = groups_of(x, 16)
        reach = groups.max(axis=0)
        scale, index = search(
            groups, groups_of(weights, 16), iq_lattice("iq2_xs"), Trials(9, 0.1), reach
        )
        empty = (reach < TINY).reshape(-1, 16)
        scale, signs = _made_positive(np.where(empty, _ZERO, scale.reshape(-1, 16)), signs, 127)
        largest = scale.max(axis=1)
        d, steps = half_bytes(largest / np.float32(31)), four_bits(scale, largest)
    words = _points(index) | signs.astype(np.uint16) << np.uint16(9)
    words[np.repeat(empty, 2, axis=1)] = 0
    return np.concatenate([d, words.astype("<u2").view(np.uint8), _paired(steps)], axis=1)


def _points(index: Index) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    """(2, groups) → (n, 32)."""
    return index.T.reshape(-1, 32).astype(np.uint16)


def _paired(steps: Bytes) -> Bytes:
    return steps[:, ::2] | steps[:, 1::2] << np.uint8(4)


def quantize_iq2_s(blocks: FloatArray, importance: FloatArray | None = None) -> Bytes:
    """(n, 256) → (n, 82): d in FP16, low bytes of 32 indices, 256 signs, upper bit pairs, sixteen
    4-bit scales."""
    with np.errstate(all="ignore"):
        squares: FloatArray = blocks * blocks
        sigma2 = np.float32(2) * ordered_sum(np.ascontiguousarray(squares.T)) / np.float32(256)
        weights = (
            np.float32(0.25) * sigma2[:, None] + squares
            if importance is None
            else importance * np.sqrt(sigma2[:, None] + squares)
        )
        groups = groups_of(np.abs(blocks), 16)
        reach = groups.max(axis=0)
        scale, index = search(
            groups, groups_of(weights, 16), iq_lattice("iq2_s"), Trials(9, 0.1), reach
        )
        empty = (reach < _TINY_S).reshape(-1, 16)
        scale = np.where(empty, _ZERO, scale.reshape(-1, 16))
        largest = scale.max(axis=1)
        d = half_bytes(np.where(largest > 0, largest / np.float32(31) * np.float32(0.9875), _ZERO))
        steps = four_bits(scale, largest)
    twice = np.repeat(empty, 2, axis=1)
    points = np.where(twice, 0, _points(index))
    upper = (points >> np.uint16(8)).astype(np.uint8).reshape(-1, 8, 4)
    packed = np.bitwise_or.reduce(upper << np.array([0, 2, 4, 6], dtype=np.uint8), axis=2)
    signs = np.where(twice, 0, signs_of(blocks)).astype(np.uint8)
    return np.concatenate([d, points.astype(np.uint8), signs, packed, _paired(steps)], axis=1)


_TINY = np.float32(1e-8)  # GROUP_MAX_EPS_IQ3_XXS


def _iq3_weights(blocks: FloatArray, importance: FloatArray | None) -> FloatArray:
    """(n, 256): importance · √(2·mean x² + x²), or x² without a matrix."""
    squares: FloatArray = blocks * blocks
    if importance is None:
        return squares
    sigma2 = np.float32(2) * ordered_sum(np.ascontiguousarray(squares.T)) / np.float32(256)
    weights: FloatArray = importance * np.sqrt(sigma2[:, None] + squares)
    return weights


def quantize_iq3_xxs(blocks: FloatArray, importance: FloatArray | None = None) -> Bytes:
    """(n, 256) → (n, 98): d in FP16, 64 indices of a byte, eight words of four times seven signs
    and a 4-bit scale."""
    with np.errstate(all="ignore"):
        weights = _iq3_weights(blocks, importance)
        x, signs = even_signs(blocks, weights)
        groups = groups_of(x, 32)
        reach = groups.max(axis=0)
        scale, index = search(
            groups, groups_of(weights, 32), iq_lattice("iq3_xxs"), Trials(15, 0.2), reach
        )
        empty = (reach < _TINY).reshape(-1, 8)
        scale = np.where(empty, np.float32(0), scale.reshape(-1, 8))
        largest = scale.max(axis=1)
        d = half_bytes(
            np.where(largest > 0, largest / np.float32(31) * np.float32(1.0125), np.float32(0))
        )
        steps = four_bits(scale, largest)
    points = np.where(empty[:, :, None], 0, index.T.reshape(-1, 8, 8)).astype(np.uint8)
    words = with_signs(np.where(np.repeat(empty, 4, axis=1), 0, signs), steps)
    return np.concatenate([d, points.reshape(-1, 64), words], axis=1)


def quantize_iq3_s(blocks: FloatArray, importance: FloatArray | None = None) -> Bytes:
    """(n, 256) → (n, 110): d in FP16, low bytes of 64 indices, their ninth bits, 256 signs, eight
    4-bit scales.

    As in the source, a group of zeros takes no place among the indices and signs: those of the
    groups after it move up, where decoding does not look for them.
    """
    with np.errstate(all="ignore"):
        weights = groups_of(_iq3_weights(blocks, importance), 32)
        groups = groups_of(np.abs(blocks), 32)
        reach = groups.max(axis=0)
        scale, index = search(groups, weights, iq_lattice("iq3_s"), Trials(9, 0.2, "any"), reach)
        empty = (reach == 0).reshape(-1, 8)
        scale = np.where(empty, np.float32(0), scale.reshape(-1, 8))
        largest = scale.max(axis=1)
        d = half_bytes(
            np.where(largest > 0, largest / np.float32(31) * np.float32(1.033), np.float32(0))
        )
        steps = four_bits(scale, largest)
    points = np.where(empty[:, :, None], 0, index.T.reshape(-1, 8, 8)).astype(np.uint16)
    order = np.argsort(empty, axis=1, kind="stable")[:, :, None]
    signs = np.where(empty[:, :, None], 0, signs_of(blocks).reshape(-1, 8, 4)).astype(np.uint8)
    low = np.take_along_axis(points.astype(np.uint8), order, axis=1)
    upper = np.packbits(points > 255, axis=2, bitorder="little")
    return np.concatenate(
        [
            d,
            low.reshape(-1, 64),
            upper.reshape(-1, 8),
            np.take_along_axis(signs, order, axis=1).reshape(-1, 32),
            steps[:, ::2] | steps[:, 1::2] << np.uint8(4),
        ],
        axis=1,
    )
