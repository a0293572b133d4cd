"""How prompts arrive between the steps of ranks that decode together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def prompts_a_step(rate: float, ranks: int) -> float:
    """Prompts that the busiest of ``ranks`` reads in a step into which ``rate`` arrive on average.

    Ranks step together, so the busiest sets the time: E[max] of independent Poisson counts. One
    rank: ``rate`` itself.
    """
    if ranks <= 1 or rate <= 0:
        return max(rate, 0.0)
    mean = rate / ranks
    below = float(np.exp(-mean))
    total, term, k = 0.0, below, 0
    while True:
        tail = 1.0 - below**ranks
        total += tail
        if tail < 1e-12 or k > 10_000:
            return total
        k += 1
        term *= mean / k
        below = min(below + term, 1.0)


def prompts_each_step(rate: Array, ranks: Array) -> Array:
    """:func:`prompts_a_step` of arrays [C], all terms together."""
    total = np.maximum(rate, 0.0)
    where = np.asarray(np.flatnonzero((ranks > 1) & (rate > 0)), dtype=np.int64)
    mean, power = rate[where] / ranks[where], ranks[where]
    total[where] = 0.0
    below = np.exp(-mean)
    term, k = below.copy(), 0
    while len(where):
        tail = 1.0 - below**power
        total[where] += tail
        k += 1
        left = (tail >= 1e-12) & (k <= 10_000)
        where, mean, power = where[left], mean[left], power[left]
        term = term[left] * (mean / k)
        below = np.minimum(below[left] + term, 1.0)
    return total
