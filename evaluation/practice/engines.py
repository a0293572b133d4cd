"""``python -m evaluation.practice.engines``: whether the engine that the planner would look at
first is one that somebody published, for every model and device with a guide or configuration, when
what is published of the model itself is left out.

The weights of planner/planning/search/conventional.py (published deployments of the class, served
rows) are told beside others.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from planner.lookup import load_device, load_model
from planner.planning.practice.recipes import FAMILIES, Recipe, base_model, recipes
from planner.planning.price.evidence import served_residuals
from planner.planning.price.kinds import model_class
from planner.planning.price.ledger import FAMILY, RELATIVE, family_of
from planner.planning.search.conventional import MANY, OF_CLASS, SERVED, SOME

ENGINES = ("vllm", "sglang", "tensorrt-llm")
SHIPPED = ("guide", "config")
"""Kinds of sources that speak for a pair of model and device."""


@dataclass(frozen=True)
class Weights:
    """What ``some`` published deployments of the class count in full, and what ``many`` served
    rows do."""

    some: float = SOME
    of_class: float = OF_CLASS
    many: float = MANY
    served: float = SERVED


def preferred(
    model: str,
    device: str,
    weights: Weights,
    classes: Mapping[str, str],
    rows: Mapping[tuple[str, str, str, str], int],
) -> str:
    """The engine that speaks most for the class of a model on a device, without its own recipes."""
    mine, architecture = base_model(model), load_device(device).architecture
    family, of_class = family_of(architecture), classes[model]

    def score(engine: str) -> float:
        published = sum(
            1.0 if r.device == device else FAMILY if r.device == family else 0.0
            for r in recipes()
            if r.engine == engine and base_model(r.model) != mine and classes[r.model] == of_class
        )
        served = sum(
            count if where == device else RELATIVE * count if built == architecture else 0.0
            for (name, where, built, kind), count in rows.items()
            if name == engine and kind == of_class
        )
        return weights.of_class * min(published / weights.some, 1.0) + weights.served * min(
            served / weights.many, 1.0
        )

    return max(ENGINES, key=score)


def pairs() -> Iterator[tuple[str, str, frozenset[str]]]:
    """(model, device, the engines that are published for them, or for what its maker sells)."""
    by_pair: dict[tuple[str, str], set[str]] = {}
    first: dict[tuple[str, str], Recipe] = {}
    for recipe in recipes():
        pair = base_model(recipe.model), recipe.device
        by_pair.setdefault(pair, set()).add(recipe.engine)
        if recipe.kind in SHIPPED and recipe.engine in ENGINES and recipe.device not in FAMILIES:
            first.setdefault(pair, recipe)
    for (base, device), recipe in first.items():
        family = family_of(load_device(device).architecture)
        able = by_pair[base, device] | by_pair.get((base, family), set())
        yield recipe.model, device, frozenset(able)


def main() -> int:
    """Print in how many pairs the preferred engine is a published one."""
    classes = {name: model_class(load_model(name)) for name in {r.model for r in recipes()}}
    rows: Counter[tuple[str, str, str, str]] = Counter()
    for residuals in served_residuals():
        kind = residuals.kind
        if residuals.metric == "tpot":
            key = kind.engine, kind.device, kind.architecture, kind.model
            rows[key] += len(residuals.residuals)
    every = list(pairs())
    for name, weights in {
        "as shipped": Weights(),
        "served rows as much as recipes": Weights(served=1.0),
        "served rows alone": Weights(of_class=0.0, served=1.0),
        "recipes alone": Weights(served=0.0),
    }.items():
        right = sum(
            preferred(model, device, weights, classes, rows) in able
            for model, device, able in every
        )
        print(f"{name}: {right} of {len(every)} pairs of model and device")
    return 0


if __name__ == "__main__":
    sys.exit(main())
