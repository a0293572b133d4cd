"""Losses from backward passes, with labels that the model samples itself.

For a change ΔY of a linear layer's output and g the gradient, at that output, of a score whose
label the model drew itself (``ProbeModel.sampled_gradient``), to second order:

    full      loss ≈ ½ · E (Σ g·ΔY)²   over labels, the sum over all positions of a chunk
    diagonal  loss ≈ ½ · E Σ g²·ΔY²    as if errors at different places were independent

Each is a mean over positions for decoders and over chunks for encoders, as their losses are. The
first keeps what errors have in common along a text and needs more draws: its relative standard
error is about √(2 / (chunks · draws)). Tier T1 takes every scheme's ΔY, on ids that the model
wrote; a quick profile that of one scheme, and of cached entries in one layout, on text. Walking
back costs about one forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planner.base.errors import InputError
from planner.lab.probe.emulate import Quantizer, output_error, prepare
from planner.lab.probe.model import Doubles, Floats, ProbeModel, Tokens, exact
from planner.lab.probe.tape import Traced, value_of, walk_back
from planner.numerics.engines import Engine

Place = str | tuple[str, int]
"""What a change is of: a linear layer's output, or (kv-k or kv-v, layer), its cached entries."""
KEYS, VALUES = "kv-k", "kv-v"


@dataclass(frozen=True, slots=True)
class FisherLosses:
    """Expected losses (units, recipes), in the order of the model's units."""

    full: Doubles
    diagonal: Doubles


@dataclass(frozen=True, slots=True)
class Trace:
    """One forward pass of ``tokens`` (chunks, length): inputs of every linear layer, what a score
    is differentiated by (outputs, and keys and values of every layer), and the model's output."""

    tokens: Tokens
    inputs: Mapping[str, Floats]
    places: Mapping[Place, Traced]
    result: Traced

    @property
    def entries(self) -> dict[tuple[str, int], Floats]:
        """Keys after RoPE and values, (chunks, heads, tokens, width)."""
        return {p: x.value for p, x in self.places.items() if isinstance(p, tuple)}


def traced(model: ProbeModel, tokens: Tokens) -> Trace:
    """Run ``model`` on ``tokens`` (chunks, length) and keep what gradients need: about 4 bytes ·
    tokens · three times the outputs of all units."""
    live, inputs = model.traced(), dict[str, Floats]()
    places = dict[Place, Traced]()
    plain = exact(live)

    def run(unit: str, x: Traced | Floats) -> Traced:
        # nothing below the first layer is differentiated: its outputs are leaves
        y = plain(unit, x)
        inputs[unit] = value_of(x)
        places[unit] = y if isinstance(y, Traced) else Traced(y)
        return places[unit]

    def cache(layer: int, k: Traced, v: Traced) -> tuple[Traced, Traced]:
        places[KEYS, layer], places[VALUES, layer] = k, v
        return k, v

    h = live.embed(tokens)
    for index in range(live.layers):
        h = live.layer(index, h, run, cache)
    return Trace(tokens, inputs, places, live.output(h))


def gradients(
    model: ProbeModel, trace: Trace, rng: np.random.Generator
) -> Iterator[tuple[Place, Floats]]:
    """(place, gradient of one sampled score there), of the place's shape, last ones first."""
    place_of = {x.order: place for place, x in trace.places.items()}
    for node, g in walk_back(trace.result, model.sampled_gradient(trace.result.value, rng)):
        if node.order in place_of:
            yield place_of[node.order], g


def squared_changes(
    model: ProbeModel, trace: Trace, changes: Mapping[Place, Floats], rng: np.random.Generator
) -> dict[Place, float]:
    """Σ over chunks of (Σ g·change)² for one draw of labels, by place. Over draws, the sum divided
    by 2 · draws · ``model.loss_samples`` is the expected loss of that change."""
    found: dict[Place, float] = {}
    for place, g in gradients(model, trace, rng):
        if place in changes:
            shape = (len(trace.tokens), -1)
            sums = np.einsum(
                "ci,ci->c", g.reshape(shape), changes[place].reshape(shape), dtype=np.float64
            )
            found[place] = float(sums @ sums)
    return found


def unit_change(
    model: ProbeModel, trace: Trace, unit: str, recipe: Quantizer, engine: Engine = "numpy"
) -> Floats:
    """ΔY (positions, outputs) of a linear layer under ``recipe`` on the inputs of ``trace``."""
    x, weight = trace.inputs[unit], model.weight(unit)
    return output_error(x.reshape(-1, x.shape[-1]), weight, prepare(weight, recipe, engine), engine)


def fisher_losses(
    model: ProbeModel,
    tokens: Tokens,
    recipes: Sequence[Quantizer] | Mapping[str, Sequence[Quantizer]],
    *,
    seed: int,
    draws: int,
    engine: Engine = "numpy",
) -> FisherLosses:
    """Expected loss of every unit under each recipe.

    Args:
        recipes: the same for every unit, or as many for each unit by its id.
        tokens: (chunks, length) ids.
        draws: labels sampled for each chunk. The gradients of one chunk are held at a time:
            4 bytes · draws · length · outputs of all units.
    Raises InputError for fewer than one draw.
    """
    if draws < 1:
        raise InputError(f"{draws} draws of labels", hint="1 or more; 16 is usual")
    rng = np.random.default_rng(seed)
    names = [u.id for u in model.units]
    of = recipes if isinstance(recipes, Mapping) else dict.fromkeys(names, recipes)
    full, diagonal = np.zeros((2, len(names), max(map(len, of.values()))))
    for chunk in tokens:
        trace = traced(model, chunk[None])
        parts: dict[Place, list[Floats]] = {name: [] for name in names}
        for _ in range(draws):
            for place, g in gradients(model, trace, rng):
                if place in parts:
                    parts[place].append(g[0])
        for row, name in enumerate(names):
            g = np.stack(parts.pop(name))
            squares = np.einsum("dij,dij->ij", g, g)
            for column, recipe in enumerate(of[name]):
                change = unit_change(model, trace, name, recipe, engine)
                sums = np.einsum("dij,ij->d", g, change, dtype=np.float64)
                full[row, column] += float(sums @ sums)
                diagonal[row, column] += float(np.vdot(squares, change * change))
    count = 2 * draws * model.loss_samples(tokens)
    return FisherLosses(full / count, diagonal / count)
