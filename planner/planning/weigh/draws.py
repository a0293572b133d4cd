"""Common draws of what kernels are off by: the same numbers in every run and on every machine.

An error class (:mod:`planner.planning.weigh.error_classes`) takes the COUNT mid-quantiles of the
normal distribution, in an order that the SHA-256 of its key decides through splitmix64. Two plans
that share a class share its draws, so that what they share cancels.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
COUNT = 1000
"""Draws of every class."""
KEPT = 512
"""Classes whose draws are kept."""
_STEP = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


@cache
def quantiles() -> Array:
    """The normal distribution's quantiles at (i + ½) / COUNT, ascending [COUNT], by Newton's method
    on the error function to its last digits."""
    half = []
    value = 0.0
    for i in range(COUNT // 2):
        wanted = 0.5 + (i + 0.5) / COUNT
        for _ in range(50):
            density = math.exp(-0.5 * value * value) / math.sqrt(2 * math.pi)
            step = (0.5 * math.erfc(-value / math.sqrt(2)) - wanted) / density
            value -= step
            if abs(step) < 1e-14:
                break
        half.append(value)
    found = np.array([-v for v in reversed(half)] + half)
    found.flags.writeable = False
    return found


@lru_cache(maxsize=KEPT)
def standard(key: str, salt: str = "") -> Array:
    """Standard normal draws of the class ``key`` [COUNT], each quantile once. Another ``salt``
    orders all classes anew."""
    seed = int.from_bytes(hashlib.sha256(f"{salt}\n{key}".encode()).digest()[:8], "big")
    found = quantiles()[np.argsort(_splitmix(seed, COUNT), kind="stable")]
    found.flags.writeable = False
    return found


def _splitmix(seed: int, count: int) -> NDArray[np.uint64]:
    """The first ``count`` numbers of splitmix64 from ``seed``."""
    state = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP)
    for shift, factor in _MIX:
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return state ^ (state >> np.uint64(31))
