"""A BERT-type encoder whose answer is a sentence embedding: the mean of its last hidden states.

Loss: mean over chunks of 1 − cosine of the embeddings with and without the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from planner.lab.probe.model import (
    CacheHook,
    Doubles,
    Floats,
    Linear,
    LinearUnit,
    Loss,
    Tokens,
    attend,
    split_heads,
)
from planner.lab.probe.tape import TAPE

_ROLES = {
    "attention.self.query": ("attention-qkv", "qkv"),
    "attention.self.key": ("attention-qkv", "qkv"),
    "attention.self.value": ("attention-qkv", "qkv"),
    "attention.output.dense": ("attention-out", "o"),
    "intermediate.dense": ("mlp-gate-up", "up"),
    "output.dense": ("mlp-down", "down"),
}


@dataclass(frozen=True)
class Encoder:
    """Weights by their names in the checkpoint; every chunk is full, without padding."""

    layers: int
    heads: int
    norm_epsilon: float
    weights: Mapping[str, Any]
    xp: Any = field(default=np)

    loss_name = "mean 1 − cosine of sentence embeddings"

    @cached_property
    def units(self) -> tuple[LinearUnit, ...]:
        out = []
        for layer in range(self.layers):
            for role, (kind, group) in _ROLES.items():
                id = f"encoder.layer.{layer}.{role}.weight"
                rows, columns = self.weights[id].shape
                out.append(LinearUnit(id, kind, layer, rows, columns, f"{layer}/{group}"))
        return tuple(out)

    def loss_samples(self, tokens: Tokens) -> int:
        return len(tokens)

    def weight(self, unit: str) -> Any:
        return self.weights[unit]

    def embed(self, tokens: Any) -> Any:
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][tokens]
        x = x + w["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        return self._norm(
            x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm"
        )

    def layer(self, index: int, h: Any, run: Linear, cache: CacheHook) -> Any:
        """Self-attention and MLP, each added to its input and normalised after."""
        xp, at = self.xp, f"encoder.layer.{index}."

        def linear(role: str, x: Any) -> Any:
            return run(f"{at}{role}.weight", x) + self.weights[f"{at}{role}.bias"]

        q, k, v = (
            split_heads(xp, linear(f"attention.self.{r}", h), self.heads)
            for r in ("query", "key", "value")
        )
        k, v = cache(index, k, v)
        mixed = attend(xp, q[:, :, None], k, v, 0.0)[:, :, 0]
        joined = xp.swapaxes(mixed, 1, 2).reshape(*h.shape[:2], -1)
        h = self._norm(
            h + linear("attention.output.dense", joined), at + "attention.output.LayerNorm"
        )
        wide = linear("intermediate.dense", h)
        active = wide * 0.5 * (1 + error_function(xp, wide * 0.5**0.5))
        return self._norm(h + linear("output.dense", active), at + "output.LayerNorm")

    def output(self, h: Any) -> Any:
        """Sentence embeddings (chunks, width), of length 1."""
        pooled = self.xp.mean(h, axis=1)
        return pooled / self.xp.sqrt(self.xp.sum(pooled * pooled, axis=-1, keepdims=True))

    def prepare(self, h: Floats) -> Doubles:
        out: Doubles = self.output(h.astype(np.float64))
        return out

    def loss(self, prepared: Doubles, h: Floats) -> Loss:
        """1 − cosine = ½‖difference‖² of unit vectors, which keeps small losses."""
        difference = self.output(h.astype(np.float64)) - prepared
        return Loss(0.5 * np.sum(difference * difference, axis=-1), None)

    def sampled_gradient(self, output: Floats, rng: np.random.Generator) -> Floats:
        """Of embeddings along random normal directions: E[gradient²] is JᵀJ, the curvature of
        1 − cosine, since embeddings have length 1."""
        return rng.standard_normal(output.shape).astype(np.float32)

    def traced(self) -> Encoder:
        return replace(self, xp=TAPE)

    def _norm(self, x: Any, name: str) -> Any:
        centred = x - self.xp.mean(x, axis=-1, keepdims=True)
        power = self.xp.mean(centred * centred, axis=-1, keepdims=True)
        scaled = centred / self.xp.sqrt(power + self.norm_epsilon)
        return scaled * self.weights[name + ".weight"] + self.weights[name + ".bias"]


def error_function(xp: Any, x: Any) -> Any:
    """erf to 1.5e-7. Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26."""
    size = xp.abs(x)
    t = 1 / (1 + 0.3275911 * size)
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    return xp.sign(x) * (1 - series * xp.exp(-size * size))
