"""PyTorch on a machine's CPU: what a call from Python takes, a weight of an emulated FP8 product.

Rows are those of op_call, and of op_gemm with the kernel ``_scaled_mm``, of the most threads that
the table has. Both are one figure: the geometric mean over layers, or over products of the fewest
tokens, where widening the weights is all that takes time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import FitError, FittedSet
from planner.lab.calibration.fit import assess
from planner.lab.validation.cells import threads
from planner.lab.validation.op_rows import NO_PROFILES, Batch, Profiles, Rows, batches
from planner.throughput.torch_cpu import (
    CALL_SECONDS,
    CALLS,
    SCALED_MM,
    STACK,
    WEIGHT_SECONDS,
)

Array = NDArray[np.float64]
KERNEL, FP8 = "_scaled_mm", "fp8"
CALL_SIGMA, WEIGHT_SIGMA, ALONE_SIGMA = 0.2, 0.3, 0.5
"""Least log-space deviations: calls of another model's code are not those of the layer that was
timed; pages of a weight's copies are mapped faster or slower in another process; of one shape
alone, which says nothing of others."""


def fit_tables(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[tuple[str, FittedSet]]:
    """(device, set) of calls from Python, from rows of op_call."""
    sets = []
    for batch in _latest(rows, ("op", "threads"), ("calls", "latency_us"), profiles):
        each = batch.seconds / batch.columns["calls"]
        sets.append(
            (
                batch.device,
                _set(
                    batch,
                    (CALLS, "eager"),
                    {CALL_SECONDS: _mean(each)},
                    _error(each, CALL_SIGMA, CALL_SIGMA),
                ),
            )
        )
    return sets


def emulated_products(
    rows: Rows, *, profiles: Profiles = NO_PROFILES
) -> list[tuple[str, FittedSet]]:
    """(device, set) of emulated FP8 products, from rows of op_gemm."""
    mine = [row for row in rows if row.get("kernel") == KERNEL and row.get("w_a_dtype") == FP8]
    sets = []
    for batch in _latest(mine, ("w_a_dtype", "threads"), ("m", "n", "k", "latency_us"), profiles):
        assert batch.profile is not None
        if batch.profile.rate("fp8") is not None:
            continue
        m = batch.columns["m"]
        few = m == m.min()
        each = (batch.seconds / (batch.columns["n"] * batch.columns["k"]))[few]
        sets.append(
            (
                batch.device,
                _set(
                    batch,
                    (SCALED_MM, FP8),
                    {WEIGHT_SECONDS: _mean(each)},
                    _error(each, WEIGHT_SIGMA, ALONE_SIGMA),
                ),
            )
        )
    return sets


def _latest(
    rows: Rows, words: Sequence[str], numbers: Sequence[str], profiles: Profiles
) -> list[Batch]:
    """Rows of torch on CPUs with the most threads, of the version that comes last; rows whose
    number of threads cannot be read are malformed."""
    torch = [
        row
        for row in rows
        if row.get("software", "").lower().startswith(f"{STACK} ")
        and threads(row.get("threads", "")) is not None
    ]
    latest: dict[str, Batch] = {}
    for batch in batches(torch, words, numbers, profiles=profiles)[0]:
        if batch.profile is None or batch.profile.kind != "cpu":
            continue
        before = latest.get(batch.device)
        if before is None or _threads(batch) >= _threads(before):
            latest[batch.device] = batch
    return list(latest.values())


def _threads(batch: Batch) -> int:
    return threads(batch.words[1]) or 0


def _mean(values: Array) -> float:
    return float(np.exp(np.mean(np.log(values))))


def _error(each: Array, least: float, sigma: float) -> FitError:
    """Of each row under the mean of the others."""
    n = len(each)
    if n == 1:
        return FitError(1, 0, 0.0, 0.0, 0.0, sigma, 0.0)
    others = np.exp((np.log(each).sum() - np.log(each)) / (n - 1))
    error = assess(others, each, rows=n)
    return FitError(
        n, n, error.mean, error.median, error.bias, max(error.sigma, least), error.coverage
    )


def _set(
    batch: Batch, key: tuple[str, str], parameters: Mapping[str, float], error: FitError
) -> FittedSet:
    operator, variant = key
    return FittedSet(
        operator=operator,
        stack=STACK,
        software=batch.software.partition(" ")[2],
        variant=variant,
        parameters=dict(parameters),
        table={},
        error=error,
        kind="fitted",
        source="",
        date="",
        note=f"{max(_threads(batch), 1)} threads; errors of each row from the others",
    )
