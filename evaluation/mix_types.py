"""Errors of all ggml types, on the scale that levels of whole models have.

| types | error |
|---|---|
| llama.cpp's of 2 to 8 bits | emulated, as levels were read with |
| those that single matrices were cut to (1 to 2 bits) | the sum of single losses over the level |
| others | between those, where the type's loss lies in tables of whole models in one type |

No mixture is read, and a model that is predicted gives nothing. Mixtures are put together from
the same quantised tensors as the tables: what helps them (an importance matrix) is in the level.

Figures: Thireus, GGUF Tool Suite and its contributors (github.com/Thireus/GGUF-Tool-Suite).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from evaluation.whole_types import plain, whole_floors, whole_tables
from planner.lab.tables.measured_losses import (
    cut_errors,
    ggml_weight_error,
    joined_groups,
    over_floor,
    read_table,
    rows_of,
)
from planner.quality.sensitivity.kld_data import FINE_LEVELS, kld_models

COARSEST = "q2_k"
"""The coarsest type with an emulated error."""
NEAREST = 6
"""Known types on each type's piece of a model's line."""
LEAST_MODELS = 3
"""Models that must show a type."""
KEPT = frozenset({"f32", "f16", "bf16"})
"""Types that change nothing."""


@dataclass(frozen=True, slots=True)
class TypeErrors:
    """Relative output error power by (type, module kind); ``read_off`` are the types that come from
    whole-model tables."""

    by_type: Mapping[str, Mapping[str, float]]
    read_off: frozenset[str]

    def error(self, name: str, kind: str) -> float:
        """Of ``name``, interleaved or not, as the recipe writes it; 0 where nothing is changed."""
        lower = plain(name.lower())
        return 0.0 if lower in KEPT else self.by_type[lower][kind]


def anchors(folder: Path, excluded: Collection[str]) -> Mapping[str, Mapping[str, float]]:
    """[type][kind] of the types whose errors are emulated or measured one matrix at a time; by kind
    the latter are as those of COARSEST, which they lie beyond."""
    emulated = ggml_weight_error()
    shape = emulated[COARSEST]
    mean = float(np.mean(list(shape.values())))
    levels = {
        m.name: m.level
        for m in kld_models()
        if m.clean and m.level is not None and m.name not in excluded
    }
    cut = cut_errors(_single_sums(folder), levels)
    found = {
        plain(name): {kind: value * error / mean for kind, value in shape.items()}
        for name, error in cut.items()
    }
    return {**found, **emulated}


@cache
def _single_sums(folder: Path) -> dict[str, dict[str, float]]:
    """What single matrices of each model lose in sum, by the type they were cut to [nats]."""
    tensors, groups = (read_table(folder / f"kld_{name}.csv") for name in ("tensors", "groups"))
    found: dict[str, dict[str, float]] = {}
    for model in kld_models():
        rows, patterns = rows_of(model.name, tensors, groups)
        for name in {r["qtype"] for r in rows}:
            cut = joined_groups([r for r in rows if r["qtype"] == name], patterns)
            values, _, _ = over_floor(cut, model.structure.layers)
            found.setdefault(model.name, {})[name] = float(np.maximum(values, 0.0).sum())
    return found


def type_errors(folder: Path, excluded: Collection[str]) -> TypeErrors:
    """Errors of all types, without the tables of the models ``excluded``."""
    known = anchors(folder, excluded)
    seen: dict[str, list[Mapping[str, float]]] = {}
    for model, whole in _usable(folder).items():
        if model in excluded:
            continue
        floor = whole_floors()[model]
        over = {name: loss - floor for name, loss in whole.items() if loss > 1.2 * floor}
        line = sorted((math.log(loss), name) for name, loss in over.items() if name in known)
        for name, loss in over.items():
            if name == plain(name) and name not in known and not name.endswith("_bn"):
                seen.setdefault(name, []).append(_placed(math.log(loss), line, known))
    read_off = {
        name: {kind: float(np.median([row[kind] for row in rows])) for kind in rows[0]}
        for name, rows in seen.items()
        if len(rows) >= LEAST_MODELS
    }
    return TypeErrors({**read_off, **known}, frozenset(read_off))


def _usable(folder: Path) -> dict[str, dict[str, float]]:
    """Tables of models whose floor and level are known against 16 or 8 bits."""
    fine = {m.name for m in kld_models() if m.level is not None and m.baseline in FINE_LEVELS}
    tables = whole_tables(folder)
    return {name: tables[name] for name in sorted(fine & tables.keys() & whole_floors().keys())}


def _placed(
    at: float, line: list[tuple[float, str]], known: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """[kind] of the error where a model's ``line`` of (ln loss, known type) has ln loss ``at``: a
    straight piece through the nearest types, in logarithms."""
    near = sorted(line, key=lambda part: abs(part[0] - at))[:NEAREST]
    x = np.array([loss for loss, _ in near])
    found = {}
    for kind in known[COARSEST]:
        y = np.log([known[name][kind] for _, name in near])
        slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
        found[kind] = float(np.exp(y.mean() + max(slope, 0.0) * (at - x.mean())))
    return found
