"""Tiles of a GEMM in waves over multiprocessors (see :mod:`planner.throughput.forms.gemm`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record

Array = NDArray[np.float64]

_TILES = np.array(
    [[128, 128, 128, 128, 128, 64, 64, 64, 64], [256, 192, 128, 64, 32, 256, 128, 64, 32]],
    dtype=np.float64,
)
"""Rows and outputs of each tile."""
TILE_ROWS = 128.0
LARGE_TILE = 1 / 128 + 1 / 256
"""Operands that the largest tile loads for a product, the unit of the penalty."""
ROW_STEP = 16.0
"""Rows of one matrix instruction."""
LEAST_WAVE = 0.25
"""A multiprocessor that shares a tile's memory system with idle ones is at most 4 times as fast."""
MAX_SPLIT = 8
PARTIAL_BYTES = 8.0
"""FP32 partial sums of a split, written and read."""
LONG_SECONDS = 1e-4


@record
class GemmForm:
    """The form with everything that shapes do not change, as arrays that broadcast.

    One GEMM has 0-d arrays; :func:`together` puts those of S schemes on a last axis. A term that a
    kernel lacks is neutral: ``split`` inf, the others 0. Rates are per second: ``wave_rate`` FLOP
    of one multiprocessor, ``load_rate`` bytes that it loads, ``memory_rate`` bytes that a kernel
    reaches, ``l2_rate`` bytes of L2, ``cached`` times as many as of memory; ``*_seconds`` are
    seconds, of one element in ``narrow_seconds`` and ``widen_seconds``. A tile has at least the
    rows and outputs of ``shortest`` and ``narrowest`` and takes at least the time of
    ``least_rows``.
    """

    launch: Array
    wave_rate: Array
    memory_rate: Array
    fill: Array
    wave_weight: Array
    penalty: Array
    split: Array
    slowdown: Array
    narrow_launch: Array
    narrow_seconds: Array
    widen_seconds: Array
    row_elements: Array
    least_rows: Array
    shortest: Array
    narrowest: Array
    load_rate: Array
    weight_bytes: Array
    activation_bytes: Array
    multiprocessors: Array
    l2_bytes: Array
    cached: Array
    l2_rate: Array


def stacked_forms(forms: Sequence[GemmForm]) -> GemmForm:
    """Forms of S schemes as one, arrays [S]."""
    return GemmForm(
        **{f.name: np.array([getattr(form, f.name) for form in forms]) for f in fields(GemmForm)}
    )


def compute_seconds(form: GemmForm, m: Array, n: Array, k: Array) -> Array:
    """The fastest tile and split [s]; tiles lie on a first axis of their own."""
    shape = np.broadcast_shapes(np.shape(m), np.shape(n), np.shape(k), form.launch.shape)
    height, width = (column.reshape(-1, *(1,) * len(shape)) for column in _tiles_of(form))
    tiles = np.ceil(m / height) * np.ceil(n / width)
    step = _step(form, m, height, width)
    best = (_waves(form, tiles / form.multiprocessors) * step * (k + form.fill)).min(axis=0)
    if np.isfinite(form.split).any():
        best = np.minimum(best, _split_where_possible(form, tiles, step, m * n, k))
    return np.asarray(best * (1.0 + form.slowdown * np.log2(1.0 + best / LONG_SECONDS)))


def _tiles_of(form: GemmForm) -> Array:
    """The tiles that any of the kernels has [2, t]."""
    return _TILES[:, (_TILES[0] >= form.shortest.min()) & (_TILES[1] >= form.narrowest.min())]


def _step(form: GemmForm, m: Array, height: Array, width: Array) -> Array:
    """Seconds that a tile takes for one of k; inf where the kernel has no such tile."""
    rows = np.clip(np.ceil(m / ROW_STEP) * ROW_STEP, np.minimum(form.least_rows, height), height)
    smaller = (1.0 / height + 1.0 / width) / LARGE_TILE - 1.0
    product = 2.0 * rows * width / form.wave_rate * (1.0 + form.penalty * smaller)
    load = (rows * form.activation_bytes + width * form.weight_bytes) / form.load_rate
    step = np.cbrt(product**3 + load**3)
    return np.asarray(np.where((height >= form.shortest) & (width >= form.narrowest), step, np.inf))


def _split_where_possible(
    form: GemmForm, tiles: Array, wave: Array, outputs: Array, k: Array
) -> Array:
    """:func:`_split` of the rows [C] that leave half of the multiprocessors idle, inf elsewhere."""
    count = wave.shape[1] if wave.ndim == 3 else 0
    by_row = all(a.ndim in (0, 2) and a.shape[1:] in ((), (1,)) for a in (outputs, k))
    if not by_row or not count or tiles.shape[1] != count:
        return _split(form, tiles, wave, outputs, k)
    best = np.full(wave.shape[1:], np.inf)
    where = np.flatnonzero(2.0 * tiles.min(axis=(0, 2)) <= form.multiprocessors.max())
    outputs, k = (np.broadcast_to(a, (count, 1))[where] for a in (outputs, k))
    best[where] = _split(form, tiles[:, where], wave[:, where], outputs, k)
    return best


def _split(form: GemmForm, tiles: Array, wave: Array, outputs: Array, k: Array) -> Array:
    """The cheapest tile and number of parts that the sum over k is split into [s]: all parts run in
    one wave. Inf where not even two do."""
    best = np.full(wave.shape[1:], np.inf)
    partial = PARTIAL_BYTES * outputs / form.l2_rate
    for ways in range(2, MAX_SPLIT + 1):
        filled = tiles * (ways / form.multiprocessors)
        possible = filled <= 1.0
        if not possible.any():
            break
        wait = form.wave_weight + (1.0 - form.wave_weight) * np.maximum(filled, LEAST_WAVE)
        apart = np.where(possible, wait * wave, np.inf).min(axis=0)
        best = np.minimum(best, apart * (k / ways + form.fill) + ways * partial)
    return np.asarray(best + form.split)


def _waves(form: GemmForm, filled: Array) -> Array:
    """Waves of tiles: whole ones weighted by w, the average load by 1 − w."""
    w = form.wave_weight
    return np.asarray(w * np.ceil(filled) + (1.0 - w) * np.maximum(filled, LEAST_WAVE))
