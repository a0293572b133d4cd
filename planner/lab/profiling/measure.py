"""One matrix: statistics of its weights, and the relative error power of every format on it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.base.errors import UnsupportedError
from planner.formats.schemes import SCHEMES
from planner.formats.spec import TensorFormat
from planner.lab.profiling import emulate
from planner.lab.profiling.emulate import Format
from planner.lab.profiling.jobs import STATISTICS_ONLY, MatrixJob, six
from planner.lab.profiling.source import MatrixSource, ReadError, tiles_of
from planner.lab.profiling.sums import Doubles, ErrorSums, Statistics
from planner.numerics import round_trip
from planner.numerics.engines import Engine
from planner.numerics.tiles import FloatArray, Tile

KEPT_ELEMENTS = 1 << 24
"""A matrix of at most so many elements is decoded once and kept for the second pass (64 MiB)."""
OUTLIER_FACTOR = 6.0


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """What a scan measures; the same for all tensors of a profile."""

    schemes: tuple[str, ...]
    engine: Engine


def measure(
    job: MatrixJob,
    settings: ScanSettings,
    inputs: FloatArray | None = None,
    importance: FloatArray | None = None,
) -> dict[str, Any]:
    """The record of one matrix: plain data with six significant digits.

    A tensor that cannot be measured gives a record with ``skipped``, the reason. ``inputs``
    (tokens, columns) float32 are real inputs of the layer; with them, errors of the output are
    measured too. ``importance`` (columns,) are mean squares of the inputs from an importance
    matrix: errors of weights then count as they act on such inputs, Σ mⱼ·(ŵᵢⱼ - wᵢⱼ)² / Σ
    mⱼ·wᵢⱼ², and ggml's types are written with it.
    """
    record: dict[str, Any] = {"id": job.id}
    if job.refused:
        return record | {"skipped": job.refused}
    try:
        with MatrixSource(job, settings.engine) as source:
            return record | _measured(job, source, settings, inputs, importance)
    except ReadError as error:
        return record | {"skipped": error.message}
    except OSError as error:
        return record | {"skipped": f"{job.weight.file}: {error.strerror}"}


def _measured(
    job: MatrixJob,
    source: MatrixSource,
    settings: ScanSettings,
    inputs: FloatArray | None,
    importance: FloatArray | None,
) -> dict[str, Any]:
    stats = Statistics.empty(job.rows, job.columns)
    emulated = job.kind not in STATISTICS_ONLY
    runs = _Runs(job, settings, stats, inputs, importance) if emulated else None
    once = runs is not None and not runs.spans_tiles
    keep = runs is not None and not once and job.elements <= KEPT_ELEMENTS
    values: dict[Tile, FloatArray] = {}
    for tile in tiles_of(job):
        part = source.tile(tile)
        stats.add(part, tile, settings.engine)
        if not np.isfinite(stats.row_amax[tile.top : tile.bottom]).all():
            return {"skipped": "holds NaN or infinities"}
        if runs is not None and once:
            runs.tile(tile, part)
        if keep:
            values[tile] = part
    if not stats.row_amax.any():
        return {"skipped": "all zero"}
    power = float(np.sum(stats.power))
    record = {"elements": job.elements, **_shape_of_values(stats, power, job)}
    if runs is None:
        return record
    for tile in tiles_of(job) if not once else ():
        runs.tile(tile, values[tile] if keep else source.tile(tile))
    return record | runs.results(stats.power)


class _Runs:
    """All formats over one matrix, tile by tile."""

    def __init__(
        self,
        job: MatrixJob,
        settings: ScanSettings,
        stats: Statistics,
        inputs: FloatArray | None,
        importance: FloatArray | None,
    ) -> None:
        self._importance = importance
        self._job, self._engine, self._amax = job, settings.engine, stats.row_amax
        all_formats = emulate.formats_of(settings.schemes)
        self._formats = [f for f in all_formats if emulate.fits(f.fmt, job.columns)]
        self._kept = {f.id for f in self._formats if emulate.stores_unchanged(job.released, f.fmt)}
        self._sums = {
            f.id: ErrorSums(f.counts_zeros, f.fmt.scale is None, np.zeros(job.columns))
            for f in self._formats
        }
        self.spans_tiles = any(f.spans_tiles for f in self._formats)
        self._unfit = sorted(s for f in all_formats if f not in self._formats for s in f.schemes)
        self._scratch = emulate.scratch(min(job.columns, 1 << 16))
        self._largest = np.float32(0)
        fitting = tuple(s for s in settings.schemes if s not in self._unfit)
        self._outputs = None if inputs is None else OutputErrors(inputs, fitting, job)

    def tile(self, tile: Tile, part: FloatArray) -> None:
        """All formats on one tile [rows, columns]; formats that span tiles need the statistics of
        all tiles."""
        self._largest = self._amax.max(initial=np.float32(0))
        if self._outputs is not None:
            self._outputs.exact(part)
        for f in self._formats:
            if f.id not in self._kept:
                self._format(f, tile, part)
        if self._outputs is not None:
            self._outputs.close_tile()

    def _format(self, f: Format, tile: Tile, part: FloatArray) -> None:
        sums = self._sums[f.id]
        change = None if self._outputs is None else self._outputs.change(part.shape)
        amax = self._amax[tile.top : tile.bottom]
        columns = None if self._importance is None else self._importance[tile.left : tile.right]
        for rows, after in emulate.pieces(
            part, amax, self._largest, f.fmt, self._engine, self._scratch, columns
        ):
            sums.add(part[rows], after, tile.left, self._engine)
            if change is not None:
                np.subtract(after, part[rows], out=change[rows])
        if change is not None and self._outputs is not None:
            self._outputs.add(f, change)

    def results(self, powers: Doubles) -> dict[str, Any]:
        """The errors; ``powers``: of the matrix's columns."""
        share = (
            np.ones_like(powers)
            if self._importance is None
            else self._importance.astype(np.float64)
        )
        power = float(np.sum(share * powers))
        if power == 0:  # inputs are zero where weights are not
            return {"skipped": "has no importance: its inputs were zero"}
        error, flushed, overflowed = {}, {}, {}
        for f in self._formats:
            sums = self._sums[f.id]
            for scheme in f.schemes:
                error[scheme] = six(float(np.sum(share * sums.power)) / power)
                if f.counts_zeros and sums.flushed:
                    flushed[scheme] = six(sums.flushed / self._job.elements)
                if sums.overflowed:
                    overflowed[scheme] = six(sums.overflowed / self._job.elements)
        out: dict[str, Any] = {"weight_error": error, "flushed": flushed, "overflow": overflowed}
        if self._importance is not None:
            out["input_power"] = six(power)
        if self._unfit:
            out["unfit"] = self._unfit
        if self._outputs is not None:
            out |= self._outputs.results(error)
        return out


def _shape_of_values(stats: Statistics, power: float, job: MatrixJob) -> dict[str, Any]:
    """Kurtosis E w⁴ / (E w²)², outlier input channels, amax."""
    mean = power / job.elements
    rms = np.sqrt(stats.power / job.rows)
    median = float(np.median(rms))
    outliers = int((rms > OUTLIER_FACTOR * median).sum()) if median else 0
    return {
        "amax": six(float(stats.row_amax.max())),
        "rms": six(mean**0.5),
        "kurtosis": six(float(np.sum(stats.fourth)) / job.elements / mean**2),
        "outlier_channels": outliers,
    }


class OutputErrors:
    """Running powers of output errors over the tiles of one matrix."""

    def __init__(self, inputs: FloatArray, schemes: tuple[str, ...], job: MatrixJob) -> None:
        if inputs.ndim != 2 or inputs.shape[1] != job.columns:
            raise UnsupportedError(
                f"{job.id}: inputs of shape {inputs.shape} for {job.columns} columns",
                hint="inputs of a matrix are (tokens, its columns)",
            )
        self._x = np.ascontiguousarray(inputs, dtype=np.float32)
        self._schemes = schemes
        self._after: dict[TensorFormat, FloatArray] = {}
        for name in schemes:
            fmt = SCHEMES[name].activation
            if fmt not in self._after:
                self._after[fmt] = (
                    self._x if fmt.scale is None else round_trip(self._x, name, role="activation")
                )
        self._power = 0.0
        self._from_inputs: dict[TensorFormat, FloatArray] = {}
        self._sums = dict.fromkeys(schemes, 0.0)
        self._done: set[str] = set()
        self._buffer: FloatArray | None = None

    def exact(self, part: FloatArray) -> None:
        """A new tile of weights (rows, all columns)."""
        y = self._x @ part.T
        self._power += _square(y)
        self._from_inputs = {
            fmt: np.asarray((after - self._x) @ part.T, np.float32)
            for fmt, after in self._after.items()
            if fmt.scale is not None
        }
        self._done = set()

    def change(self, shape: tuple[int, ...]) -> FloatArray:
        """Memory for Ŵ − W of the tile [rows, columns]."""
        if self._buffer is None or self._buffer.shape != shape:
            self._buffer = np.empty(shape, np.float32)
        return self._buffer

    def add(self, f: Format, change: FloatArray) -> None:
        """The schemes of weight format ``f``, given Ŵ − W of the tile
        [rows, columns]."""
        products: dict[TensorFormat, FloatArray] = {}
        for name in f.schemes:
            fmt = SCHEMES[name].activation
            if fmt not in products:
                products[fmt] = self._after[fmt] @ change.T
            both = products[fmt]
            if fmt in self._from_inputs:
                both = both + self._from_inputs[fmt]
            self._sums[name] += _square(both)
            self._done.add(name)

    def close_tile(self) -> None:
        """Schemes that keep the stored weights have the error of their inputs alone."""
        for name in self._schemes:
            if name not in self._done:
                fmt = SCHEMES[name].activation
                if fmt in self._from_inputs:
                    self._sums[name] += _square(self._from_inputs[fmt])

    def results(self, measured: Collection[str]) -> dict[str, Any]:
        """{"output_error": {scheme: e}, "output_power"} of the schemes in ``measured``; empty where
        the output is zero."""
        if self._power == 0:
            return {}
        return {
            "output_power": six(self._power / self._x.shape[0]),
            "output_error": {
                s: six(v / self._power) for s, v in self._sums.items() if s in measured
            },
        }


def _square(y: FloatArray) -> float:
    doubles = y.astype(np.float64)
    return float(np.sum(doubles * doubles))
