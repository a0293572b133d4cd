"""How prompts arrive between the steps of ranks that decode together."""

from __future__ import annotations

import numpy as np


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
