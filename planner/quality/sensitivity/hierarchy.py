"""Ridge regression of log sensitivities with a part that all models share, a part of the family,
and a part of the model.

    y(point) = offset(model) + ln Σ_matrices exp(x·(β + β_family + β_model)) + noise

Every β has a normal prior with mean zero; its variance depends on the group of the feature and on
the part. Families and models are eliminated exactly, one after another, so that the shared part is
learned from families, each counted once for what its models agree on, however many matrices it has.
Points with several matrices are made linear around the last estimate. Outliers lose weight (Cauchy
weights at 2.5 standard deviations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
ROUNDS = 3
OUTLIER = 2.5
TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Observed:
    """Points of one model: rows of ``x`` by matrix, ``first`` the row where each point begins,
    ``y`` log signals, ``variance`` that of their measurement."""

    family: str
    x: Doubles
    first: npt.NDArray[np.intp]
    y: Doubles
    variance: Doubles


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients: shared, with the family's part, with the model's part as well."""

    shared: Doubles
    families: Mapping[str, Doubles]
    models: Mapping[str, Doubles]


@dataclass(slots=True)
class _State:
    """Normal equations of a model, its offset taken out."""

    gram: Doubles
    right: Doubles


def joined(x: Doubles, first: npt.NDArray[np.intp], beta: Doubles) -> Doubles:
    """ln Σ exp(x·β) over the matrices of each point."""
    value = x @ beta
    top = np.maximum.reduceat(value, first)
    counts = np.diff(np.append(first, len(value)))
    total = np.add.reduceat(np.exp(value - np.repeat(top, counts)), first)
    return np.asarray(top + np.log(total))


def fit(models: Mapping[str, Observed], variances: Sequence[Doubles], spread: float) -> Fit:
    """Fit ``models``; ``variances`` are those of the shared, the family's and the model's part by
    feature, ``spread`` the standard deviation of single matrices around their features."""
    size = len(variances[0])
    shared_var, family_var, model_var = (np.maximum(v, TINY) for v in variances)
    weights = {name: np.ones(len(m.y)) for name, m in models.items()}
    estimate: dict[str, Doubles] = {name: np.zeros(size) for name in models}
    result = Fit(np.zeros(size), {}, {})
    for _ in range(ROUNDS):
        states = {
            name: _normal(m, estimate[name], weights[name], spread) for name, m in models.items()
        }
        families: dict[str, _State] = {}
        for name, state in states.items():
            gram, right = _without(state, model_var)
            found = families.setdefault(
                models[name].family, _State(np.zeros((size, size)), np.zeros(size))
            )
            found.gram += gram
            found.right += right
        gram, right = np.diag(1 / shared_var), np.zeros(size)
        for state in families.values():
            g, r = _without(state, family_var)
            gram, right = gram + g, right + r
        shared = np.asarray(np.linalg.solve(gram, right), dtype=np.float64)
        of_family = {
            name: shared + _deviation(state, shared, family_var) for name, state in families.items()
        }
        for name, state in states.items():
            base = of_family[models[name].family]
            estimate[name] = base + _deviation(state, base, model_var)
            weights[name] = _weights(models[name], estimate[name], spread)
        result = Fit(shared, of_family, dict(estimate))
    return result


def _normal(model: Observed, beta: Doubles, robust: Doubles, spread: float) -> _State:
    """Normal equations of the points around ``beta``, centred by their weighted mean."""
    counts = np.diff(np.append(model.first, len(model.x)))
    value = joined(model.x, model.first, beta)
    share = np.exp(model.x @ beta - np.repeat(value, counts))
    rows = np.add.reduceat(share[:, None] * model.x, model.first, axis=0)
    y = model.y - (value - rows @ beta)
    weight = robust / (model.variance + spread**2)
    rows = rows - weight @ rows / weight.sum()
    y = y - weight @ y / weight.sum()
    return _State(rows.T @ (weight[:, None] * rows), rows.T @ (weight * y))


def _without(state: _State, variance: Doubles) -> tuple[Doubles, Doubles]:
    """Normal equations for the mean of coefficients that deviate from it with ``variance``."""
    solved = np.linalg.solve(
        state.gram + np.diag(1 / variance), np.column_stack([state.gram, state.right])
    )
    return (state.gram - state.gram @ solved[:, :-1], state.right - state.gram @ solved[:, -1])


def _deviation(state: _State, mean: Doubles, variance: Doubles) -> Doubles:
    return np.asarray(
        np.linalg.solve(state.gram + np.diag(1 / variance), state.right - state.gram @ mean)
    )


def _weights(model: Observed, beta: Doubles, spread: float) -> Doubles:
    left = model.y - joined(model.x, model.first, beta)
    sd = np.sqrt(model.variance + spread**2)
    left = left - np.average(left, weights=1 / sd**2)
    return np.asarray(1 / (1 + (left / (OUTLIER * sd)) ** 2))
