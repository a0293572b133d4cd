"""The lattices behind IQ1, IQ2 and IQ3, and the points around each vector that is no point.

A vector of levels is a state: its coordinates as the digits of a number, the first the lowest. What
is no point is rounded to one of its neighbours: all points at the smallest distances from it, by
distance and then by index. Source: iq2xs_init_impl and iq3xs_init_impl in ggml/src/ggml-quants.c;
the points are those of :mod:`planner.numerics.ggml_grids`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from planner.numerics import ggml_grids
from planner.numerics.tiles import FloatArray

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
def grid(name: str) -> Lattice:
    """The lattice of a name in :data:`planner.numerics.ggml_grids.GRIDS`."""
    values, shells = ggml_grids.grid(name), _SHELLS[name]
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
    found = np.full(states.size, -1, dtype=np.int32)
    if states.size >= WORTH_COMPILING and _numba():
        from planner.numerics.fast_lattice import nearest_points

        nearest_points(
            lattice.neighbours,
            lattice.start[states],
            lattice.count[states],
            np.ascontiguousarray(x.T),
            np.ascontiguousarray(weights.T),
            scale,
            np.ascontiguousarray(values.transpose(0, 2, 1)),
            chosen,
            found,
        )
        return found
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
    found[order] = ranked
    return found


@cache
def _numba() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None
