"""``python -m evaluation.prior_search``: the settings of the learned prior, by nested leaving-out.

For every family F, settings are searched that predict families best that are left out of a fit to
the models without F: nothing of F has a say in the settings that predict F. One more search, with
all families, gives the shipped prior. data/kld/prior_settings.csv gets one row for each, and each
seed; ``evaluation/left_out.py`` scores F with its own row.

A search draws settings at random, evenly in logarithms between the least and the most of each, and
takes the geometric mean of the better half: with seven or eight families, differences among good
settings are chance. Better is a higher mean over families of (Spearman's ρ within a model − half of
ln of the factor that holds 80 %), families weighed by the root of their models.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.linalg.lapack

from evaluation.left_out import Doubles, score, signals
from planner.quality.sensitivity.kld_data import kld_models, points_of
from planner.quality.sensitivity.prior_fit import (
    Observed,
    Said,
    all_columns,
    covariance,
    joined,
    narrowed,
    observations,
    said_by,
)
from planner.quality.sensitivity.prior_settings import (
    PATH,
    RANGES,
    Settings,
    chosen_settings,
    variances,
)
from planner.quality.sensitivity.records import KldModel

FACTOR_WEIGHT = 0.5
"""Of ln factor beside a rank correlation."""
DRAWS = 60
BETTER = 0.5
"""Part of the draws that the mean is of."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A model as the search sees it: what it says, and its points to be predicted."""

    model: KldModel
    said: Said
    observed: Observed
    expected: Doubles
    signal: Doubles
    noise: Doubles


@cache
def measured() -> tuple[Measured, ...]:
    """All fitted models."""
    columns = {c: n for n, c in enumerate(all_columns())}
    found = []
    for model in kld_models():
        if model.fitted:
            points = points_of(model.name)
            counts = [len(p.matrices) for p in points]
            first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
            expected = narrowed([m for p in points for m in p.matrices])
            found.append(
                Measured(
                    model,
                    said_by(model.name),
                    observations(model, columns),
                    np.add.reduceat(expected, first) / counts,
                    *signals(model),
                )
            )
    return tuple(found)


def left_out_scores(
    models: Sequence[Measured], settings: Settings
) -> Mapping[str, list[tuple[float, float]]]:
    """(ρ, factor) of the models of each family, predicted from the others."""
    spoken = {m.model.name: m.said for m in models}
    parts = variances(settings, all_columns())
    inverse = _inverse(covariance(spoken, parts))
    weights = inverse @ np.concatenate([m.said.values for m in models])
    ends = np.cumsum([len(m.said.values) for m in models])
    places = [np.arange(end - len(m.said.values), end) for m, end in zip(models, ends, strict=True)]
    by_family: dict[str, list[tuple[float, float]]] = {}
    for family in dict.fromkeys(m.model.family for m in models):
        out = [n for n, m in enumerate(models) if m.model.family == family]
        rows = np.concatenate([places[n] for n in out])
        # the inverse without rows and columns, by its own block
        rest = weights - inverse[:, rows] @ np.linalg.solve(
            inverse[np.ix_(rows, rows)], weights[rows]
        )
        pulls = {n: m.said.rows.T @ rest[places[n]] for n, m in enumerate(models) if n not in out}
        by_family[family] = [
            _scored(models[n], _beta(models[n], models, pulls, parts)) for n in out
        ]
    return by_family


def _inverse(positive: Doubles) -> Doubles:
    """The inverse of a positive definite matrix, by its Cholesky factor."""
    factor, _ = scipy.linalg.lapack.dpotrf(positive, lower=1)
    lower, _ = scipy.linalg.lapack.dpotri(factor, lower=1)
    found = np.tril(lower)
    return np.asarray(found + np.tril(found, -1).T)


def _beta(
    model: Measured,
    models: Sequence[Measured],
    pulls: Mapping[int, Doubles],
    parts: Sequence[Doubles],
) -> Doubles:
    """Coefficients of a network of the kinds of ``model``, of an unknown family."""
    kinds = {*model.said.kinds}
    return np.asarray(
        sum(
            (parts[0] + parts[1] * len(kinds & {*models[n].said.kinds})) * pull
            for n, pull in pulls.items()
        )
    )


def _scored(model: Measured, beta: Doubles) -> tuple[float, float]:
    logs = joined(model.observed.x, model.observed.first, beta) + model.expected
    found = score(logs, model.signal, model.noise)
    return (found.rank or 0.0, found.factor)


def worth(models: Sequence[Measured], settings: Settings) -> float:
    """What a search maximises."""
    scores = left_out_scores(models, settings)
    means = [
        float(np.mean([rank - FACTOR_WEIGHT * math.log(factor) for rank, factor in found]))
        for found in scores.values()
    ]
    return float(np.average(means, weights=[len(s) ** 0.5 for s in scores.values()]))


def searched(models: Sequence[Measured], draws: Sequence[Settings]) -> Settings:
    """The settings that predict families left out of ``models`` well."""
    order = np.argsort([-worth(models, s) for s in draws], kind="stable")
    best = [draws[n] for n in order[: math.ceil(BETTER * len(draws))].tolist()]
    return {
        name: float(f"{math.exp(np.mean([math.log(s[name]) for s in best])):.3g}")
        for name in RANGES
    }


def drawn(seed: int, count: int) -> list[Settings]:
    """``count`` settings at random."""
    rng = np.random.default_rng(seed)
    return [
        {
            name: math.exp(rng.uniform(math.log(least), math.log(most)))
            for name, (least, most) in RANGES.items()
        }
        for _ in range(count)
    ]


def as_csv(chosen: Mapping[tuple[str, int], Settings]) -> str:
    """prior_settings.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["left_out", "seed", *RANGES])
    for (family, seed), settings in sorted(chosen.items(), key=lambda e: (e[0][1], e[0][0])):
        writer.writerow([family, seed, *(f"{settings[name]:g}" for name in RANGES)])
    return text.getvalue()


def main() -> int:
    """Search, and write the settings of the seeds that were asked for beside those there are."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.prior_search", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--draws", type=int, default=DRAWS)
    options = parser.parse_args()
    chosen = dict(chosen_settings()) if PATH.is_file() else {}
    families = ["", *dict.fromkeys(m.model.family for m in measured())]
    for seed in options.seeds:
        draws = drawn(seed, options.draws)
        for family in families:
            models = [m for m in measured() if m.model.family != family]
            chosen[family, seed] = searched(models, draws)
            PATH.write_text(as_csv(chosen), encoding="utf-8", newline="\n")
            print(f"seed {seed}, without {family or 'none'}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
