"""A LLaMA-type decoder: RMSNorm, rotary positions, grouped queries, SwiGLU.

Loss: mean over all positions of KL(reference ‖ changed) of the next-token distributions [nats].
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
    causal_mask,
    softmax,
    split_heads,
)
from planner.lab.probe.tape import TAPE

_BLOCK = 64  # rows of logits at a time: 64 × 49,152 floats stay near the cache
ROLES = ("q", "k", "v", "o", "gate", "up", "down")
_KINDS = {"q": "attention-qkv", "k": "attention-qkv", "v": "attention-qkv", "o": "attention-out",
          "gate": "mlp-gate-up", "up": "mlp-gate-up", "down": "mlp-down"}  # fmt: skip
_GROUPS = {"q": "qkv", "k": "qkv", "v": "qkv", "o": "o", "gate": "gate-up", "up": "gate-up",
           "down": "down"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Sizes. ``interleaved``: rotary pairs are neighbours (GGUF), else half a head apart."""

    layers: int
    heads: int
    kv_heads: int
    head_width: int
    rope_base: float
    norm_epsilon: float
    interleaved: bool


@dataclass(frozen=True)
class Prepared:
    """The unchanged model's logits and probabilities, (positions, vocabulary)."""

    logits: Floats
    probabilities: Floats
    top: Any
    chunks: int


@dataclass(frozen=True)
class Decoder:
    """Weights by stored name; ``names[role]`` is a template over the layer.

    Optional roles: q_bias, k_bias, v_bias (Qwen2), q_norm, k_norm (Qwen3).
    """

    shape: DecoderShape
    names: Mapping[str, str]
    weights: Mapping[str, Any]
    xp: Any = field(default=np)

    loss_name = "mean KL of next-token distributions, all positions [nats]"

    @property
    def layers(self) -> int:
        return self.shape.layers

    @cached_property
    def units(self) -> tuple[LinearUnit, ...]:
        out = []
        for layer in range(self.shape.layers):
            for role in ROLES:
                id = self.names[role].format(layer)
                rows, columns = self.weights[id].shape
                group = f"{layer}/{_GROUPS[role]}"
                out.append(LinearUnit(id, _KINDS[role], layer, rows, columns, group))
        return tuple(out)

    def loss_samples(self, tokens: Tokens) -> int:
        return tokens.size

    def weight(self, unit: str) -> Any:
        return self.weights[unit]

    def embed(self, tokens: Any) -> Any:
        return self.weights[self.names["embedding"]][tokens]

    def layer(self, index: int, h: Any, run: Linear, cache: CacheHook) -> Any:
        """One block: attention, then the gated MLP, each added to the residual stream."""
        s, xp = self.shape, self.xp
        x = self._norm(h, "attention_norm", index)
        q, k, v = (self._biased(run(self._name(r, index), x), r, index) for r in "qkv")
        q = self._head_norm(split_heads(xp, q, s.heads), "q_norm", index)
        k = self._head_norm(split_heads(xp, k, s.kv_heads), "k_norm", index)
        k, v = cache(index, self._rotate(k), split_heads(xp, v, s.kv_heads))
        q = self._rotate(q).reshape(q.shape[0], s.kv_heads, -1, *q.shape[2:])
        mixed = attend(xp, q, k, v, causal_mask(xp, h.shape[1]))
        mixed = mixed.reshape(h.shape[0], s.heads, h.shape[1], s.head_width)
        h = h + run(self._name("o", index), xp.swapaxes(mixed, 1, 2).reshape(*h.shape[:2], -1))
        x = self._norm(h, "mlp_norm", index)
        gate = run(self._name("gate", index), x)
        gated = gate / (1 + xp.exp(-gate)) * run(self._name("up", index), x)
        return h + run(self._name("down", index), gated)

    def output(self, h: Any) -> Any:
        """Logits (…, vocabulary)."""
        return self.normed(h) @ self.weights[self.names["head"]].T

    def normed(self, h: Any) -> Any:
        """What the head multiplies, from the last hidden state."""
        return self._norm(h, "output_norm", 0)

    def prepare(self, h: Floats) -> Prepared:
        flat = h.reshape(-1, h.shape[-1])
        logits: Floats = np.concatenate(
            [self.output(flat[i : i + _BLOCK]) for i in range(0, len(flat), _BLOCK)]
        )
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return Prepared(logits, p, logits.argmax(axis=1), h.shape[0])

    def loss(self, prepared: Prepared, h: Floats) -> Loss:
        flat = h.reshape(-1, h.shape[-1])
        kl, flips = np.empty(len(flat)), np.empty(len(flat))
        for i in range(0, len(flat), _BLOCK):
            rows = slice(i, i + _BLOCK)
            logits = self.output(flat[rows])
            kl[rows] = divergence(prepared.probabilities[rows], prepared.logits[rows], logits)
            flips[rows] = logits.argmax(axis=1) != prepared.top[rows]
        by_chunk = (v.reshape(prepared.chunks, -1).mean(axis=1) for v in (kl, flips))
        return Loss(*by_chunk)

    def sampled_gradient(self, output: Floats, rng: np.random.Generator) -> Floats:
        """Of Σ log p(y) over positions, y drawn from the model itself: E[gradient²] is the Fisher
        information, the curvature of KL."""
        p = softmax(np, output.reshape(-1, output.shape[-1]))
        edges = np.cumsum(p, axis=1, dtype=np.float64)
        drawn = (edges < (rng.random(len(edges)) * edges[:, -1])[:, None]).sum(axis=1)
        gradient: Floats = -p
        gradient[np.arange(len(drawn)), drawn] += 1
        return gradient.reshape(output.shape)

    def traced(self) -> Decoder:
        return replace(self, xp=TAPE)

    def _name(self, role: str, index: int) -> str:
        return self.names[role].format(index)

    def _norm(self, x: Any, role: str, index: int) -> Any:
        size = self.xp.sqrt(self.xp.mean(x * x, axis=-1, keepdims=True) + self.shape.norm_epsilon)
        return x / size * self.weights[self._name(role, index)]

    def _biased(self, y: Any, role: str, index: int) -> Any:
        name = f"{role}_bias"
        return y + self.weights[self._name(name, index)] if name in self.names else y

    def _head_norm(self, x: Any, role: str, index: int) -> Any:
        return self._norm(x, role, index) if role in self.names else x

    def _rotate(self, x: Any) -> Any:
        """Rotary positions over (…, tokens, width)."""
        cos, sin = self._angles(x.shape[-2])
        half = x.shape[-1] // 2
        if self.shape.interleaved:
            a, b = x[..., 0::2], x[..., 1::2]
            turned = self.xp.stack((a * cos - b * sin, a * sin + b * cos), -1)
            return turned.reshape(x.shape)
        a, b = x[..., :half], x[..., half:]
        return self.xp.concatenate((a * cos - b * sin, a * sin + b * cos), -1)

    def _angles(self, tokens: int) -> tuple[Any, Any]:
        width = self.shape.head_width
        rates = self.shape.rope_base ** (-np.arange(0, width, 2) / width)
        angles = np.arange(tokens)[:, None] * rates
        return (
            self.xp.asarray(np.cos(angles).astype(np.float32)),
            self.xp.asarray(np.sin(angles).astype(np.float32)),
        )


def divergence(p: Floats, reference: Floats, logits: Floats) -> Doubles:
    """KL(p ‖ softmax(logits)) by row [nats], p = softmax(reference), both (rows, vocabulary).

    With x = logits − reference and m = Σ p·x: KL = log(1 + Σ p·(exp(x − m) − 1)), which keeps
    small divergences that a difference of log-likelihoods would lose to rounding.
    """
    x = logits - reference
    x -= np.einsum("ij,ij->i", p, x)[:, None]
    np.exp(x, out=x)
    x -= 1
    kl: Doubles = np.log1p(np.einsum("ij,ij->i", p, x).astype(np.float64))
    return np.maximum(kl, 0.0)
