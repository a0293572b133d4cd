"""The prior (T0) against published measurements: does it order formats as benchmarks do?

For each model and metric with two or more formats measured against the same baseline, Spearman's ρ
between the prior's uniform loss and what the benchmark lost, the baseline itself included at zero.
Ranks only: the prior claims no points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.quality.neighbours import Measured, measured_rows
from planner.quality.prior import Prior

DENSE = ("attention-qkv", "attention-out", "mlp-gate-up", "mlp-down")
BASELINE = "bf16"


@dataclass(frozen=True, slots=True)
class Agreement:
    """One model and metric: formats in the prior's order, and ρ over them and the baseline."""

    model: str
    metric: str
    schemes: tuple[str, ...]
    lost: tuple[float, ...]
    predicted: tuple[float, ...]
    rho: float
    pairs_right: int
    pairs: int


def agreements(prior: Prior, rows: Sequence[Measured] | None = None) -> tuple[Agreement, ...]:
    """Agreement for every model and metric; rows of one format are averaged. Calibrated weights
    are left out, as the prior is about rounding to nearest; so are quantised caches."""
    groups: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in measured_rows() if rows is None else rows:
        if (
            row.kv_layout != BASELINE
            or row.note
            or row.baseline_scheme != BASELINE
            or row.scheme == BASELINE
        ):
            continue
        key = (row.model.split("/")[-1].removeprefix("Meta-"), row.metric, row.unit)
        groups.setdefault(key, {}).setdefault(row.scheme, []).append(row.worsening)
    return tuple(
        _agreement(key, ratios, prior) for key, ratios in sorted(groups.items()) if len(ratios) >= 2
    )


def uniform(prior: Prior, scheme: str) -> float:
    """Relative error power of a scheme on one dense layer, a mean over its kinds: what losses of a
    uniform scheme go with, whatever the sensitivities."""
    return float(np.mean([prior.error[BASELINE][kind][scheme] for kind in DENSE]))


def _agreement(
    key: tuple[str, str, str], ratios: Mapping[str, Sequence[float]], prior: Prior
) -> Agreement:
    mean = {s: float(np.mean(v)) for s, v in ratios.items()}
    predicted = {s: uniform(prior, s) for s in mean}
    order = sorted(mean, key=lambda s: predicted[s])
    lost = np.array([0.0, *(mean[s] for s in order)])
    guess = np.array([0.0, *(predicted[s] for s in order)])
    n = len(lost)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    right = sum(bool((lost[j] - lost[i]) * (guess[j] - guess[i]) > 0) for i, j in pairs)
    return Agreement(
        key[0],
        key[1],
        tuple(order),
        tuple(lost[1:].tolist()),
        tuple(guess[1:].tolist()),
        _spearman(guess, lost),
        right,
        len(pairs),
    )


def _spearman(
    a: np.ndarray[tuple[int], np.dtype[np.float64]], b: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> float:
    x, y = (_ranks(v) for v in (a, b))
    x, y = x - x.mean(), y - y.mean()
    bottom = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / bottom if bottom else 0.0


def _ranks(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middle[place.ravel()], dtype=np.float64)
