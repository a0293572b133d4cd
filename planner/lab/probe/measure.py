"""Losses of a changed model on a text: each run starts at the first layer that changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.base.errors import InputError
from planner.lab.probe.emulate import Quantizer, Rounded, emulated, prepare
from planner.lab.probe.model import (
    CacheHook,
    Floats,
    Linear,
    Loss,
    ProbeModel,
    Tokens,
    as_is,
    exact,
)
from planner.numerics.engines import Engine


@dataclass(frozen=True, slots=True)
class Reference:
    """The unchanged model on ``tokens`` (chunks, length): the input of every layer, and what the
    loss needs."""

    tokens: Tokens
    hidden: tuple[Floats, ...]
    prepared: Any


def make_reference(model: ProbeModel, tokens: Tokens) -> Reference:
    """Run ``model`` once and keep the input of every layer.

    Raises:
        InputError: ``tokens`` is not (chunks, length).
    """
    if tokens.ndim != 2 or tokens.size == 0:
        raise InputError(f"tokens of shape {tokens.shape}", hint="give (chunks, length)")
    plain, hidden = exact(model), [model.embed(tokens)]
    for index in range(model.layers):
        hidden.append(model.layer(index, hidden[-1], plain, as_is))
    return Reference(tokens, tuple(hidden[:-1]), model.prepare(hidden[-1]))


def measured_loss(
    model: ProbeModel,
    reference: Reference,
    run: Linear,
    *,
    cache: CacheHook = as_is,
    start: int = 0,
) -> Loss:
    """Loss of the model with linear layers ``run`` and caches ``cache``, the same below
    ``start``."""
    h = reference.hidden[start]
    for index in range(start, model.layers):
        h = model.layer(index, h, run, cache)
    return model.loss(reference.prepared, h)


def plan_loss(
    model: ProbeModel,
    reference: Reference,
    plan: Mapping[str, Quantizer],
    *,
    cache: CacheHook = as_is,
    engine: Engine = "numpy",
) -> Loss:
    """Loss of the model with the recipe of every unit in ``plan``; rounded layer by layer."""
    h = reference.hidden[0]
    by_layer = units_by_layer(model)
    for index in range(model.layers):
        units = {u: prepare(model.weight(u), plan[u], engine) for u in by_layer[index] if u in plan}
        h = model.layer(index, h, emulated(model, units, engine), cache)
    return model.loss(reference.prepared, h)


def unit_losses(
    model: ProbeModel,
    reference: Reference,
    units: Iterable[str],
    recipes: Sequence[Quantizer],
    *,
    engine: Engine = "numpy",
) -> Iterator[tuple[str, tuple[Loss, ...]]]:
    """(unit, its loss under each recipe, alone in an unchanged model).

    The recipes of a unit pass through the layers above it together.
    """
    layer_of = {u.id: u.layer for u in model.units}
    plain, chunks = exact(model), len(reference.tokens)
    for name in units:
        start = layer_of[name]
        below = reference.hidden[start]
        after = [
            model.layer(start, below, emulated(model, {name: unit}, engine), as_is)
            for unit in _rounded(model, name, recipes, engine)
        ]
        h = np.concatenate(after)
        for index in range(start + 1, model.layers):
            h = model.layer(index, h, plain, as_is)
        yield (
            name,
            tuple(
                model.loss(reference.prepared, h[i : i + chunks]) for i in range(0, len(h), chunks)
            ),
        )


def units_by_layer(model: ProbeModel) -> dict[int, list[str]]:
    """Unit ids of every layer."""
    out: dict[int, list[str]] = {}
    for unit in model.units:
        out.setdefault(unit.layer, []).append(unit.id)
    return out


def _rounded(
    model: ProbeModel, name: str, recipes: Sequence[Quantizer], engine: Engine
) -> Iterator[Rounded]:
    for recipe in recipes:
        yield prepare(model.weight(name), recipe, engine)
