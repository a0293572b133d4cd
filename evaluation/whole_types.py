"""Whole models in one type, predicted and measured.

    K(type) = floor + saturated(level · e(type), g)

The floor is the table's own: KL between two runs of nearly the same model is no property that
anything here predicts. e is the emulated relative error of the type's weights, a mean over kinds of
modules. A name that ends in _r4 or _r8 is the plain type with rows interleaved.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from evaluation.left_out import PROTOCOLS, LeftOut, left_out
from planner.lab.tables.measured_losses import ggml_weight_error
from planner.quality.sensitivity.kld_data import DATA, FINE_LEVELS, kld_models
from planner.quality.sensitivity.level import saturated
from planner.quality.sensitivity.records import KldModel

OWN = "own level"
TYPES = ("q8_0", "q6_0", "q6_k", "q5_0", "q5_1", "q5_k", "q4_0", "q4_1", "q4_k", "iq4_nl",
         "iq4_xs", "q3_k", "q2_k")  # fmt: skip
APART = 0.10
"""Types whose losses differ by less are in no order."""
_INTERLEAVED = re.compile(r"_r\d+$")


@dataclass(frozen=True, slots=True)
class Row:
    """One type of one model: KL measured and predicted [nats]."""

    name: str
    measured: float
    predicted: float


@dataclass(frozen=True, slots=True)
class Whole:
    """How whole models were predicted: the median of |ln ratio| as a factor, the factor that holds
    80 % of rows, pairs in the right order of all that differ by more than their noise."""

    median: float
    factor: float
    right: int
    pairs: int

    @property
    def order(self) -> float:
        """Share of pairs in the right order."""
        return self.right / self.pairs


def whole_tables(folder: Path) -> dict[str, dict[str, float]]:
    """KL [nats] by model and type, in lower case; what was not measured is left out."""
    found: dict[str, dict[str, float]] = {}
    with (folder / "kld_whole.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = row["qtype"].lower()
            if float(row["kld"]) > 0:
                found.setdefault(row["model"], {})[name] = float(row["kld"])
    return found


def tables_of(folders: Sequence[Path]) -> dict[str, dict[str, float]]:
    """:func:`whole_tables` of several folders, each of other models."""
    return {name: types for folder in folders for name, types in whole_tables(folder).items()}


def whole_scores(folders: Sequence[Path]) -> dict[str, dict[str, Whole]]:
    """Scores by what predicted (protocols, own level) and model; models with a clean baseline."""
    tables = tables_of(folders)
    by_level: dict[str, dict[str, Whole]] = {}
    for protocol in PROTOCOLS:
        by_level[protocol] = {
            r.model.name: _scored(r.model, tables, r.level, r.saturation)
            for r in left_out(protocol)
            if _clean(r.model)
        }
    own: dict[str, LeftOut] = {r.model.name: r for r in left_out(PROTOCOLS[0])}
    by_level[OWN] = {
        m.name: _scored(m, tables, m.level, own[m.name].saturation)
        for m in kld_models()
        if _clean(m) and m.level is not None
    }
    return by_level


def overall(scores: Mapping[str, Whole]) -> Whole:
    """All models: medians of their factors, pairs together."""
    return Whole(
        float(np.median([s.median for s in scores.values()])),
        float(np.median([s.factor for s in scores.values()])),
        sum(s.right for s in scores.values()),
        sum(s.pairs for s in scores.values()),
    )


def _clean(model: KldModel) -> bool:
    return model.level is not None and model.baseline in FINE_LEVELS


def _scored(
    model: KldModel, tables: Mapping[str, Mapping[str, float]], level: float, g: float
) -> Whole:
    floor = whole_floors()[model.name]
    rows = [
        Row(name, kld, floor + saturated(level * mean_error(plain(name)), g))
        for name, kld in tables[model.name].items()
        if plain(name) in TYPES
    ]
    off = np.array([abs(math.log(r.measured / r.predicted)) for r in rows])
    right, pairs = order(rows)
    return Whole(float(np.exp(np.median(off))), float(np.exp(np.quantile(off, 0.8))), right, pairs)


def order(rows: Sequence[Row]) -> tuple[int, int]:
    """(pairs in the right order, pairs that differ by more than their noise).

    A type and its interleaved twin are one grid measured twice: they show what a repetition
    scatters. A pair counts where it differs by more than APART, than three standard deviations of
    the model's twins (robust, in logarithms), and by more nats than the twins of q8_0, which lie at
    the floor. Twins themselves are in no order.
    """
    by_name = {r.name: r.measured for r in rows}
    apart = [
        abs(math.log(by_name[t.name] / by_name[plain(t.name)]))
        for t in rows
        if t.name != plain(t.name) and plain(t.name) in by_name
    ]
    deviation = 1.4826 * float(np.median(apart)) if apart else 0.0
    floor = (
        abs(by_name["q8_0"] - by_name["q8_0_r8"]) if {"q8_0", "q8_0_r8"} <= by_name.keys() else 0.0
    )
    right = pairs = 0
    for a, b in itertools.combinations(rows, 2):
        difference = math.log(a.measured / b.measured)
        if (
            plain(a.name) == plain(b.name)
            or abs(difference) <= max(math.log(1 + APART), 3 * deviation)
            or abs(a.measured - b.measured) <= floor
        ):
            continue
        pairs += 1
        right += (a.predicted > b.predicted) == (difference > 0)
    return right, pairs


def plain(name: str) -> str:
    """``q4_k_r4`` → ``q4_k``."""
    return _INTERLEAVED.sub("", name)


@cache
def mean_error(name: str) -> float:
    """The emulated error of a type's weights, the mean over kinds of modules."""
    return float(np.mean(list(ggml_weight_error()[name].values())))


@cache
def whole_floors() -> dict[str, float]:
    """The floor [nats] of each whole-model table."""
    made = json.loads((DATA / "kld" / "levels.json").read_text(encoding="utf-8"))
    return {
        name: entry["whole_floor_nats"]
        for name, entry in made.items()
        if "whole_floor_nats" in entry
    }
