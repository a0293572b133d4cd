"""Embedding and head in other formats: what a plan that drops their rules would lose.

SmolLM2 ties the two matrices; each use of it is changed alone here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from evaluation import settings, whole
from evaluation.predictors import engine
from planner.lab.probe.decoder import Decoder, Prepared, divergence
from planner.lab.probe.emulate import Quantizer, apply, power, prepare
from planner.lab.probe.measure import Reference, measured_loss
from planner.lab.probe.model import Doubles, Floats, exact

HEAD = (
    "fp8-tensor",
    "fp8-channel",
    "fp8-block",
    "fp8-w8a16",
    "int8-w8a8",
    "int8-w8a16",
    "int4-w4a16",
    "int4-w4a16-g32",
    "nvfp4",
    "nvfp4-w4a16",
    "mxfp4",
    "mxfp4-w4a16",
)
EMBEDDING = (
    "fp8-w8a16",
    "int8-w8a16",
    "int4-w4a16",
    "int4-w4a16-g32",
    "nvfp4-w4a16",
    "mxfp4-w4a16",
)
"""A lookup multiplies nothing: weights alone."""
_ROWS = 64


def measured(name: str, reference: Reference) -> dict[str, Any]:
    """(loss, error) of head and embedding by scheme, beside the loss of uniform fp8-block."""
    return {
        "head": head_losses(name, reference),
        "embedding": embedding_losses(name, reference),
        "uniform": whole.uniform(settings.loaded(name), reference, Quantizer("fp8-block")).mean,
    }


def head_losses(name: str, reference: Reference) -> dict[str, tuple[float, float]]:
    """(mean KL [nats], relative error power of the logits) of the head alone, by scheme."""
    model = _decoder(name)
    x, weight = _head_input(model, reference), model.weights[model.names["head"]]
    whole = power(reference.prepared.logits)
    out = {}
    for scheme in HEAD:
        unit = prepare(weight, Quantizer(scheme), engine())
        kl, changed = [], 0.0
        for i in range(0, len(x), _ROWS):
            rows = slice(i, i + _ROWS)
            logits = apply(unit, x[rows], engine())
            changed += power(logits - reference.prepared.logits[rows])
            kl.append(_divergence(reference.prepared, rows, logits))
        out[scheme] = float(np.concatenate(kl).mean()), changed / whole
    return out


def embedding_losses(name: str, reference: Reference) -> dict[str, tuple[float, float]]:
    """(mean KL [nats], relative error power of the rows) of the embedding alone, by scheme."""
    model = _decoder(name)
    key = model.names["embedding"]
    table, out = model.weights[key], {}
    used = reference.hidden[0].reshape(-1, table.shape[1])
    for scheme in EMBEDDING:
        rounded = prepare(table, Quantizer(scheme), engine()).weight
        first = rounded[reference.tokens]
        h = (first, *reference.hidden[1:])
        loss = measured_loss(model, replace(reference, hidden=h), exact(model)).mean
        error = power(first.reshape(used.shape) - used) / power(used)
        out[scheme] = loss, error
    return out


def _decoder(name: str) -> Decoder:
    model = settings.loaded(name)
    if not isinstance(model, Decoder):
        raise SystemExit(f"{name} has no head")
    return model


def _head_input(model: Decoder, reference: Reference) -> Floats:
    """Normed hidden states before the head (positions, width)."""
    plain = exact(model)
    last = model.layer(model.layers - 1, reference.hidden[-1], plain, lambda _, k, v: (k, v))
    flat = last.reshape(-1, last.shape[-1])
    return np.ascontiguousarray(model.normed(flat))


def _divergence(prepared: Prepared, rows: slice, logits: Floats) -> Doubles:
    return divergence(prepared.probabilities[rows], prepared.logits[rows], logits)
