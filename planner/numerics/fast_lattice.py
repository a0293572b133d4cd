"""The nearest lattice point of :mod:`planner.numerics.ggml_iq_grids` compiled by numba, with the
same bits. Import lazily: it needs the ``[fast]`` extra.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.numerics.engines import kernel
from planner.numerics.tiles import FloatArray

Index = npt.NDArray[np.int32]


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
    found: Index,
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
                found[v] = point
