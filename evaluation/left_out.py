"""Predict measured models as if they, or their families, had never been measured.

| protocol | left out | what predicts |
|---|---|---|
| learned | the model's whole family | the prior fitted to other families |
| sister | the model | releases of the same structure |
| relative | every model of the same structure | another size of the architecture |

Predictions and measurements are compared point by point: a point is what was cut to about 1.75 bits
together, its prediction the sum of the α of its matrices.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from planner.quality.sensitivity.kld_data import (
    RELATIVE,
    SISTER,
    find_match,
    kld_models,
    points_of,
    subject_of_measured,
)
from planner.quality.sensitivity.predict import LEARNED, predict
from planner.quality.sensitivity.records import OUTSIDE, KldModel, Matrix

Doubles = npt.NDArray[np.float64]
PROTOCOLS = (LEARNED, SISTER, RELATIVE)
CONSTANT, OLD = "constant", "old T0"
BASELINES = (CONSTANT, OLD)
LEAST = 0.5
"""Signals below so many standard deviations of their noise have no logarithm worth a ratio."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """``model`` predicted without the models that ``protocol`` leaves out: ln of each point, the
    level [nats per unit of relative output error power] and g."""

    model: KldModel
    protocol: str
    tier: str
    logs: Doubles
    level: float
    saturation: float


@dataclass(frozen=True, slots=True)
class Score:
    """Spearman's ρ (None where all predictions are equal), and the factor ×/÷ around the median
    ratio of the model that holds 80 % of its points."""

    rank: float | None
    factor: float


def excluded_by(protocol: str, model: KldModel) -> frozenset[str] | None:
    """The models that are left out to predict ``model``; None where nothing is left to predict it
    by this protocol."""
    models = kld_models()
    if protocol == LEARNED:
        return frozenset(m.name for m in models if m.family == model.family)
    same = frozenset(m.name for m in models if m.structure == model.structure)
    excluded = frozenset({model.name}) if protocol == SISTER else same
    match = find_match(subject_of_measured(model), models, excluded)
    return excluded if match is not None and match.kind == protocol else None


@cache
def left_out(protocol: str) -> tuple[LeftOut, ...]:
    """Every model that ``protocol`` can predict, in the order of the index."""
    found = []
    for model in kld_models():
        excluded = excluded_by(protocol, model)
        if excluded is not None:
            found.append(_predicted(model, protocol, excluded))
    return tuple(found)


def _predicted(model: KldModel, protocol: str, excluded: frozenset[str]) -> LeftOut:
    matrices = [m for p in points_of(model.name) for m in p.matrices]
    found = predict(subject_of_measured(model), matrices, excluded)
    return LeftOut(
        model,
        protocol,
        found.tier,
        _by_point(model, np.array(found.alpha)),
        found.level,
        found.saturation,
    )


def baseline(name: str, model: KldModel) -> Doubles:
    """ln of each point under a baseline: the same for all, or the old prior."""
    if name == CONSTANT:
        return np.zeros(len(points_of(model.name)))
    matrices = [m for p in points_of(model.name) for m in p.matrices]
    return _by_point(model, np.array([old_alpha(m, model.structure.layers) for m in matrices]))


def signals(model: KldModel) -> tuple[Doubles, Doubles]:
    """(signal, noise) of each point as shipped [nats]."""
    points = points_of(model.name)
    return (np.array([p.signal_nats for p in points]), np.array([p.noise_nats for p in points]))


def score(logs: Doubles, signal: Doubles, noise: Doubles) -> Score:
    """How well ``logs`` predict ``signal``: every point counts in ρ."""
    rank = None if np.ptp(logs) == 0 else float(np.corrcoef(rankdata(logs), rankdata(signal))[0, 1])
    ratios, weights, _ = log_ratios(logs, signal, noise)
    return Score(rank, holding(np.abs(ratios), weights))


def log_ratios(
    logs: Doubles,
    signal: Doubles,
    noise: Doubles,
) -> tuple[Doubles, Doubles, npt.NDArray[np.bool_]]:
    """(ln(measured / predicted) around its median, weights, which points have them).

    A weight is s² / (s² + σ²): the part of the square of what was measured that is signal, so that
    a point as large as its noise counts by half. Points under LEAST of their noise have none.
    """
    seen = signal > LEAST * noise
    ratio = np.log(signal[seen]) - logs[seen]
    return ratio - np.median(ratio), 1 / (1 + (noise[seen] / signal[seen]) ** 2), seen


def holding(off: Doubles, weights: Doubles | None = None, part: float = 0.8) -> float:
    """The factor that holds ``part`` of the weight of |ln ratios| ``off``."""
    weights = np.ones(len(off)) if weights is None else weights
    order = np.argsort(off, kind="stable")
    at = int(np.searchsorted(np.cumsum(weights[order]) / weights.sum(), part - 1e-12))
    return float(np.exp(off[order][min(at, len(off) - 1)]))


def medians(of: Callable[[LeftOut], float], rows: Sequence[LeftOut], clean: bool) -> float:
    """The median of ``of`` over ``rows``, of clean models alone or of all."""
    return float(np.median([of(row) for row in rows if row.model.clean or not clean]))


def _by_point(model: KldModel, alpha: Doubles) -> Doubles:
    counts = [len(p.matrices) for p in points_of(model.name)]
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
    return np.asarray(np.log(np.add.reduceat(alpha, first)))


def old_alpha(matrix: Matrix, layers: int) -> float:
    """α that the prior of version 0.1 gave a matrix of a model of ``layers`` layers, of any scale:
    by kind, and by the first two, middle or last two layers."""
    prior = _old_prior()
    kind = float(prior["kind"][matrix.kind])
    if matrix.layer == OUTSIDE:
        return kind
    ends: int = prior["ends_layers"]
    place = (
        "first" if matrix.layer < ends else "last" if matrix.layer >= layers - ends else "middle"
    )
    return kind * float(prior[place])


@cache
def _old_prior() -> dict[str, Any]:
    path = Path(__file__).with_name("old_prior.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))
