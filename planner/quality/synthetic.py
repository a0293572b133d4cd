"""Seeded synthetic weights, activations and caches, by module kind.

Everything is made from raw PCG64 integers with + - × ÷ and square roots, which IEEE 754 fixes, so
that a seed gives the same tensors on every machine. Statistics rest on public measurements:
weights and activations follow a Student t with about 5 degrees of freedom over 30 networks
(arXiv:2405.03103); about 0.1 % of the input channels of linear layers hold far larger values, and
hold them in every token (LLM.int8, arXiv:2208.07339). The kurtosis of each input,
E z⁴ / (E z²)², is the median over layers measured on SmolLM2-135M-Instruct.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

DEGREES_OF_FREEDOM = 5
T_KURTOSIS = 9.0  # of a Student t with 5 degrees of freedom
OUTLIER_SHARE = 0.001  # of input channels
JITTER = 0.25  # variation of an outlier channel between tokens, relative
WEIGHT_STD = 0.02
SPREAD = (0.5, 1.5)  # scale of a token, and of a weight row: uniform in between
TOKENS = 64


@dataclass(frozen=True, slots=True)
class LinearKind:
    """One linear layer: ``inputs`` → ``outputs``.

    ``gated`` inputs are products of two heavy-tailed factors, as behind SwiGLU. ``kurtosis`` of the
    input decides the magnitude of its outlier channels, None for no such channels; ``measured``
    says whether it was measured for this kind or taken from the nearest one.
    """

    inputs: int
    outputs: int
    gated: bool
    kurtosis: float | None
    measured: bool


# Kinds behind the same norm share a kurtosis. Maxima of mixture-of-experts models are 14 to 23
# times below dense ones (arXiv:2605.15572): no outlier channels between the two expert matrices.
LINEAR_KINDS: Mapping[str, LinearKind] = MappingProxyType({
    "attention-qkv": LinearKind(1024, 256, False, 156, True),
    "mla-q": LinearKind(1024, 256, False, 156, False),
    "mla-kv": LinearKind(1024, 256, False, 156, False),
    "attention-out": LinearKind(1024, 256, False, 16, True),
    "linear-attention": LinearKind(1024, 256, False, 156, False),
    "mlp-gate-up": LinearKind(1024, 256, False, 33, True),
    "mlp-down": LinearKind(1536, 256, True, 139, True),
    "experts-gate-up": LinearKind(1024, 256, False, 33, False),
    "experts-down": LinearKind(512, 256, True, None, False),
    "shared-gate-up": LinearKind(1024, 256, False, 33, False),
    "shared-down": LinearKind(512, 256, True, 139, False),
})  # fmt: skip

# Kinds that named rules keep as released; planner/quality/rule_errors.py says what their error is.
RULE_KINDS: Mapping[str, LinearKind] = MappingProxyType({
    "embedding": LinearKind(1024, 256, False, None, False),
    "indexer": LinearKind(1024, 8 * 65 + 64, False, 156, False),
    "router": LinearKind(1024, 256, False, 33, False),
    "norm": LinearKind(1024, 1, False, None, False),
    "head": LinearKind(1024, 256, False, 156, False),
})  # fmt: skip


def outlier_channels(spec: LinearKind) -> int:
    """How many input channels of a kind are outliers."""
    return 0 if spec.kurtosis is None else max(1, round(OUTLIER_SHARE * spec.inputs))


def outlier_magnitude(spec: LinearKind) -> float:
    """m such that a share p of channels at ±m(1 + JITTER·t) gives the input its kurtosis κ.

    With base kurtosis b (9 for t5, 81 for a product of two) and c = E(1 + JITTER·t)⁴ solves
    (b + c·p·m⁴) = κ·(1 + p·m²)² for m.
    """
    if spec.kurtosis is None:
        return 1.0
    p, kappa = outlier_channels(spec) / spec.inputs, spec.kurtosis
    base = T_KURTOSIS * T_KURTOSIS if spec.gated else T_KURTOSIS
    fourth = 1 + 6 * JITTER**2 + T_KURTOSIS * JITTER**4
    lead = fourth * p - kappa * p * p
    half = kappa * p
    return sqrt((half + sqrt(half * half + lead * (kappa - base))) / lead)


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Synthetic attention: ``heads`` of ``width`` (+ ``rope``) over ``tokens``, some ``queries``.

    ``key_outliers`` channels of a head hold ``key_magnitude`` in every token, as keys do and values
    do not (KIVI, arXiv:2402.02750). ``logit_std`` is the spread of attention logits; it decides how
    much key errors weigh against value errors, about its square.
    """

    heads: int = 4
    width: int = 64
    rope: int = 64
    latent: int = 512
    tokens: int = 256
    queries: int = 64
    key_outliers: int = 3
    key_magnitude: float = 6.0
    logit_std: float = 3.0


CACHE = CacheShape()


class Draws:
    """A stream of raw PCG64 integers for one (seed, label); the only source of randomness here."""

    def __init__(self, seed: int, label: str) -> None:
        entropy = [seed, *label.encode("utf-8")]
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))

    def integers(self, count: int) -> npt.NDArray[np.int64]:
        """``count`` integers below 2^16."""
        return self._words(count).astype(np.int64)

    def _words(self, count: int) -> npt.NDArray[np.uint16]:
        raw = np.asarray(self._bits.random_raw(-(-count // 4)), dtype="<u8")
        return raw.view("<u2")[:count]

    def normal(self, count: int, terms: int = 8) -> Array:
        """Nearly normal, unit variance: the sum of ``terms`` uniform integers."""
        words = self._words(count * terms).reshape(count, terms)
        total: npt.NDArray[np.int64] = words[:, 0].astype(np.int64)
        for term in range(1, terms):  # faster than a sum along a short axis
            total += words[:, term]
        return np.asarray(total - terms * 32767.5, np.float64) / (65536 * sqrt(terms / 12))

    def student(self, *shape: int) -> Array:
        """Student t of DEGREES_OF_FREEDOM, scaled to unit variance."""
        count = int(np.prod(shape))
        squares = np.zeros(count)
        for _ in range(DEGREES_OF_FREEDOM):
            z = self.normal(count, terms=4)
            squares += z * z
        nu = DEGREES_OF_FREEDOM
        chi: Array = np.sqrt(squares / nu)
        return (self.normal(count) / chi * sqrt((nu - 2) / nu)).reshape(shape)

    def spread(self, count: int) -> Array:
        """Scales, uniform over SPREAD."""
        low, high = SPREAD
        scales: Array = low + (high - low) * (self.integers(count) / 65536)
        return scales

    def signs(self, count: int) -> Array:
        """±1."""
        signs: Array = 1.0 - 2.0 * (self.integers(count) & 1).astype(np.float64)
        return signs

    def choose(self, count: int, below: int) -> npt.NDArray[np.intp]:
        """``count`` different positions below ``below``."""
        return np.argsort(self.integers(below), kind="stable")[:count]


def linear_kind(kind: str, inputs: int | None = None, outputs: int | None = None) -> LinearKind:
    """The statistics of a module kind, on its own shape or on the one given."""
    spec = LINEAR_KINDS[kind]
    return replace(spec, inputs=inputs or spec.inputs, outputs=outputs or spec.outputs)


def _kind(kind: str) -> LinearKind:
    return LINEAR_KINDS[kind] if kind in LINEAR_KINDS else RULE_KINDS[kind]


def weights(kind: str, seed: int, spec: LinearKind | None = None) -> npt.NDArray[np.float32]:
    """(outputs, inputs) float32 weights of a module kind; ``spec`` sets another shape."""
    spec, draws = spec or _kind(kind), Draws(seed, f"weights/{kind}")
    rows = draws.spread(spec.outputs)[:, None]
    matrix = draws.student(spec.outputs, spec.inputs) * rows * WEIGHT_STD
    return matrix.astype(np.float32)


def activations(
    kind: str, seed: int, spec: LinearKind | None = None, *, tokens: int = TOKENS
) -> npt.NDArray[np.float32]:
    """(tokens, inputs) float32 inputs of a module kind; ``spec`` sets another shape."""
    spec, draws = spec or _kind(kind), Draws(seed, f"activations/{kind}")
    x = draws.student(tokens, spec.inputs)
    if spec.gated:
        x = x * draws.student(tokens, spec.inputs)
    where = draws.choose(outlier_channels(spec), spec.inputs)
    steady = 1 + JITTER * draws.student(tokens, where.size)
    x[:, where] = draws.signs(where.size) * outlier_magnitude(spec) * steady
    return (x * draws.spread(tokens)[:, None]).astype(np.float32)


def keys(seed: int, shape: CacheShape = CACHE) -> Array:
    """(heads, tokens, width) keys with steady outlier channels in each head."""
    draws = Draws(seed, "keys")
    k = draws.student(shape.heads, shape.tokens, shape.width)
    for head in range(shape.heads):
        where = draws.choose(shape.key_outliers, shape.width)
        steady = shape.key_magnitude * (1 + JITTER * k[head][:, where])
        k[head][:, where] = steady * draws.signs(shape.key_outliers)
    return k


def values(seed: int, shape: CacheShape = CACHE) -> Array:
    """(heads, tokens, width) values without outlier channels."""
    return Draws(seed, "values").student(shape.heads, shape.tokens, shape.width)


def latents(seed: int, shape: CacheShape = CACHE) -> Array:
    """(tokens, latent + rope): a normed latent without outlier channels, and rope keys as keys."""
    draws = Draws(seed, "latents")
    width = shape.latent + shape.rope
    c = draws.student(shape.tokens, width)
    where = shape.latent + draws.choose(shape.key_outliers, shape.rope)
    c[:, where] = shape.key_magnitude * (1 + JITTER * c[:, where])
    return c


def queries(seed: int, label: str, heads: int, count: int, width: int) -> Array:
    """(heads, count, width) queries of unit variance."""
    return (
        Draws(seed, f"queries/{label}").normal(heads * count * width).reshape(heads, count, width)
    )
