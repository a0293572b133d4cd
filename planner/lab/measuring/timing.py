"""From repeats to one time: the minimum, and how far the others lie above it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEAST, MOST = 3, 200
"""Repeats of one case."""
WARM_UPS = 1


@dataclass(frozen=True)
class Timing:
    """``best`` seconds of a call, of ``repeats``; ``spread``: the median is this share above it."""

    best: float
    spread: float
    repeats: int


def reduced(samples: Sequence[float], calls: int = 1) -> Timing:
    """One time from samples [s] of ``calls`` calls each. What disturbs a run makes it longer, so
    that the minimum is nearest to the machine's own.

    Raises:
        ValueError: no sample, or one that is not positive: the clock is too coarse for the case.
    """
    if not samples or min(samples) <= 0:
        raise ValueError(f"no time was measured: {list(samples)[:3]}")
    ordered = sorted(samples)
    best, middle = ordered[0], ordered[len(ordered) // 2]
    return Timing(best / calls, middle / best - 1.0, len(ordered))


def timed(
    call: Callable[[], object],
    seconds: float,
    *,
    calls: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """``call`` repeated for about ``seconds``, at least LEAST times, after a warm-up.

    ``calls``: how many operations one call makes; the time is of one.
    """
    for _ in range(WARM_UPS):
        call()
    samples: list[float] = []
    end = clock() + seconds
    while len(samples) < LEAST or (clock() < end and len(samples) < MOST):
        start = clock()
        call()
        samples.append(clock() - start)
    return reduced(samples, calls)
