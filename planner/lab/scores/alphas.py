"""Imported sensitivities as profile units: the emulated error of every scheme gives its loss."""

from __future__ import annotations

import math
from collections.abc import Mapping

from planner.base.errors import DataError, UnsupportedError
from planner.lab.scores.places import TIED, Key, Places
from planner.lab.scores.records import ALPHA, Score, Scores
from planner.models.spec import ModelSpec
from planner.quality.prior import NORM_SCHEME, Prior, reference_of
from planner.quality.profile import ProfileUnit

SMALLEST = 1e-30
"""A sensitivity that counts as none."""


def reference_for(spec: ModelSpec, prior: Prior) -> str:
    """The table of emulated errors for the release; that of BF16 where it has none."""
    try:
        return reference_of(spec.quantization, prior)
    except UnsupportedError:
        return "bf16"


def alpha_units(
    scores: Scores,
    places: Places,
    prior: Prior,
) -> tuple[list[ProfileUnit], list[str]]:
    """(units, notes) of sensitivities: loss(scheme) = α · emulated error of the kind.

    α is in nats where the scores are, else such that uniform fp8-block loses 1.

    Raises:
        DataError: an unknown module, a layer without any score, or nothing above 0.
    """
    reference = reference_for(places.spec, prior)
    errors = prior.error[reference]
    alphas, aside = _sums(scores, places, errors)
    notes = [*scores.notes, *_aside_notes(aside, scores)]
    _check_depth(alphas, places)
    notes += [*_raise_zeros(alphas), *_share_experts(alphas)]
    if scores.column != ALPHA:
        total = math.fsum(alpha * errors[kind][NORM_SCHEME] for (kind, _), alpha in alphas.items())
        alphas = {key: alpha / total for key, alpha in alphas.items()}
    notes.append(
        "losses are the sensitivity times the emulated error of the scheme, a constant of "
        f"format and kind for weights released in {reference}"
    )
    basis = f"sensitivities of {scores.program}"
    return [
        _unit(key, alpha, basis, prior, reference)
        for key, alpha in sorted(alphas.items(), key=lambda i: (i[0][1], i[0][0]))
    ], notes


def _sums(
    scores: Scores, places: Places, errors: Mapping[str, Mapping[str, float]]
) -> tuple[dict[Key, float], dict[str, float]]:
    """Sensitivities by unit, and scores by kind of what plans keep as released."""
    alphas: dict[Key, float] = {}
    aside: dict[str, float] = {}
    for entry in scores.entries:
        for name in entry.modules:
            kind, layer = places.of(name)
            value = entry.value / len(entry.modules)
            if layer is None:
                aside[kind] = aside.get(kind, 0.0) + value
            else:
                alphas[kind, layer] = alphas.get((kind, layer), 0.0) + value / _error_in(
                    entry, errors[kind], places.spec
                )
    return alphas, aside


def _error_in(entry: Score, errors: Mapping[str, float], spec: ModelSpec) -> float:
    """The error that a score still holds; 1 for a sensitivity."""
    if not entry.scheme:
        return 1.0
    error = errors.get(entry.scheme, 0.0)
    if error <= 0:
        raise DataError(
            f"scores: {entry.scheme} changes nothing in {spec.id}, or has no emulated "
            "error, so that its scores give no sensitivity",
            hint="give scores of a scheme of fewer bits, or module,scheme,score as CSV",
        )
    return error


def _check_depth(alphas: Mapping[Key, float], places: Places) -> None:
    spec = places.spec
    covered = {layer for _, layer in alphas}
    missing = sorted({layer for _, layer in places.units} - covered)
    if missing:
        raise DataError(
            f"scores: none of layer {missing[0]} of {spec.id}, which has {spec.layers} "
            f"layers; the file covers {len(covered)}",
            hint="give the measurement of this model: another's depth does not fit",
        )


def _raise_zeros(alphas: dict[Key, float]) -> list[str]:
    """Nothing is free: what shows no loss takes the smallest that shows."""
    seen = [alpha for alpha in alphas.values() if alpha > SMALLEST]
    if not seen:
        raise DataError("scores: no unit has a loss above 0", hint="measure with fewer bits")
    zeros = [key for key, alpha in alphas.items() if alpha <= SMALLEST]
    alphas.update(dict.fromkeys(zeros, min(seen)))
    return (
        [
            f"{len(zeros)} units show no loss above the noise and take the smallest that does, "
            f"first {zeros[0][0]} of layer {zeros[0][1]}"
        ]
        if zeros
        else []
    )


def _share_experts(alphas: dict[Key, float]) -> list[str]:
    """A score of one projection of the experts stands for both."""
    alone = [
        (TIED[kind], layer)
        for kind, layer in alphas
        if kind in TIED and (TIED[kind], layer) not in alphas
    ]
    alphas.update(dict.fromkeys(alone, 0.0))
    return (
        ["a score of the experts' gate-up or down stands for both, which are one decision"]
        if alone
        else []
    )


def _aside_notes(aside: Mapping[str, float], scores: Scores) -> list[str]:
    total = math.fsum(entry.value for entry in scores.entries) or 1.0
    kinds = ", ".join(f"{kind} {value / total:.1%}" for kind, value in sorted(aside.items()))
    return (
        [f"of the summed scores {kinds} are of what plans keep as released, and not used"]
        if aside
        else []
    )


def _unit(key: Key, alpha: float, basis: str, prior: Prior, reference: str) -> ProfileUnit:
    kind, layer = key
    error = prior.error[reference][kind]
    losses = {name: float(f"{alpha * value:.5e}") for name, value in sorted(error.items())}
    return ProfileUnit(
        f"{kind}.{layer}",
        kind,
        layer,
        float(f"{alpha:.5e}"),
        basis,
        "constant of format and kind",
        dict(error),
        losses,
        dict(prior.flushed[reference].get(kind, {})),
        dict(prior.overflow[reference].get(kind, {})),
    )
