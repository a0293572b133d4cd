"""Left-out evaluations as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evaluation.left_out import (
    BASELINES,
    CONSTANT,
    OLD,
    PROTOCOLS,
    Score,
    baseline,
    left_out,
    score,
    signals,
)
from evaluation.left_out_bands import level_errors, tier_bands
from evaluation.pages import moved
from evaluation.prior_seeds import family_table
from evaluation.raw_signal import joint_over_sum, raw_signal
from evaluation.report import table
from evaluation.uniform_bands import held, uniform_rows
from evaluation.whole_types import OWN, Whole, overall, whole_scores
from planner.quality.sensitivity.kld_data import CREDIT, RELATIVE, SISTER, kld_models
from planner.quality.sensitivity.predict import LEARNED
from planner.quality.sensitivity.records import KldModel

COLUMNS = (*BASELINES, *PROTOCOLS)
TITLES = {
    CONSTANT: "constant",
    OLD: "old T0",
    LEARNED: "learned, family left out",
    SISTER: "sister, model left out",
    RELATIVE: "relative, structure left out",
    OWN: "own level",
}
Scores = Mapping[str, Mapping[str, Score]]


def shipped_scores() -> dict[str, dict[str, Score]]:
    """Scores against the shipped signals, by column and model."""
    return _scores({m.name: signals(m) for m in kld_models()})


def raw_scores(folders: tuple[Path, ...]) -> dict[str, dict[str, Score]]:
    """Scores against raw signals, weighed by the same noise as shares of the loss."""
    found = {}
    for model in kld_models():
        signal, noise = signals(model)
        found[model.name] = raw_signal(model, folders), noise / signal.sum()
    return _scores(found)


def _scores(measured: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, dict[str, Score]]:
    found: dict[str, dict[str, Score]] = {
        name: {m.name: score(baseline(name, m), *measured[m.name]) for m in kld_models()}
        for name in BASELINES
    }
    for protocol in PROTOCOLS:
        found[protocol] = {
            r.model.name: score(r.logs, *measured[r.model.name]) for r in left_out(protocol)
        }
    return found


def shipped_text() -> str:
    """What the shipped measurements show: single matrices, levels, bands."""
    scores = _score_table(shipped_scores(), list(kld_models()))
    return "\n".join(
        [
            f"Figures: {CREDIT}. Spearman's ρ within a model and the factor ×/÷ that holds 80 % of "
            "points, weighed by their signal; models in bold are clean: baseline of 8 bits or "
            "more, little floor.",
            "",
            *scores[:2],
            *scores[-3:],
            "Whole models in one type (q8_0 to q2_k), the model left out: how many lie inside the "
            "bands of the other models, what 95 % of draws at 80 % give, the median of high over "
            "low, the median factor between measured and predicted, and the band:",
            "",
            *uniform_table(),
            moved("quality-left-out", "Every model left out", scores),
            moved("quality-families", "By family, over seeds of the search", family_table()),
            moved("quality-levels", "Levels, predicted over measured", _levels()),
            moved("quality-bands", "Bands, as shipped", _bands()),
        ]
    )


def tables_text(folders: tuple[Path, ...]) -> str:
    """What needs the tables themselves: raw signals, whole models."""
    scores = whole_scores(folders)
    rows = []
    for name in scores[OWN]:
        rows.append((name, *(_whole(scores[by].get(name)) for by in scores)))
    rows.append(("**all**", *(_whole(overall(found)) for found in scores.values())))
    raw = _score_table(raw_scores(folders), list(kld_models()))
    whole = table(("model", *(TITLES[by] for by in scores)), rows)
    return "\n".join(
        [
            "Whole models in one type: the median factor, the one that holds 80 %, and pairs of "
            "types in the right order (wanted: at most 1.6, at least 95 %).",
            "",
            *whole[:2],
            *whole[-2:],
            moved("quality-whole-models", "Every whole model", whole),
            moved("quality-raw-signals", "Scores against raw signals", raw),
            moved("quality-joint-over-sum", "Joint loss over the sum", _joint(folders)),
        ]
    )


def _joint(folders: tuple[Path, ...]) -> list[str]:
    rows = []
    for model in kld_models():
        found = joint_over_sum(model, folders)
        if found is not None:
            rows.append(
                (model.name, f"{model.parameters_billion:g}", *(f"{value:.2f}" for value in found))
            )
    return table(
        (
            "model",
            "parameters, billion",
            "joint [nats]",
            "over the raw sum",
            "over the sum above the floor of layers",
        ),
        rows,
    )


def _score_table(scores: Scores, models: list[KldModel]) -> list[str]:
    rows = []
    for model in models:
        shown = f"**{model.name}**" if model.clean else model.name
        rows.append((shown, *(_shown(scores[c].get(model.name)) for c in COLUMNS)))
    for title, chosen in (
        ("median, clean", [m for m in models if m.clean]),
        ("median, all", models),
    ):
        rows.append((title, *(_shown(_median(scores[c], chosen)) for c in COLUMNS)))
    return table(("model", *(TITLES[c] for c in COLUMNS)), rows)


def _median(scores: Mapping[str, Score], models: list[KldModel]) -> Score:
    found = [scores[m.name] for m in models if m.name in scores]
    ranks = [s.rank for s in found if s.rank is not None]
    return Score(
        float(np.median(ranks)) if ranks else None, float(np.median([s.factor for s in found]))
    )


def _levels() -> list[str]:
    errors = {p: level_errors(left_out(p)) for p in PROTOCOLS}
    names = [m.name for m in kld_models() if any(m.name in errors[p] for p in PROTOCOLS)]
    rows = [
        (name, *(f"{np.exp(errors[p][name]):.2f}" if name in errors[p] else "" for p in PROTOCOLS))
        for name in names
    ]
    return table(("model", *(TITLES[p] for p in PROTOCOLS)), rows)


def _bands() -> list[str]:
    found = {p: tier_bands(left_out(p)) for p in PROTOCOLS}
    names = list(found[LEARNED]["classes"])
    rows = [(name, *(f"{found[p]['classes'][name]:.2f}" for p in PROTOCOLS)) for name in names]
    rows += [
        (title, *(f"{found[p][key]:.2f}" for p in PROTOCOLS))
        for key, title in (("mix", "shares of module kinds"), ("level", "level"))
    ]
    return table(("factor ×/÷ that holds 80 %", *(TITLES[p] for p in PROTOCOLS)), rows)


def uniform_table() -> list[str]:
    """Whole models inside their tier's bands, a row a tier."""
    rows = []
    for protocol in PROTOCOLS:
        found = held(uniform_rows(left_out(protocol)))
        least, most = found.expected
        rows.append(
            (
                TITLES[protocol],
                str(found.count),
                f"{found.inside} ({found.inside / found.count:.0%})",
                f"{least} to {most}",
                f"{found.width:.2f}",
                f"{found.off:.2f}",
                f"×/÷ {found.band:.2f}",
            )
        )
    return table(("tier", "values", "inside", "95 % of draws", "width", "off", "band"), rows)


def _shown(found: Score | None) -> str:
    if found is None:
        return ""
    rank = "" if found.rank is None else f"{found.rank:.2f}, "
    return f"{rank}×/÷ {found.factor:.2f}"


def _whole(found: Whole | None) -> str:
    return (
        ""
        if found is None
        else f"{found.median:.2f}, {found.factor:.2f}, {found.order:.1%} of {found.pairs}"
    )
