"""Relative error power of a layer's output on real inputs, scheme by scheme.

    e = ‖X̂·(Ŵ−W)ᵀ + (X̂−X)·Wᵀ‖² / ‖X·Wᵀ‖²

Differences are formed before the products, so that nothing cancels; products are float32 over
tiles of whole rows.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from planner.errors import UnsupportedError
from planner.formats.schemes import SCHEMES
from planner.formats.spec import TensorFormat
from planner.lab.profiling.emulate import Format
from planner.lab.profiling.jobs import MatrixJob, six
from planner.numerics import round_trip
from planner.numerics.tiles import FloatArray


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
        """Memory for Ŵ − W of the tile."""
        if self._buffer is None or self._buffer.shape != shape:
            self._buffer = np.empty(shape, np.float32)
        return self._buffer

    def add(self, f: Format, change: FloatArray) -> None:
        """The schemes of weight format ``f``, given Ŵ − W of the tile."""
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
