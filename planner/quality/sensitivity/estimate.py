"""ln α of the matrices of a model, computed from the measured points of its match or the prior.

    ln α = features · β + residual of the match + offset

β has the parts of the kinds of network, of the family and, of a match, of the measured model. The
residual is what the points of the match say beyond their features: layer by layer of a sister, at
relative depth of a relative, shrunk by the noise of the measurement. A match of several models
takes their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from planner.quality.sensitivity.kld_data import kld_models, points_of
from planner.quality.sensitivity.prior_fit import (
    SPREAD,
    LearnedPrior,
    joined,
    observations,
    prior_without,
)
from planner.quality.sensitivity.records import (
    OUTSIDE,
    KldMatch,
    KldModel,
    KldSubject,
    Matrix,
)

Doubles = npt.NDArray[np.float64]


def log_alphas(
    subject: KldSubject,
    match: KldMatch | None,
    matrices: Sequence[Matrix],
    excluded: frozenset[str],
) -> Doubles:
    """ln α of each matrix, up to a common constant; ``excluded`` models contribute nothing."""
    prior = prior_without(excluded)
    if match is not None:
        return _matched(prior, match, subject, matrices)
    return prior.predict(matrices, subject.structure, _unmatched(prior, subject, excluded))


def _unmatched(prior: LearnedPrior, subject: KldSubject, excluded: frozenset[str]) -> Doubles:
    """Coefficients without a match: those of the family where the architecture is one's."""
    family = next(
        (
            m.family
            for m in kld_models()
            if m.name not in excluded and subject.architecture in m.architectures
        ),
        "",
    )
    return prior.of_family(subject.structure, family)


def _matched(
    prior: LearnedPrior, match: KldMatch, subject: KldSubject, matrices: Sequence[Matrix]
) -> Doubles:
    matched_rows = []
    for model in match.models:
        own = prior.fit.models.get(model.name, np.zeros(len(prior.columns)))
        near = carried(match.distance)
        beta = prior.of_family(subject.structure, model.family) + near * own
        value = prior.predict(matrices, subject.structure, beta)
        theirs = prior.of_family(model.structure, model.family) + own
        matched_rows.append(value + near * _residuals(prior, model, theirs, subject, matrices))
    centred = [v - v.mean() for v in matched_rows]
    return np.asarray(np.mean(centred, axis=0))


def carried(distance: float) -> float:
    """Share of a measured model's own part, and of its residuals, that holds for another size,
    |ln(ratio of parameters)| = ``distance`` away: 1 for a sister, 0.8 at twice, 0.3 at six times
    the parameters. Chosen by the sizes of one family that predict each other."""
    return 1 / (1 + (distance / 1.3) ** 3)


def _residuals(
    prior: LearnedPrior,
    model: KldModel,
    beta: Doubles,
    subject: KldSubject,
    matrices: Sequence[Matrix],
) -> Doubles:
    """What the points of ``model`` say beyond ``beta`` for each matrix of ``subject``: the value at
    the same place of the matrix of the same name, between layers interpolated; 0 without one."""
    seen = observations(model, prior.columns)
    left = seen.y - joined(seen.x, seen.first, beta)
    weight = 1 / (seen.variance + SPREAD**2)
    left = (left - np.average(left, weights=weight)) * SPREAD**2 * weight
    by_stem: dict[str, dict[int, float]] = {}
    for point, value in zip(points_of(model.name), left.tolist(), strict=True):
        for matrix in point.matrices:
            by_stem.setdefault(matrix.stem, {})[matrix.layer] = value
    return np.array(
        [
            _at(by_stem.get(m.stem, {}), m.layer, model.structure.layers, subject.structure.layers)
            for m in matrices
        ]
    )


def _at(values: Mapping[int, float], layer: int, theirs: int, ours: int) -> float:
    """The value at the relative depth of ``layer``; both ends fall on ends."""
    if not values:
        return 0.0
    if layer == OUTSIDE:
        return values.get(OUTSIDE, 0.0)
    at = layer * (theirs - 1) / max(1, ours - 1)
    places = sorted(k for k in values if k != OUTSIDE)
    return float(np.interp(at, places, [values[k] for k in places])) if places else 0.0
