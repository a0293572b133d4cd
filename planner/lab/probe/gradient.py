"""Tier T1: sensitivity from backward passes on ids without a text, with labels the model samples.

For a change ΔY of a linear layer's output and g the gradient, at that output, of a score whose
label the model drew itself (``ProbeModel.sampled_score``), to second order:

    full      loss ≈ ½ · E (Σ g·ΔY)²   over labels, the sum over all positions of a chunk
    diagonal  loss ≈ ½ · E Σ g²·ΔY²    as if errors at different places were independent

Each is a mean over positions for decoders and over chunks for encoders, as their losses are. The
first keeps what errors have in common along a text and needs more draws: its relative standard
error is about √(2 / (chunks · draws)). Ids are random, or the model wrote them itself, which ranks
better and has little bias. Needs PyTorch, the ``[probe]`` extra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.base.errors import InputError, MissingPackageError
from planner.lab.probe.emulate import Quantizer, output_error, prepare
from planner.lab.probe.loader import layer_inputs
from planner.lab.probe.model import Doubles, Floats, ProbeModel, Tokens, as_is, exact
from planner.numerics.engines import Engine


@dataclass(frozen=True, slots=True)
class FisherLosses:
    """Expected losses (units, recipes), in the order of the model's units."""

    full: Doubles
    diagonal: Doubles


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
    Raises MissingPackageError without PyTorch, InputError for fewer than one draw.
    """
    if draws < 1:
        raise InputError(f"{draws} draws of labels", hint="1 or more; 16 is usual")
    live, rng = _torch_model(model), np.random.default_rng(seed)
    place = {u.id: n for n, u in enumerate(model.units)}
    of = recipes if isinstance(recipes, Mapping) else dict.fromkeys(place, recipes)
    full, diagonal = np.zeros((2, len(place), max(map(len, of.values()))))
    for chunk in tokens:
        gradients = _gradients(live, chunk[None], rng, draws)
        for name, x in layer_inputs(model, chunk[None]):
            weight, g, row = model.weight(name), gradients.pop(name), place[name]
            squares = np.einsum("dij,dij->ij", g, g)
            for column, recipe in enumerate(of[name]):
                change = output_error(x, weight, prepare(weight, recipe, engine), engine)
                sums = np.einsum("dij,ij->d", g, change, dtype=np.float64)
                full[row, column] += float(sums @ sums)
                diagonal[row, column] += float(np.vdot(squares, change * change))
    count = 2 * draws * model.loss_samples(tokens)
    return FisherLosses(full / count, diagonal / count)


def _torch_model(model: ProbeModel) -> ProbeModel:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingPackageError("torch", extra="probe") from None
    return model.to_torch()


def _gradients(
    live: ProbeModel, tokens: Tokens, rng: np.random.Generator, draws: int
) -> dict[str, Floats]:
    """(draws, positions, outputs) of every linear layer, for one chunk."""
    import torch

    outputs, result = _forward(live, torch.from_numpy(tokens))
    parts: dict[str, list[Floats]] = {name: [] for name in outputs}
    for n in range(draws):
        score = live.sampled_score(result, rng)
        grads = torch.autograd.grad(score, list(outputs.values()), retain_graph=n + 1 < draws)
        for name, g in zip(outputs, grads, strict=True):
            parts[name].append(g.numpy()[0])
    return {name: np.stack(g) for name, g in parts.items()}


def _forward(live: ProbeModel, tokens: Any) -> tuple[dict[str, Any], Any]:
    """(output of every linear layer, the model's output), with their graph."""
    outputs: dict[str, Any] = {}
    plain = exact(live)

    def run(unit: str, x: Any) -> Any:
        y = plain(unit, x)
        if not y.requires_grad:  # the first layer: nothing below it is differentiated
            y.requires_grad_(True)
        outputs[unit] = y
        return y

    h = live.embed(tokens)
    for index in range(live.layers):
        h = live.layer(index, h, run, as_is)
    return outputs, live.output(h)
