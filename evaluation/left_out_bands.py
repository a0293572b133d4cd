"""Bands of predicted sensitivities, measured by leaving models out: data/kld/bands.json.

Clean models decide: their floor is below half of a median signal, and their baseline has 8 bits or
more, so that what is off is the prediction. Noise-heavy models come in only where clean ones do not
have a class (latent attention, for one): each point counts by the part of it that is signal, and
what noise remains makes those bands wider, never narrower. Models that were too noisy to be fitted
stay out. In every pool each model counts the same, however many matrices it has.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from evaluation.left_out import (
    LEAST,
    PROTOCOLS,
    Doubles,
    LeftOut,
    holding,
    left_out,
    medians,
    score,
    signals,
)
from evaluation.uniform_bands import band_of, uniform_rows
from planner.quality.sensitivity.features import CLASSES, class_of
from planner.quality.sensitivity.kld_data import CREDIT, FINE_LEVELS, points_of

ALL = "all classes"
ENOUGH_POINTS = 20
"""A class with fewer points in clean models, or in one of them alone, takes at least the factor of
all classes."""
ENOUGH_LEVELS = 10
"""With fewer models the band of the level is the largest error."""
METHOD = (
    "models left out in turn (evaluation/left_out.py). classes: factors ÷/× that hold 80 % of "
    "single points as shares of a model's loss, over clean models, each counting the same; factor "
    "and rank: medians over clean models of the factor around a model's median ratio and of "
    "Spearman's ρ; mix: shares of module kinds; level: predicted over measured level; whole: "
    "whole models in one type over their floor"
)


def bands_text() -> str:
    """data/kld/bands.json, from the shipped measurements."""
    found: dict[str, Any] = {"credit": CREDIT, "method": METHOD}
    for protocol in PROTOCOLS:
        found[protocol] = tier_bands(left_out(protocol))
    found["basis"] = {p: class_basis(left_out(p)) for p in PROTOCOLS}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def tier_bands(rows: tuple[LeftOut, ...]) -> dict[str, Any]:
    """The fields of TierBands."""
    clean = [r for r in rows if r.model.clean]
    factors = {name: factor for name, (factor, _) in class_factors(rows).items()}
    return {
        "classes": {name: _three(value) for name, value in factors.items()},
        "factor": _three(medians(lambda r: _score(r)[1], rows, clean=True)),
        "rank": _three(medians(lambda r: _score(r)[0], rows, clean=True)),
        "mix": _three(max(mix_factor(of) for of in (clean, *_more(rows, clean)))),
        "level": _three(level_factor(rows)),
        "whole": _three(band_of(uniform_rows(rows))),
        "models": len(clean),
    }


def class_basis(rows: tuple[LeftOut, ...]) -> dict[str, str]:
    """What the factor of each class rests on."""
    return {name: text for name, (_, text) in class_factors(rows).items()}


def class_factors(rows: tuple[LeftOut, ...]) -> dict[str, tuple[float, str]]:
    """(factor, what it rests on) by class."""
    clean = _pooled([r for r in rows if r.model.clean])
    every = _pooled([r for r in rows if r.model.fitted])
    all_classes = max(holding(*_stacked(pool[ALL])) for pool in (clean, every))
    found = {}
    for name in CLASSES:
        parts = clean[name]
        if _count(parts) >= ENOUGH_POINTS and len(parts) > 1:
            found[name] = (holding(*_stacked(parts)), _told(parts, "clean models"))
            continue
        parts = every[name]
        factor, text = all_classes, "pooled over all classes"
        if parts:
            factor = max(factor, holding(*_stacked(parts)))
            few = ", few" if _count(parts) < ENOUGH_POINTS else ""
            text = (
                f"{_told(parts, 'models, noise-heavy ones among them')}{few}: the larger of "
                "their factor and of that pooled over all classes"
            )
        found[name] = (factor, text)
    return found


def _more(rows: Sequence[LeftOut], clean: Sequence[LeftOut]) -> list[list[LeftOut]]:
    """The fitted models as well, where the clean ones are of one family."""
    return (
        [[r for r in rows if r.model.fitted]] if len({r.model.family for r in clean}) == 1 else []
    )


def share_ratios(row: LeftOut) -> tuple[Doubles, Doubles, list[str]]:
    """(ln of measured over predicted share of the model's loss, weights, classes) of the points
    whose signal stands out; weights as in :func:`evaluation.left_out.log_ratios`."""
    signal, noise = signals(row.model)
    seen = signal > LEAST * noise
    total = float(np.log(signal.sum()) - np.logaddexp.reduce(row.logs))
    classes = [
        class_of(p.matrices[0]) for p, ok in zip(points_of(row.model.name), seen, strict=True) if ok
    ]
    return (
        np.log(signal[seen]) - row.logs[seen] - total,
        1 / (1 + (noise[seen] / signal[seen]) ** 2),
        classes,
    )


def mix_factor(rows: Iterable[LeftOut]) -> float:
    """The factor that holds 80 % of shares of module kinds, summed over layers; kinds that were cut
    together are one. A sum counts by its signal over the noise of its points, which moves as one:
    it is that of the floor."""
    off: list[float] = []
    weights: list[float] = []
    for row in rows:
        signal, noise = signals(row.model)
        predicted = np.exp(row.logs)
        sums: dict[str, Doubles] = defaultdict(lambda: np.zeros(3))
        for n, point in enumerate(points_of(row.model.name)):
            kinds = "+".join(sorted({m.kind for m in point.matrices}))
            sums[kinds] += (signal[n], noise[n], predicted[n])
        for s, sd, p in sums.values():
            if s > LEAST * sd:
                off.append(abs(float(np.log(s / signal.sum() / (p / predicted.sum())))))
                weights.append(float(1 / (1 + (sd / s) ** 2)))
    return holding(np.array(off), np.array(weights))


def level_errors(rows: Iterable[LeftOut]) -> dict[str, float]:
    """ln(predicted / measured level) of the models whose table gives one, against BF16 or 8 bits;
    where no such model was predicted, against any baseline."""
    found = [r for r in rows if r.model.level is not None]
    fine = [r for r in found if r.model.baseline in FINE_LEVELS]
    return {
        r.model.name: float(np.log(r.level / r.model.level))
        for r in (fine if len({m.model.structure for m in fine}) > 1 else found)
        if r.model.level is not None
    }


def level_factor(rows: Iterable[LeftOut]) -> float:
    """The factor that holds 80 % of level errors, or the largest of few."""
    off = np.abs(np.array(list(level_errors(rows).values())))
    return holding(off, part=0.8 if len(off) >= ENOUGH_LEVELS else 1.0)


def _score(row: LeftOut) -> tuple[float, float]:
    found = score(row.logs, *signals(row.model))
    return found.rank or 0.0, found.factor


def _pooled(rows: Sequence[LeftOut]) -> dict[str, list[tuple[Doubles, Doubles]]]:
    """(|ln ratios|, weights) of each model, by class and of ALL."""
    found: dict[str, list[tuple[Doubles, Doubles]]] = {name: [] for name in (*CLASSES, ALL)}
    for row in rows:
        ratios, weights, classes = share_ratios(row)
        found[ALL].append((np.abs(ratios), weights))
        for name in dict.fromkeys(classes):
            mine = np.array([c == name for c in classes])
            found[name].append((np.abs(ratios[mine]), weights[mine]))
    return found


def _stacked(parts: Sequence[tuple[Doubles, Doubles]]) -> tuple[Doubles, Doubles]:
    """Points of several models, each model of the same weight."""
    return (
        np.concatenate([off for off, _ in parts]),
        np.concatenate([weights / weights.sum() for _, weights in parts]),
    )


def _count(parts: Sequence[tuple[Doubles, Doubles]]) -> int:
    return sum(len(off) for off, _ in parts)


def _told(parts: Sequence[tuple[Doubles, Doubles]], models: str) -> str:
    return f"{_count(parts)} points of {len(parts)} {models}"


def _three(value: float) -> float:
    return float(f"{value:.3g}")
