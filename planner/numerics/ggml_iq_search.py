"""The search that IQ2 and IQ3 share: a scale and lattice points for magnitudes, by trials.

Source: the loops of quantize_row_iq2_xxs_impl, _iq2_xs_impl, _iq2_s_impl, _iq3_xxs_impl and
_iq3_s_impl in ggml/src/ggml-quants.c. Arrays run over groups in their last axis and over the
elements of a group in their first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from planner.numerics.ggml_iq_grids import Index, Lattice, best_neighbour, states_of
from planner.numerics.ggml_search import nearest, ordered_sum
from planner.numerics.tiles import FloatArray

Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
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
