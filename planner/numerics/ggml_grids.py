"""IQ1, IQ2 and IQ3: the grids that each can store, their lattices, and blocks taken apart.

The points of a grid are data of ggml (data/ggml_grids.toml). In its lattice a vector of levels is a
state: its coordinates as the digits of a number, the first the lowest. What is no point is rounded
to one of its neighbours: all points at the smallest distances from it, by distance and then by
index. Source: iq2xs_init_impl and iq3xs_init_impl in ggml/src/ggml-quants.c.

Blocks are taken apart into points of a grid, signs and scales. Source: dequantize_row_iq* in
ggml/src/ggml-quants.c. IQ1 adds ±1/8 to levels of -1, 0 and 1; its codes here are eighths, its
scales an eighth of the source, which changes no value.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import UnknownNameError
from planner.numerics.engines import kernel
from planner.numerics.ggml_blocks import BlockParts, Bytes, halves
from planner.numerics.tiles import FloatArray

_DATA = Path(__file__).resolve().parent / "data" / "ggml_grids.toml"
GRIDS = ("iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq1_s")


@cache
def _document() -> Mapping[str, Any]:
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))


@cache
def packed_points(name: str) -> npt.NDArray[np.uint16]:
    """The points of a grid in GRIDS in order, the index of each element's level in ``bits`` bits,
    that of the first element lowest: (points,).

    Raises UnknownNameError for another grid.
    """
    if name not in GRIDS:
        raise UnknownNameError("grid", name, GRIDS)
    table = _document()[name]
    digits = -(-table["bits"] * table["dimensions"] // 4)
    text = "".join(table["points"].split())
    points = np.array(
        [int(text[i : i + digits], 16) for i in range(0, len(text), digits)], dtype=np.uint16
    )
    points.setflags(write=False)
    return points


@cache
def grid(name: str) -> npt.NDArray[np.int8]:
    """The levels of the points of a grid in GRIDS: int8 (points, dimensions)."""
    points, table = packed_points(name), _document()[name]
    bits, dimensions = table["bits"], table["dimensions"]
    shifts = np.arange(dimensions, dtype=np.uint16) * np.uint16(bits)
    indices = points[:, None] >> shifts & np.uint16((1 << bits) - 1)
    levels = np.array(table["levels"], dtype=np.int8)
    values: npt.NDArray[np.int8] = levels[indices]
    values.setflags(write=False)
    return values


Index = npt.NDArray[np.int32]
Levels = npt.NDArray[np.int8]
_SHELLS = {"iq1_s": 3, "iq2_xxs": 2, "iq2_xs": 2, "iq2_s": 1, "iq3_xxs": 2, "iq3_s": 3}
"""How many distances of points are searched around what is no point (``nwant`` in the source)."""
_CHUNK = 512
WORTH_COMPILING = 1 << 12
"""Vectors at a time from which numba, where it is installed, finds their points."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """One lattice.

    Attributes:
        levels: how many levels a coordinate has.
        points: levels of each point, (width, points).
        of_state: index of the point of each state, -1 where there is none.
        neighbours: runs of points, one run a state without a point.
        start, count: of the run of each state.
    """

    levels: int
    points: Levels
    of_state: Index
    neighbours: Index
    start: Index
    count: Index

    @property
    def width(self) -> int:
        """Coordinates of a point."""
        return int(self.points.shape[0])


@cache
def iq_lattice(name: str) -> Lattice:
    """The lattice of a name in :data:`GRIDS`."""
    values, shells = grid(name), _SHELLS[name]
    known = np.unique(values)
    levels = known.size
    points = np.searchsorted(known, values).astype(np.int8).T.copy()
    states = states_of(points, levels)
    of_state = np.full(levels ** points.shape[0], -1, dtype=np.int32)
    of_state[states] = np.arange(states.size)
    start, count, runs = np.zeros_like(of_state), np.zeros_like(of_state), []
    missing, filled = np.flatnonzero(of_state < 0), 0
    for first in range(0, missing.size, _CHUNK):
        some = missing[first : first + _CHUNK]
        order, sizes = _nearest(some, points, levels, shells)
        start[some] = filled + np.cumsum(sizes) - sizes
        count[some] = sizes
        filled += int(sizes.sum())
        runs.append(order)
    return Lattice(levels, points, of_state, np.concatenate(runs), start, count)


def states_of(levels_of: npt.NDArray[np.integer], levels: int) -> Index:
    """The states of vectors (width, n) of levels below ``levels``."""
    total: Index = levels_of[-1].astype(np.int32)
    for row in levels_of[-2::-1]:
        total = total * np.int32(levels) + row
    return total


def _nearest(
    states: npt.NDArray[np.intp],
    points: Levels,
    levels: int,
    shells: int,
) -> tuple[Index, Index]:
    """The runs of ``states``, one after the other, and the size of each."""
    digits = np.stack([states // levels**k % levels for k in range(points.shape[0])], axis=1)
    near = digits.astype(np.int16) @ points.astype(np.int16)
    squares = (points.astype(np.int16) ** 2).sum(axis=0)
    distance = ((digits**2).sum(axis=1)[:, None] + squares - 2 * near).astype(np.int16)
    order = np.argsort(distance, axis=1, kind="stable").astype(np.int32)
    ranked = np.take_along_axis(distance, order, axis=1)
    shell = np.cumsum(np.diff(ranked, axis=1, prepend=ranked[:, :1]) > 0, axis=1)
    inside = shell < shells
    return order[inside], inside.sum(axis=1, dtype=np.int32)


def best_neighbour(
    lattice: Lattice,
    states: Index,
    x: FloatArray,
    weights: FloatArray,
    scale: FloatArray,
    tables: FloatArray,
    which: Index | None = None,
) -> Index:
    """Of the neighbours of each state the first with the least Σ w·(scale·value - x)².

    Args:
        states: (n,) states without a point.
        x, weights: (width, n).
        scale: (n,).
        tables: (tables, levels), what levels stand for.
        which: table of each vector (n,); the first where it is left out.
    """
    values: FloatArray = tables[:, lattice.points]
    chosen = np.zeros(states.size, dtype=np.int32) if which is None else which
    neighbours_found = np.full(states.size, -1, dtype=np.int32)
    if states.size >= WORTH_COMPILING and _numba():
        nearest_points(
            lattice.neighbours,
            lattice.start[states],
            lattice.count[states],
            np.ascontiguousarray(x.T),
            np.ascontiguousarray(weights.T),
            scale,
            np.ascontiguousarray(values.transpose(0, 2, 1)),
            chosen,
            neighbours_found,
        )
        return neighbours_found
    order = np.argsort(-lattice.count[states], kind="stable")
    counts, start = lattice.count[states][order], lattice.start[states][order]
    x, weights, scale, chosen = x[:, order], weights[:, order], scale[order], chosen[order]
    best = np.full(order.size, np.finfo(np.float32).max, dtype=np.float32)
    ranked = np.full(order.size, -1, dtype=np.int32)
    steps = int(counts[0]) if counts.size else 0
    for step, n in enumerate(np.searchsorted(-counts, -np.arange(1, steps + 1), side="right")):
        point = lattice.neighbours[start[:n] + np.int32(step)]
        distance = np.zeros(n, dtype=np.float32)
        for i in range(lattice.width):
            change = scale[:n] * values[chosen[:n], i, point] - x[i, :n]
            distance += weights[i, :n] * change * change
        better = distance < best[:n]
        np.copyto(best[:n], distance, where=better)
        np.copyto(ranked[:n], point, where=better)
    neighbours_found[order] = ranked
    return neighbours_found


@cache
def _numba() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


@kernel
def nearest_points(
    neighbours: Index,
    start: Index,
    count: Index,
    x: FloatArray,
    weights: FloatArray,
    scale: FloatArray,
    values: FloatArray,
    which: Index,
    nearest: Index,
) -> None:
    """For each vector of ``x`` (n, width) the first of its neighbours with the least
    Σ w·(scale·value - x)²; ``values`` (tables, points, width), ``which`` table of each vector."""
    for v in range(x.shape[0]):
        best = np.finfo(np.float32).max
        for n in range(start[v], start[v] + count[v]):
            point = neighbours[n]
            distance = np.float32(0)
            for i in range(x.shape[1]):
                change = scale[v] * values[which[v], point, i] - x[v, i]
                distance += weights[v, i] * change * change
            if distance < best:
                best = distance
                nearest[v] = point


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
