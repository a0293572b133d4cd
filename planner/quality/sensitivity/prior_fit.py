"""The learned prior: hierarchical fit of the measured models, shipped or made anew without some.

``python -m planner.quality.sensitivity.prior_fit`` writes data/kld/prior.json.

Its few constants, the variances of groups of features, were chosen by how well families were
predicted that were left out (``evaluation/sensitivity.py``); the coefficients are fitted.

Ridge regression of log sensitivities with a part that all models share, a part of the family, and a
part of the model.

    y(point) = offset(model) + ln Σ_matrices exp(x·(β + β_family + β_model)) + noise

Every β has a normal prior with mean zero; its variance depends on the group of the feature and on
the part. Families and models are eliminated exactly, one after another, so that the shared part is
learned from families, each counted once for what its models agree on, however many matrices it has.
Points with several matrices are made linear around the last estimate. Outliers lose weight (Cauchy
weights at 2.5 standard deviations).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from planner.quality.sensitivity.features import features
from planner.quality.sensitivity.kld_data import DATA, kld_models, points_of
from planner.quality.sensitivity.records import KldModel, Matrix, Structure

Doubles = npt.NDArray[np.float64]
SPREAD = 0.8
"""Standard deviation of ln α of single matrices around their features."""
VARIANCES: Mapping[str, tuple[float, float, float]] = MappingProxyType({
    "block": (0.3, 1.8, 0.1), "side": (0.7, 5.0, 0.05), "role": (0.03, 0.015, 0.05),
    "outside": (9.0, 0.3, 0.3), "class": (0.3, 0.1, 0.1), "matrix": (0.05, 0.02, 0.05),
    "narrow": (0.02, 0.06, 0.01), "chosen": (0.1, 0.1, 0.0),
    "depth0": (1e-4, 0.2, 0.3), "depth1": (0.002, 0.1, 0.3), "depth2": (1e-4, 0.002, 0.2),
    "depth3": (0.002, 0.3, 0.05), "end0": (0.06, 0.02, 0.2), "end1": (0.1, 0.02, 0.2),
    "end2": (0.015, 1.3, 0.2), "end3": (0.6, 0.003, 0.1),
})  # fmt: skip
"""Of the shared, the family's and the model's part, by group of features. ``outside``, head and
embedding, is nearly free: two points of a model weigh nothing in a rank correlation and up to half
of its loss."""
NARROW_MEAN = 0.43
"""Expected slope of ln α over ln(outputs / hidden size): what few outputs carry weighs less."""
LEAST_SIGNAL = 1.0
"""Signals count as at least this many standard deviations of their noise."""
PATH = DATA / "kld" / "prior.json"


class LearnedPrior:
    """Coefficients by feature name."""

    def __init__(self, columns: Sequence[str], fit: Fit, models: Collection[str]) -> None:
        self.columns = {name: n for n, name in enumerate(columns)}
        self.fit = fit
        self.models = frozenset(models)

    def predict(self, matrices: Sequence[Matrix], structure: Structure, beta: Doubles) -> Doubles:
        """ln α of each matrix, up to the offset of a model."""
        return design(matrices, structure, self.columns) @ beta + narrowed(matrices)


@cache
def learned_prior() -> LearnedPrior:
    """The shipped fit of all models."""
    data = json.loads(PATH.read_text(encoding="utf-8"))
    size = len(data["columns"])

    def dense(sparse: Mapping[str, float]) -> Doubles:
        beta = np.zeros(size)
        beta[[int(k) for k in sparse]] = list(sparse.values())
        return beta

    return LearnedPrior(
        data["columns"],
        Fit(
            dense(data["shared"]),
            {k: dense(v) for k, v in data["families"].items()},
            {k: dense(v) for k, v in data["models"].items()},
        ),
        data["models"],
    )


@lru_cache(maxsize=32)
def prior_without(excluded: frozenset[str]) -> LearnedPrior:
    """The prior fitted without the models ``excluded``; the shipped one where nothing is."""
    fitted = [m for m in kld_models() if m.fitted]
    if not excluded & {m.name for m in fitted}:
        return learned_prior()
    return fit_prior([m for m in fitted if m.name not in excluded])


def fit_prior(models: Sequence[KldModel]) -> LearnedPrior:
    """Fit ``models``: all their points are read."""
    columns = sorted(
        {
            name
            for model in models
            for point in points_of(model.name)
            for matrix in point.matrices
            for name in features(matrix, model.structure)
        }
    )
    place = {name: n for n, name in enumerate(columns)}
    groups = [name.split(":")[0] for name in columns]
    variances = [np.array([VARIANCES[g][part] for g in groups]) for part in range(3)]
    observed = {m.name: observations(m, place) for m in models}
    return LearnedPrior(columns, fit(observed, variances, SPREAD), list(observed))


def observations(model: KldModel, columns: Mapping[str, int]) -> Observed:
    """The points of a model as rows of features; what NARROW_MEAN expects is taken off."""
    points = points_of(model.name)
    matrices = [m for p in points for m in p.matrices]
    counts = np.array([len(p.matrices) for p in points])
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
    y, variance = logarithms([p.signal_nats for p in points], [p.noise_nats for p in points])
    expected = np.add.reduceat(narrowed(matrices), first) / counts
    return Observed(
        model.family, design(matrices, model.structure, columns), first, y - expected, variance
    )


def logarithms(signal: Sequence[float], noise: Sequence[float]) -> tuple[Doubles, Doubles]:
    """(ln signal, its variance); a signal below its noise counts as LEAST_SIGNAL of it."""
    sd = np.array(noise)
    value = np.maximum(np.array(signal), LEAST_SIGNAL * sd)
    return np.log(value), (sd / value) ** 2


def narrowed(matrices: Sequence[Matrix]) -> Doubles:
    """What NARROW_MEAN expects of each matrix."""
    return NARROW_MEAN * np.array([m.narrow for m in matrices])


def design(matrices: Sequence[Matrix], structure: Structure, columns: Mapping[str, int]) -> Doubles:
    """Features (matrices, columns); what no fitted model had is left out."""
    x = np.zeros((len(matrices), len(columns)))
    for row, matrix in enumerate(matrices):
        for name, value in features(matrix, structure).items():
            at = columns.get(name)
            if at is not None:
                x[row, at] = value
    return x


def main() -> None:
    """Write the fit of all models that are fitted."""
    prior = fit_prior([m for m in kld_models() if m.fitted])
    PATH.write_text(as_json(prior), encoding="utf-8", newline="\n")


def as_json(prior: LearnedPrior) -> str:
    """The fit as shipped: coefficients that are not zero, to four digits."""

    def sparse(beta: Doubles) -> dict[str, float]:
        return {str(n): float(f"{v:.3e}") for n, v in enumerate(beta.tolist()) if abs(v) > 5e-4}

    data = {
        "columns": list(prior.columns),
        "shared": sparse(prior.fit.shared),
        "families": {k: sparse(v) for k, v in prior.fit.families.items()},
        "models": {k: sparse(v) for k, v in prior.fit.models.items()},
    }
    return (
        json.dumps(data, indent=None, separators=(",", ":"))
        .replace('"shared"', '\n"shared"')
        .replace('"families"', '\n"families"')
        .replace('"models"', '\n"models"')
        + "\n"
    )


if __name__ == "__main__":
    main()


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
            family_state = families.setdefault(
                models[name].family, _State(np.zeros((size, size)), np.zeros(size))
            )
            family_state.gram += gram
            family_state.right += right
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
