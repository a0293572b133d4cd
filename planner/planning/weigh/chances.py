"""How likely one plan is better than another, from common draws of their errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.planning.question.question import RATES
from planner.planning.weigh.draws import COUNT, standard
from planner.planning.weigh.error_classes import Errors
from planner.planning.weigh.weighed import UncertainObjective

Array = NDArray[np.float64]
EQUAL = 1e-9
"""Objectives that differ by less, relative, are equal: sums of floats are not exact."""
LOW, HIGH = 0.1, 0.9
"""The ends of an 80 % interval."""


def objectives(plans: Sequence[UncertainObjective], salt: str = "") -> Array:
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
        np.stack([factor(errors, salt) for errors in columns]) if columns else np.ones((0, COUNT))
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
    return factor(tuple((one.error, one.weight) for one in plan.wholes), salt)


def factor(errors: Errors, salt: str = "") -> Array:
    """The factor that independent errors make together [COUNT]."""
    total = np.zeros(COUNT)
    for error, sigma in errors:
        total += sigma * standard(error.key, salt)
    return np.asarray(np.exp(total))


def better(objective: str, drawn: Array, by: float = 0.0) -> Array:
    """The share of draws in which plan i is better than plan j by more than ``by`` (relative, of
    the objective as people read it) [A, A], from ``drawn`` [A, COUNT]."""
    found = np.empty((len(drawn), len(drawn)))
    for j, rival in enumerate(drawn):
        found[:, j] = beats(objective, drawn, rival, by).mean(axis=-1)
    np.fill_diagonal(found, 0.0)
    return found


def beats(objective: str, ours: Array, theirs: Array, by: float) -> NDArray[np.bool_]:
    """Where ``ours`` [draws] is better than ``theirs`` by more than ``by``; both are to be
    minimised."""
    if objective in RATES:  # as more tokens a second
        return np.asarray(ours * (1 + by) < theirs * (1 - EQUAL))
    return np.asarray(ours < theirs * (1 - by) * (1 - EQUAL))


def gains(objective: str, ours: Array, theirs: Array) -> Array:
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
