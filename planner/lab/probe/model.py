"""What a model must offer to be probed, and the parts its families share.

A forward pass is written once, for numpy arrays and for traced ones
(:mod:`planner.lab.probe.tape`): ``xp`` has the functions it calls. Hidden states are (chunks,
tokens, width).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Tokens = npt.NDArray[np.int64]
Linear = Callable[[str, Any], Any]
"""(unit id, inputs (…, inputs)) → outputs (…, outputs)."""
CacheHook = Callable[[int, Any, Any], tuple[Any, Any]]
"""(layer, keys after RoPE, values), each (chunks, heads, tokens, width) → the same, as stored."""


@dataclass(frozen=True, slots=True)
class LinearUnit:
    """One linear layer: ``id`` is the name of its stored weight, ``shares_input`` of a group."""

    id: str
    kind: str
    layer: int
    outputs: int
    inputs: int
    group: str

    @property
    def parameters(self) -> int:
        return self.outputs * self.inputs


@dataclass(frozen=True, slots=True)
class Loss:
    """Loss by chunk of text and share of flipped top-1 tokens by chunk (None: no tokens)."""

    by_chunk: Doubles
    flips_by_chunk: Doubles | None

    @property
    def mean(self) -> float:
        return float(self.by_chunk.mean())

    @property
    def flips(self) -> float | None:
        return None if self.flips_by_chunk is None else float(self.flips_by_chunk.mean())


class ProbeModel(Protocol):
    """A model that runs layer by layer."""

    @property
    def units(self) -> tuple[LinearUnit, ...]: ...
    @property
    def layers(self) -> int: ...
    @property
    def loss_name(self) -> str: ...
    def loss_samples(self, tokens: Tokens) -> int:
        """What the loss of ``tokens`` [chunks, length] is a mean over: positions or chunks."""
        ...

    def weight(self, unit: str) -> Any: ...
    def embed(self, tokens: Any) -> Any: ...
    def layer(self, index: int, h: Any, run: Linear, cache: CacheHook) -> Any: ...
    def output(self, h: Any) -> Any: ...
    def prepare(self, h: Floats) -> Any:
        """What ``loss`` needs of the unchanged model, from its last hidden state [positions,
        features]."""
        ...

    def loss(self, prepared: Any, h: Floats) -> Loss:
        """Loss of last hidden states ``h`` [positions, features] against the unchanged model."""
        ...

    def sampled_gradient(self, output: Floats, rng: np.random.Generator) -> Floats:
        """The gradient, of the shape of ``output``, of a drawn score whose squared gradient has
        the loss's curvature as expectation."""
        ...

    def traced(self) -> ProbeModel:
        """The same model, noting what it does for gradients."""
        ...


def exact(model: ProbeModel) -> Linear:
    """Linear layers as they are."""

    def run(unit: str, x: Any) -> Any:
        return x @ model.weight(unit).T

    return run


def as_is(layer: int, k: Any, v: Any) -> tuple[Any, Any]:
    """A cache that changes nothing."""
    return k, v


def softmax(xp: Any, x: Any) -> Any:
    """Over the last axis."""
    weights = xp.exp(x - xp.amax(x, axis=-1, keepdims=True))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def attend(xp: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
    """softmax(q·kᵀ/√d + mask)·v; q (chunks, kv heads, group, tokens, width), k and v with one
    head fewer axis."""
    logits = q @ xp.swapaxes(k[:, :, None], -1, -2) * (q.shape[-1] ** -0.5)
    return softmax(xp, logits + mask) @ v[:, :, None]


def split_heads(xp: Any, x: Any, heads: int) -> Any:
    """(chunks, tokens, heads · width) → (chunks, heads, tokens, width)."""
    return xp.swapaxes(x.reshape(*x.shape[:2], heads, -1), 1, 2)


def causal_mask(xp: Any, tokens: int) -> Any:
    """0 where a key is not later than the query, else a large negative number."""
    return xp.asarray(np.triu(np.full((tokens, tokens), -1e30, np.float32), 1))
