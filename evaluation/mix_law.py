"""The law of losses that no longer add up, judged on tables of whole models in one type.

    K(type) = saturated(level · e(type), g)

The level is the model's own, so that only g is judged: as read off the model itself, as predicted
without it or without its family, and 0 (losses add up). Mixtures play no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluation.left_out import excluded_by
from evaluation.mix_types import type_errors
from evaluation.report import table
from evaluation.whole_types import whole_floors, whole_tables
from planner.lab.tables.measured_losses import FINE_BASELINES
from planner.quality.sensitivity.kld_data import (
    find_match,
    kld_models,
    known_levels,
    subject_of_measured,
)
from planner.quality.sensitivity.level import KNEE_NATS, level_for, saturated
from planner.quality.sensitivity.predict import LEARNED
from planner.quality.sensitivity.records import KldModel

BEYOND = 1.2
"""Types whose losses sum to less than so many knees say nothing of g."""
TITLES = ("losses add up", "family left out", "model left out", "own g")
Pairs = Sequence[tuple[float, float]]


def beyond_knee(model: KldModel, tables: Path) -> Pairs:
    """(level · e, measured loss over the floor) [nats] of each type beyond the knee, once where its
    rows are interleaved as well; errors that are not emulated are read off other models."""
    errors = type_errors(tables, {model.name}).by_type
    assert model.level is not None
    found: dict[tuple[float, float], None] = {}
    floor = whole_floors()[model.name]
    for name, loss in whole_tables(tables).get(model.name, {}).items():
        if name not in errors:
            continue
        total = model.level * float(np.mean(list(errors[name].values())))
        if total > BEYOND * KNEE_NATS and loss > floor:
            found.setdefault((total, loss - floor))
    return tuple(found)


def exponents(model: KldModel) -> Mapping[str, float]:
    """g of ``model`` by what it is read off, in the order of TITLES."""
    found = {"losses add up": 0.0}
    subject = subject_of_measured(model)
    family = excluded_by(LEARNED, model) or frozenset()
    for title, excluded in (
        ("family left out", family),
        ("model left out", frozenset({model.name})),
        ("own g", frozenset[str]()),
    ):
        match = find_match(subject, kld_models(), excluded)
        known = [k for k in known_levels() if k.name not in excluded]
        found[title] = level_for(subject, match, known).saturation
    if model.saturation is not None:
        found["own g"] = model.saturation
    return found


def median_factor(pairs: Pairs, g: float) -> float:
    """The median factor between what ``g`` predicts and what was measured."""
    return math.exp(float(np.median([abs(math.log(saturated(x, g) / k)) for x, k in pairs])))


def law_lines(tables: Path) -> list[str]:
    """Whole models whose losses would sum to more than BEYOND knees: the median factor between
    predicted and measured with the model's own level, and g in brackets."""
    rows, factors = [], []
    for model in kld_models():
        if model.level is None or model.baseline not in FINE_BASELINES:
            continue
        pairs = beyond_knee(model, tables)
        if not pairs:
            continue
        by_title = exponents(model)
        factors.append([median_factor(pairs, by_title[t]) for t in TITLES])
        rows.append(
            (
                model.name,
                len(pairs),
                *(
                    f"{f:.2f} ({by_title[t]:+.2f})"
                    for t, f in zip(TITLES, factors[-1], strict=True)
                ),
            )
        )
    spread = np.array(factors)
    for title, of in (("**median**", np.median), ("**largest**", np.max)):
        rows.append((title, "", *(f"{v:.2f}" for v in of(spread, axis=0).tolist())))
    return table(("model", "types", *TITLES), rows)
