"""Tier T1: sensitivity from one backward pass on random ids, with labels the model samples.

For a change ΔY of a linear layer's output, to second order and with the Fisher information taken
diagonal over positions and outputs,

    loss ≈ ½ · mean over positions Σ_j g_j² · ΔY_j²

g is the gradient of the sampled score (``ProbeModel.sampled_score``) at that output. The mean is
over positions for decoders and over chunks for encoders, as in their losses. No text is read.
Needs PyTorch, the ``[probe]`` extra.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from planner.errors import MissingPackageError
from planner.numerics.engines import Engine
from planner.quality.probe.emulate import Recipe, output_error, prepare
from planner.quality.probe.model import Doubles, Floats, ProbeModel, Tokens, as_is, exact


def squared_gradients(model: ProbeModel, tokens: Tokens, *, seed: int,
                      draws: int = 1) -> dict[str, Floats]:
    """g² of every linear layer's output, (positions, outputs), a mean over ``draws`` of labels.

    Raises MissingPackageError without PyTorch.
    """
    try:
        import torch
    except ImportError:
        raise MissingPackageError("torch", extra="probe") from None
    live, rng = model.to_torch(), np.random.default_rng(seed)
    parts: dict[str, list[Floats]] = {}
    for chunk in tokens:
        outputs, result = _forward(live, torch.from_numpy(chunk[None]))
        squares: dict[str, Any] = {}
        for n in range(draws):
            score = live.sampled_score(result, rng)
            grads = torch.autograd.grad(score, list(outputs.values()),
                                        retain_graph=n + 1 < draws)
            for name, g in zip(outputs, grads, strict=True):
                squares[name] = squares.get(name, 0) + g.numpy()[0] ** 2 / np.float32(draws)
        for name, g2 in squares.items():
            parts.setdefault(name, []).append(g2)
    return {name: np.concatenate(p) for name, p in parts.items()}


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


def fisher_losses(model: ProbeModel, tokens: Tokens, gradients: Mapping[str, Floats],
                  recipes: Sequence[Recipe], *, samples: int,
                  engine: Engine = "numpy") -> Iterator[tuple[str, Doubles]]:
    """(unit, expected loss under each recipe) from g² on the same ``tokens``.

    ``samples``: what the loss is a mean over, positions or chunks.
    """
    from planner.quality.probe.loader import layer_inputs

    for name, x in layer_inputs(model, tokens):
        if name not in gradients:
            continue
        weight, g2 = model.weight(name), gradients[name]
        losses = []
        for recipe in recipes:
            change = output_error(x, weight, prepare(weight, recipe, engine), engine)
            losses.append(0.5 * float(np.sum(g2 * change * change, dtype=np.float64)) / samples)
        yield name, np.array(losses)
