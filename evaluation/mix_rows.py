"""Published mixtures: which type each tensor has, their perplexity, and the loss predicted.

A mixture is a list of rules, tensor names to types; its perplexity was measured by who made it.
Figures: Thireus, GGUF Tool Suite and its contributors (github.com/Thireus/GGUF-Tool-Suite).
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from evaluation.left_out import excluded_by
from evaluation.mix_types import TypeErrors, type_errors
from planner.quality.sensitivity.kld_data import (
    kld_models,
    points_of,
    subject_of_measured,
)
from planner.quality.sensitivity.level import saturated
from planner.quality.sensitivity.predict import LEARNED, predict
from planner.quality.sensitivity.records import KldModel, Matrix, Sensitivities

STANDS_FOR = {"DeepSeek-R1-0528": "DeepSeek-V3.1-Terminus"}
"""Mixtures of a model that was not measured: the measured release of its structure (both are
configurations of DeepSeek-V3). Nothing of the model itself is there to leave out, so that the
release stays in as a sister."""
NEAR, FAMILY = "nearest left", "family left out"
HEAD, TIED = "output", "token_embd"


@dataclass(frozen=True, slots=True)
class Mixture:
    """``rules`` are (pattern of tensor names, type) in order; ``perplexity`` on the maker's
    text."""

    name: str
    model: str
    maker: str
    bits: float
    perplexity: float
    rules: tuple[tuple[re.Pattern[str], str], ...]

    def type_of(self, matrix: Matrix) -> str | None:
        """The type of a matrix: of the first rule that names it, of a tied head the embedding's;
        None without a rule."""
        for name in (matrix.name, f"{TIED}.weight" if matrix.stem == HEAD else ""):
            found = next((kind for pattern, kind in self.rules if pattern.search(name)), None)
            if found is not None:
                return found
        return None


@dataclass(frozen=True, slots=True)
class Predicted:
    """``summed`` [nats]: losses of all tensors added up; ``loss``: as they saturate together."""

    mixture: Mixture
    summed: float
    loss: float


@dataclass(frozen=True, slots=True)
class ModelMixtures:
    """All mixtures of a model by what predicted them: ``tier`` and its g; ``read_off`` types."""

    model: str
    tier: str
    saturation: float
    rows: tuple[Predicted, ...]
    read_off: tuple[str, ...]


@cache
def read_mixtures(folder: Path) -> Mapping[str, tuple[Mixture, ...]]:
    """Mixtures by model, in the order of the table; a repeated file counts once, and one whose
    rules the table has not (``n_rules`` 0) not at all."""
    rules: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    with (folder / "mix_ppl_rules.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            pattern = re.compile(row["tensor_regex"])
            rules.setdefault(row["recipe"], []).append((pattern, row["ggml_type"]))
    found: dict[str, list[Mixture]] = {}
    with (folder / "mix_ppl.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["duplicate_of"] or row["recipe"] not in rules:
                continue
            mixture = Mixture(
                row["recipe"],
                row["model"],
                row["maker"],
                float(row["bpw_name"]),
                float(row["ppl"]),
                tuple(rules[row["recipe"]]),
            )
            found.setdefault(mixture.model, []).append(mixture)
    return {model: tuple(mixtures) for model, mixtures in found.items()}


def predicted(folder: Path, tables: Path, protocol: str) -> list[ModelMixtures]:
    """The mixtures of every model, predicted without the model (NEAR: by the nearest that is
    left) or without its whole family (FAMILY)."""
    return [
        _of_model(name, mixtures, tables, protocol)
        for name, mixtures in read_mixtures(folder).items()
    ]


def _of_model(name: str, mixtures: Sequence[Mixture], tables: Path, protocol: str) -> ModelMixtures:
    model = next(m for m in kld_models() if m.name == STANDS_FOR.get(name, name))
    excluded = _excluded(model, name, protocol)
    matrices = [m for p in points_of(model.name) for m in p.matrices]
    alphas = predict(subject_of_measured(model), matrices, excluded)
    errors = type_errors(tables, excluded | {model.name})
    rows = tuple(_predicted(m, alphas, errors) for m in mixtures)
    used = {kind.lower() for m in mixtures for _, kind in m.rules}
    return ModelMixtures(
        name, alphas.tier, alphas.saturation, rows, tuple(sorted(used & errors.read_off))
    )


def _excluded(model: KldModel, name: str, protocol: str) -> frozenset[str]:
    if protocol == FAMILY:
        return excluded_by(LEARNED, model) or frozenset()
    return frozenset() if name in STANDS_FOR else frozenset({name})


def _predicted(mixture: Mixture, alphas: Sensitivities, errors: TypeErrors) -> Predicted:
    parts = []
    for matrix, alpha in zip(alphas.matrices, alphas.alpha, strict=True):
        kind = mixture.type_of(matrix)
        if kind is None:
            raise ValueError(f"{mixture.name}: no rule names {matrix.name}")
        parts.append(alpha * errors.error(kind, matrix.kind))
    summed = math.fsum(parts)
    return Predicted(mixture, summed, saturated(summed, alphas.saturation))
