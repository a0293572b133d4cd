"""The learned prior: hierarchical fit of the measured models, shipped or made anew without some.

``python -m planner.quality.sensitivity.prior_fit`` writes data/kld/prior.json.

Ridge regression of log sensitivities with a part that all models share, and deviations of kinds of
network, of the family and of the model.

    y(point) = offset(model) + ln Σ_matrices exp(x·(β + Σ β_kind + β_family + β_model)) + noise

Every β has a normal prior with mean zero; its variance depends on the group of the feature and on
the part (:mod:`planner.quality.sensitivity.prior_settings`). What a family's models agree on counts
once, however many matrices it has. A point's variance is that of its measurement, what the floor
leaves of it, and SPREAD². Points with several matrices are made linear around a fit of their model
alone, where outliers lose weight too (Cauchy weights at 2.5 standard deviations): what is learned
from one model never depends on another.

The fit is solved in the space of observations: of each model the few combinations of its points
that say anything (singular values of the weighted features above LEAST_SAID) are kept.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from planner.quality.sensitivity.features import features, kinds_of
from planner.quality.sensitivity.kld_data import DATA, kld_models, points_of
from planner.quality.sensitivity.prior_settings import PARTS, settings_without, variances
from planner.quality.sensitivity.records import KldModel, Matrix, Structure

Doubles = npt.NDArray[np.float64]
SPREAD = 0.8
"""Standard deviation of ln α of single matrices around their features."""
NARROW_MEAN = 0.43
"""Expected slope of ln α over ln(outputs / hidden size): what few outputs carry weighs less."""
LEAST_SIGNAL = 1.0
"""Signals count as at least this many standard deviations of their noise."""
PATH = DATA / "kld" / "prior.json"
ROUNDS = 3
OUTLIER = 2.5
ALONE = 0.3
"""Variance of every coefficient in the fit of a model alone."""
LEAST_SAID = 0.4


@dataclass(frozen=True, slots=True)
class Observed:
    """Points of one model: rows of ``x`` by matrix, ``first`` the row where each point begins,
    ``y`` log signals, ``variance`` that of their measurement."""

    family: str
    kinds: tuple[str, ...]
    x: Doubles
    first: npt.NDArray[np.intp]
    y: Doubles
    variance: Doubles


@dataclass(frozen=True, slots=True)
class Said:
    """What a model says of coefficients: ``rows`` · β = ``values`` + noise of variance 1, its
    offset taken out."""

    family: str
    kinds: tuple[str, ...]
    rows: Doubles
    values: Doubles


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients that all share, and deviations of kinds of network, families and models."""

    shared: Doubles
    kinds: Mapping[str, Doubles]
    families: Mapping[str, Doubles]
    models: Mapping[str, Doubles]


class LearnedPrior:
    """Coefficients by feature name."""

    def __init__(self, columns: Sequence[str], fit: Fit, models: Collection[str]) -> None:
        self.columns = {name: n for n, name in enumerate(columns)}
        self.fit = fit
        self.models = frozenset(models)

    def of_family(self, structure: Structure, family: str) -> Doubles:
        """Coefficients (columns,) of the kinds of ``structure``, with the part of ``family``
        where a model of it was fitted."""
        return of_kinds(self.fit, kinds_of(structure)) + self.fit.families.get(family, np.zeros(1))

    def predict(self, matrices: Sequence[Matrix], structure: Structure, beta: Doubles) -> Doubles:
        """ln α of each matrix, up to the offset of a model."""
        return design(matrices, structure, self.columns) @ beta + narrowed(matrices)


def of_kinds(fit: Fit, kinds: Collection[str]) -> Doubles:
    """The shared coefficients (columns,) with the deviations of ``kinds``."""
    return fit.shared + sum((fit.kinds[k] for k in kinds if k in fit.kinds), np.zeros(1))


@cache
def learned_prior() -> LearnedPrior:
    """The shipped fit of all models."""
    data = json.loads(PATH.read_text(encoding="utf-8"))
    size = len(data["columns"])

    def dense(sparse: Mapping[str, float]) -> Doubles:
        beta = np.zeros(size)
        beta[[int(k) for k in sparse]] = list(sparse.values())
        return beta

    parts = ({k: dense(v) for k, v in data[part].items()} for part in _DEVIATIONS)
    return LearnedPrior(data["columns"], Fit(dense(data["shared"]), *parts), data["models"])


_DEVIATIONS = ("kinds", "families", "models")


@lru_cache(maxsize=64)
def prior_without(excluded: frozenset[str], seed: int = 0) -> LearnedPrior:
    """The prior fitted without the models ``excluded``, with variances that their families had no
    say in; the shipped one where nothing is excluded."""
    fitted = [m for m in kld_models() if m.fitted]
    if seed == 0 and not excluded & {m.name for m in fitted}:
        return learned_prior()
    return fit_prior(
        [m for m in fitted if m.name not in excluded],
        {m.family for m in fitted if m.name in excluded},
        seed,
    )


def fit_prior(
    models: Sequence[KldModel], without: Collection[str] = (), seed: int = 0
) -> LearnedPrior:
    """Fit ``models``, with the variances chosen without the families ``without``: all their points
    are read."""
    columns = all_columns()
    spoken = {m.name: said_by(m.name) for m in models}
    chosen = variances(settings_without(without, seed), columns)
    return LearnedPrior(columns, fit(spoken, chosen), list(spoken))


@cache
def all_columns() -> tuple[str, ...]:
    """The names of the features that any fitted model has."""
    return tuple(
        sorted(
            {
                name
                for model in kld_models()
                if model.fitted
                for point in points_of(model.name)
                for matrix in point.matrices
                for name in features(matrix, model.structure)
            }
        )
    )


@cache
def said_by(name: str) -> Said:
    """What the measured model ``name`` says of coefficients."""
    model = next(m for m in kld_models() if m.name == name)
    return said(observations(model, {c: n for n, c in enumerate(all_columns())}))


def observations(model: KldModel, columns: Mapping[str, int]) -> Observed:
    """The points of a model as rows of features; what NARROW_MEAN expects is taken off."""
    points = points_of(model.name)
    matrices = [m for p in points for m in p.matrices]
    counts = np.array([len(p.matrices) for p in points])
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
    y, variance = logarithms([p.signal_nats for p in points], [p.noise_nats for p in points])
    expected = np.add.reduceat(narrowed(matrices), first) / counts
    x = design(matrices, model.structure, columns)
    return Observed(model.family, kinds_of(model.structure), x, first, y - expected, variance)


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


def joined(x: Doubles, first: npt.NDArray[np.intp], beta: Doubles) -> Doubles:
    """ln Σ exp(x·β) over the matrices of each point."""
    value = x @ beta
    top = np.maximum.reduceat(value, first)
    counts = np.diff(np.append(first, len(value)))
    total = np.add.reduceat(np.exp(value - np.repeat(top, counts)), first)
    return np.asarray(top + np.log(total))


def said(model: Observed, spread: float = SPREAD) -> Said:
    """What the points of a model say of coefficients, made linear around a fit of them alone;
    ``spread`` is the standard deviation of single matrices around their features."""
    counts = np.diff(np.append(model.first, len(model.x)))
    base = 1 / (model.variance + spread**2)
    robust = np.ones(len(model.y))
    beta = np.zeros(model.x.shape[1])
    for _ in range(ROUNDS):
        value = joined(model.x, model.first, beta)
        share = np.exp(model.x @ beta - np.repeat(value, counts))
        rows = np.add.reduceat(share[:, None] * model.x, model.first, axis=0)
        y = model.y - (value - rows @ beta)
        weight = robust * base
        root = np.sqrt(weight)
        centred = (rows - weight @ rows / weight.sum()) * root[:, None]
        values = (y - weight @ y / weight.sum()) * root
        ridge = centred.T @ centred + np.eye(len(beta)) / ALONE
        beta = np.asarray(np.linalg.solve(ridge, centred.T @ values))
        left = y - rows @ beta
        left = left - np.average(left, weights=base)
        robust = 1 / (1 + left**2 * base / OUTLIER**2)
    u, size, directions = np.linalg.svd(centred, full_matrices=False)
    kept = size > LEAST_SAID
    return Said(
        model.family,
        model.kinds,
        size[kept, None] * directions[kept],
        np.asarray((u.T @ values)[kept]),
    )


def fit(models: Mapping[str, Said], parts: Sequence[Doubles]) -> Fit:
    """Fit ``models``; ``parts`` are the variances (columns,) in the order of PARTS."""
    names = list(models)
    of_part = dict(zip(PARTS, parts, strict=True))
    said_of_all = np.concatenate([m.values for m in models.values()])
    solved: Doubles = np.asarray(np.linalg.solve(covariance(models, parts), said_of_all))
    weights = _split(solved, models)
    pulls = {name: models[name].rows.T @ weights[name] for name in names}

    def deviation(part: str, chosen: Collection[str]) -> Doubles:
        return np.asarray(of_part[part] * sum(pulls[n] for n in chosen))

    kinds = sorted({k for m in models.values() for k in m.kinds})
    families = dict.fromkeys(m.family for m in models.values())
    return Fit(
        deviation("shared", names),
        {k: deviation("kind", [n for n in names if k in models[n].kinds]) for k in kinds},
        {f: deviation("family", [n for n in names if models[n].family == f]) for f in families},
        {n: deviation("model", [n]) for n in names},
    )


def covariance(models: Mapping[str, Said], parts: Sequence[Doubles]) -> Doubles:
    """Of what the models say, one after another, their noise in it (rows, rows)."""
    shared, kind, family, own = parts
    blocks = []
    for a_name, a in models.items():
        row = []
        for b_name, b in models.items():
            together = shared + kind * len({*a.kinds} & {*b.kinds})
            if a.family == b.family:
                together = together + family
            if a_name == b_name:
                together = together + own
            row.append((a.rows * together) @ b.rows.T)
        blocks.append(row)
    total = np.block(blocks)
    total[np.diag_indices(len(total))] += 1
    return np.asarray(total)


def _split(stacked: Doubles, models: Mapping[str, Said]) -> Mapping[str, Doubles]:
    ends = np.cumsum([len(m.values) for m in models.values()])[:-1]
    return MappingProxyType(dict(zip(models, np.split(stacked, ends), strict=True)))


def as_json(prior: LearnedPrior) -> str:
    """The fit as shipped: coefficients that are not zero, to four digits."""

    def sparse(beta: Doubles) -> dict[str, float]:
        return {str(n): float(f"{v:.3e}") for n, v in enumerate(beta.tolist()) if abs(v) > 5e-4}

    data = {
        "columns": list(prior.columns),
        "shared": sparse(prior.fit.shared),
        "kinds": {k: sparse(v) for k, v in prior.fit.kinds.items()},
        "families": {k: sparse(v) for k, v in prior.fit.families.items()},
        "models": {k: sparse(v) for k, v in prior.fit.models.items()},
    }
    text = json.dumps(data, indent=None, separators=(",", ":"))
    for part in ("shared", *_DEVIATIONS):
        text = text.replace(f'"{part}"', f'\n"{part}"')
    return text + "\n"


def main() -> None:
    """Write the fit of all models that are fitted."""
    prior = fit_prior([m for m in kld_models() if m.fitted])
    PATH.write_text(as_json(prior), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
