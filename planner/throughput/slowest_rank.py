"""The rank that a layer of experts waits for: expected maximum over ranks of touched experts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.placement.routing import touched

Array = NDArray[np.float64]
REACH, STEPS = 6.0, 97
"""Standard deviations and points of the integral over the fullest of several ranks."""


def most_touched(by_rank: Array, tokens: Array) -> Array:
    """Expected maximum over ranks of the experts that ``tokens`` (ascending) touch, [T]; R > 1.

    ``by_rank`` [R, E/R] probabilities that a token picks each expert. Counts of ranks are taken as
    independent normals, E[max] = high − ∫ ΠΦ((x − μ)/σ) dx; a token's picks are distinct, which
    takes v/V of a rank's variance v (see placement.routing.rank_loads).
    """
    hit = np.stack([touched(local, tokens) for local in by_rank])
    mean, variance = hit.sum(axis=2), (hit * (1.0 - hit)).sum(axis=2)
    total_variance = np.maximum(variance.sum(axis=0), 1e-300)
    deviation = np.sqrt(np.maximum(variance * (1.0 - variance / total_variance), 1e-18))
    low, high = (mean - REACH * deviation).max(axis=0), (mean + REACH * deviation).max(axis=0)
    x = low + (high - low) * np.linspace(0.0, 1.0, STEPS)[:, None]
    below = normal_cdf((x[:, None] - mean) / deviation).prod(axis=1)
    area = ((below[1:] + below[:-1]) / 2 * np.diff(x, axis=0)).sum(axis=0)
    expected_maximum = np.clip(high - area, mean.max(axis=0), by_rank.shape[1])
    return np.asarray(np.maximum.accumulate(np.minimum(expected_maximum, mean.sum(axis=0))))


def normal_cdf(z: Array) -> Array:
    """Φ(z) of any shape within 1e-7 (Abramowitz and Stegun 26.2.17)."""
    size = np.abs(z)
    t = 1.0 / (1.0 + 0.2316419 * size)
    series = t * (
        0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))
    )
    tail = np.exp(-0.5 * size * size) / np.sqrt(2.0 * np.pi) * series
    return np.asarray(np.where(z >= 0, 1.0 - tail, tail))
