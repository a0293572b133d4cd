"""How likely one plan is better than another, from common draws of their errors.

The draws are the same numbers in every run and on every machine: an error class
(:mod:`planner.planning.choose.error_classes`) takes the COUNT mid-quantiles of the normal
distribution, in an order that the SHA-256 of its key decides through splitmix64. Two plans that
share a class share its draws, so that what they share cancels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from planner.planning.choose.error_classes import Errors
from planner.planning.choose.uncertainty import UncertainObjective
from planner.planning.question.question import RATES

Array = NDArray[np.float64]
EQUAL = 1e-9
"""Objectives that differ by less, relative, are equal: sums of floats are not exact."""
COUNT = 1000
"""Draws of every class."""
KEPT = 512
"""Classes whose draws are kept."""
_STEP = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LOW, HIGH = 0.1, 0.9
"""The ends of an 80 % interval."""


def objective_draws(plans: Sequence[UncertainObjective], salt: str = "") -> Array:
    """The objectives of A plans under COUNT common draws of all errors [A, COUNT]. Another ``salt``
    draws anew."""
    columns: dict[Errors, int] = {}
    for plan in plans:
        for part in plan.parts:
            columns.setdefault(part.errors, len(columns))
    weights = np.zeros((len(plans), len(columns)))
    for i, plan in enumerate(plans):
        for part in plan.parts:
            weights[i, columns[part.errors]] += part.seconds
    factors = (
        np.stack([error_factor(errors, salt) for errors in columns])
        if columns
        else np.ones((0, COUNT))
    )
    sums = weights.sum(axis=1, keepdims=True)
    inner = np.where(sums > 0, weights / np.where(sums > 0, sums, 1.0), 0.0) @ factors
    inner[sums[:, 0] <= 0] = 1.0
    return np.asarray(
        inner
        * np.stack([common_factor(plan, salt) for plan in plans])
        * np.array([plan.value for plan in plans])[:, None]
    )


def common_factor(plan: UncertainObjective, salt: str = "") -> Array:
    """The factor of a plan's errors of the whole [COUNT]."""
    return error_factor(tuple((common.error, common.weight) for common in plan.wholes), salt)


def error_factor(errors: Errors, salt: str = "") -> Array:
    """The factor that independent errors make together [COUNT]."""
    total = np.zeros(COUNT)
    for error, sigma in errors:
        total += sigma * normal_draws(error.key, salt)
    return np.asarray(np.exp(total))


def share_of_draws_better(objective: str, drawn: Array, by: float = 0.0) -> Array:
    """The share of draws in which plan i is better than plan j by more than ``by`` (relative, of
    the objective as people read it) [A, A], from ``drawn`` [A, COUNT]."""
    shares = np.empty((len(drawn), len(drawn)))
    for j, rival in enumerate(drawn):
        shares[:, j] = beats(objective, drawn, rival, by).mean(axis=-1)
    np.fill_diagonal(shares, 0.0)
    return shares


def beats(objective: str, ours: Array, theirs: Array, by: float) -> NDArray[np.bool_]:
    """Where ``ours`` [draws] is better than ``theirs`` by more than ``by``; both are to be
    minimised."""
    if objective in RATES:  # as more tokens a second
        return np.asarray(ours * (1 + by) < theirs * (1 - EQUAL))
    return np.asarray(ours < theirs * (1 - by) * (1 - EQUAL))


def gain_draws(objective: str, ours: Array, theirs: Array) -> Array:
    """Relative gain [draws] of ``ours`` over ``theirs`` draw by draw, as people read the
    objective."""
    if objective in RATES:
        return np.asarray(theirs / ours - 1)
    known = np.where(theirs > 0, theirs, 1.0)
    return np.asarray(np.where(theirs > 0, 1 - ours / known, 0.0))


def interval(values: Array) -> tuple[float, float]:
    """The 80 % interval of draws [draws]: their 10th and 90th percentile, interpolated."""
    ordered = np.sort(values)
    places = [share * (len(ordered) - 1) for share in (LOW, HIGH)]
    low, high = (
        float(
            ordered[int(p)]
            + (ordered[min(int(p) + 1, len(ordered) - 1)] - ordered[int(p)]) * (p - int(p))
        )
        for p in places
    )
    return low, high


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
    values = np.array([-v for v in reversed(half)] + half)
    values.flags.writeable = False
    return values


@lru_cache(maxsize=KEPT)
def normal_draws(key: str, salt: str = "") -> Array:
    """Standard normal draws of the class ``key`` [COUNT], each quantile once. Another ``salt``
    orders all classes anew."""
    seed = int.from_bytes(hashlib.sha256(f"{salt}\n{key}".encode()).digest()[:8], "big")
    draws = quantiles()[np.argsort(_splitmix(seed, COUNT), kind="stable")]
    draws.flags.writeable = False
    return draws


def _splitmix(seed: int, count: int) -> NDArray[np.uint64]:
    """The first ``count`` numbers of splitmix64 from ``seed``."""
    state = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP)
    for shift, factor in _MIX:
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return state ^ (state >> np.uint64(31))
