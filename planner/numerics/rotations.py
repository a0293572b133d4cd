"""Hadamard rotations of runs of columns, which spread outliers before a matrix is quantised.

A rotation of weights and activations alike leaves their product unchanged (QuaRot, arXiv
2404.00456); blocks of 16 as Transformer Engine's NVFP4 recipe has them (arXiv 2509.25149).
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError
from planner.base.typed import typed
from planner.numerics.tiles import FloatArray, as_array


@typed
def hadamard(
    x: npt.ArrayLike, size: int, *, signs: npt.ArrayLike | None = None, inverse: bool = False
) -> FloatArray:
    """Runs of ``size`` columns of ``x`` times H·D/√size, H being Sylvester's Hadamard matrix.

    ``signs``: ``size`` numbers of ±1, the diagonal D of a random rotation (all 1 unless given).
    ``inverse`` undoes it. Sums are float64 in the order of the fast transform, rounded once to
    float32. Raises InputError for a size that is no power of two or does not divide the columns.
    """
    source = as_array(x)
    check_size(size, source.shape)
    flips = _signs(signs, size)
    work = source.astype(np.float64).reshape(-1, size)
    if not inverse:
        work = work * flips
    half = 1
    while half < size:
        pairs = work.reshape(-1, size // (2 * half), 2, half)
        work = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        half *= 2
    work = work.reshape(-1, size) * (1 / sqrt(size))
    if inverse:
        work = work * flips
    return work.astype(np.float32).reshape(source.shape)


def check_size(size: int, shape: tuple[int, ...]) -> None:
    """Raise InputError unless rows of ``shape`` are runs of ``size``, a power of two."""
    if size < 1 or size & size - 1:
        raise InputError(
            f"a Hadamard matrix of size {size} is not made here",
            hint="a power of two: 16, 32, 64, 128 …",
        )
    if not shape or shape[-1] % size:
        columns = shape[-1] if shape else 0
        raise InputError(
            f"{columns} columns are not whole runs of {size}",
            hint="a size that divides the columns",
        )


def _signs(signs: npt.ArrayLike | None, size: int) -> npt.NDArray[Any]:
    if signs is None:
        return np.ones(size)
    given_signs = np.asarray(signs, dtype=np.float64)
    if given_signs.shape != (size,) or not (np.abs(given_signs) == 1).all():
        raise InputError(
            "signs are not one ±1 for every column of a run", hint=f"{size} numbers, each 1 or -1"
        )
    return given_signs
