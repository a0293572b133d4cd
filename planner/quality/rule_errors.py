"""What a number format does to the kinds that named rules keep as released.

An error table needs one figure for each kind and scheme: the relative error power of what the
module hands on. For the head that is its product, as for any linear layer. The others are:

- embedding: its rows, which are looked up and multiply nothing;
- norm: its gains;
- router: the shares that a token gives to the experts. Logits of unit deviation, each expert's
  mean taken off (loads are balanced), the best 8 of 256 taken, sigmoids normalised among them, as
  DeepSeek-V3 does (arXiv:2412.19437 section 2.1.2). Experts' outputs count as independent and
  alike, so that a changed choice costs both shares.
- indexer: the attention output over the tokens it picks, 1 of 8 here. Index scores
  Σ_h w_h·ReLU(q_h·k) of 8 heads of 64 stand for attention logits, which they are trained to follow
  (DeepSeek-V3.2), at the spread that caches are judged at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from planner.formats.spec import Scheme
from planner.quality.synthetic import CACHE, Array, Draws

Floats = npt.NDArray[np.float32]
Result = Callable[[Floats | Array, Floats | Array], Array]
"""(inputs, weights) → what the module hands on."""
CHOSEN = 8
INDEX_HEADS, INDEX_WIDTH = 8, 64
INDEX_SHARE = 8
"""One token of so many is picked."""
INDEX_QUERIES = 64
TOKENS: Mapping[str, int] = MappingProxyType({"router": 512, "indexer": 256})
"""Tokens of kinds whose error is a matter of few choices; others take the usual number."""
WEIGHTS_ALONE = ("embedding", "norm")


def applies(kind: str, scheme: Scheme) -> bool:
    """Whether a scheme can mean anything for a kind: a lookup reads weights and multiplies nothing,
    a norm has no kernel in other than plain types."""
    if kind == "norm":
        return scheme.weight.scale is None and scheme.activation.scale is None
    if kind == "embedding":
        return scheme.activation.scale is None or scheme.weight.block_bytes is not None
    return True


def result_of(kind: str, x: Floats, w: Floats, seed: int) -> Result:
    """What a module of ``kind`` hands on; ``x`` and ``w`` unchanged set what is held fixed."""
    if kind in WEIGHTS_ALONE:
        return lambda _, weights: np.asarray(weights, dtype=np.float64)
    if kind == "router":
        logits = _product(x, w)
        mean = logits.mean(axis=0)
        scale = float((logits - mean).std())
        return lambda inputs, weights: shares_of((_product(inputs, weights) - mean) / scale)
    if kind == "indexer":
        scores = _index_scores(_product(x, w))
        values = Draws(seed, "indexer/values").student(len(x), INDEX_WIDTH)
        probabilities = _softmax(scores * (CACHE.logit_std / float(scores.std())))
        return lambda inputs, weights: _attended(
            probabilities, values, _index_scores(_product(inputs, weights))
        )
    return _product


def shares_of(logits: Array) -> Array:
    """Shares [T, E] of the chosen experts, normalised sigmoids, 0 for the others."""
    chosen = np.argsort(-logits, axis=1, kind="stable")[:, :CHOSEN]
    gates = np.zeros_like(logits)
    picked = 1.0 / (1.0 + np.exp(-np.take_along_axis(logits, chosen, axis=1)))
    np.put_along_axis(gates, chosen, picked / picked.sum(axis=1, keepdims=True), axis=1)
    return gates


def _index_scores(projected: Array) -> Array:
    """Scores (queries, tokens) of the last tokens from their projections (tokens, q · k · w)."""
    heads, width = INDEX_HEADS, INDEX_WIDTH
    q = projected[-INDEX_QUERIES:, : heads * width].reshape(-1, heads, width)
    k = projected[:, heads * width : (heads + 1) * width]
    weights = projected[-INDEX_QUERIES:, (heads + 1) * width :]
    products = np.maximum(np.einsum("qhd,td->qht", q, k), 0.0)
    return np.asarray(np.einsum("qh,qht->qt", weights, products))


def _attended(probabilities: Array, values: Array, scores: Array) -> Array:
    """Output over the tokens with the highest ``scores``, at the unchanged probabilities."""
    keep = scores.shape[1] // INDEX_SHARE
    picked = np.argsort(-scores, axis=1, kind="stable")[:, :keep]
    attended = np.zeros_like(probabilities)
    np.put_along_axis(attended, picked, np.take_along_axis(probabilities, picked, axis=1), axis=1)
    result: Array = (attended / attended.sum(axis=1, keepdims=True)) @ values
    return result


def _softmax(x: Array) -> Array:
    weights = np.exp(x - x.max(axis=1, keepdims=True))
    result: Array = weights / weights.sum(axis=1, keepdims=True)
    return result


def _product(x: Floats | Array, w: Floats | Array) -> Array:
    return x.astype(np.float64, copy=False) @ w.astype(np.float64, copy=False).T
