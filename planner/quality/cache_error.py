"""Error of the attention output when keys, values or an MLA latent are kept in a cache layout.

    e = ‖softmax(q·k̂ᵀ)·v̂ − softmax(q·kᵀ)·v‖² / ‖softmax(q·kᵀ)·v‖²,  causal, keys after RoPE

with keys alone or values alone quantised. Scales per token cover the vector of one token and head,
scales per channel a group of tokens of one channel. For MLA the latent and the rope part are
measured apart and together; they are decided as one unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError
from planner.formats.kv import KV_LAYOUTS, kv_layout
from planner.formats.spec import KvLayout
from planner.numerics import quantize

Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CacheErrors:
    """Relative error powers by kind and layout; ``parts[kind][part][layout]`` for a latent."""

    error: dict[str, dict[str, float]]
    parts: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)


def head_errors(
    q: Singles, k: Singles, v: Singles, *, scale: float, layouts: Iterable[str] = tuple(KV_LAYOUTS)
) -> CacheErrors:
    """Errors of kv-k and kv-v.

    Args:
        q: (heads, tokens, width) queries after RoPE; k, v: (kv heads, tokens, width).
        scale: factor of the logits, such as width^-½.
        layouts: those in ggml's blocks are left out where their 32 do not divide the width.
    Raises:
        InputError: shapes that do not belong together.
    """
    if (
        q.ndim != 3
        or k.ndim != 3
        or k.shape[:2] != v.shape[:2]
        or q.shape[1] != k.shape[1]
        or q.shape[0] % k.shape[0]
    ):
        raise InputError(
            f"queries {q.shape}, keys {k.shape}, values {v.shape} do not fit",
            hint="q is (heads, tokens, width), k and v are (kv heads, tokens, width)",
        )
    k, v = _stored(k, kv_layout("bf16")), _stored(v, kv_layout("bf16"))
    exact = _attend(q, k, v, scale)
    error: dict[str, dict[str, float]] = {"kv-k": {}, "kv-v": {}}
    for name in layouts:
        layout = kv_layout(name)
        if not _fills(layout, k.shape[-1]):
            continue
        if "kv-k" in layout.applies_to:
            error["kv-k"][layout.id] = _relative(exact, _attend(q, _stored(k, layout), v, scale))
        if "kv-v" in layout.applies_to:
            error["kv-v"][layout.id] = _relative(exact, _attend(q, k, _stored(v, layout), scale))
    return CacheErrors(error)


def latent_errors(
    q_latent: Singles,
    q_rope: Singles,
    latent: Singles,
    rope: Singles,
    *,
    scale: float,
    layouts: Iterable[str] = tuple(KV_LAYOUTS),
) -> CacheErrors:
    """Errors of kv-latent: both parts as the layout keeps them, and each part alone.

    Args:
        q_latent: (heads, tokens, latent) absorbed queries; q_rope: (heads, tokens, rope).
        latent: (tokens, latent), the normed compressed entries; rope: (tokens, rope), after RoPE.
        scale: factor of the logits.

    Raises:
        InputError: shapes that do not fit together.
    """
    if (
        q_latent.shape[2:] != latent.shape[1:]
        or q_rope.shape[2:] != rope.shape[1:]
        or latent.shape[0] != rope.shape[0]
    ):
        raise InputError(
            f"queries {q_latent.shape} + {q_rope.shape}, entries {latent.shape} + "
            f"{rope.shape} do not fit",
            hint="q_latent and q_rope are (heads, tokens, …), latent and rope (tokens, …)",
        )
    plain = kv_layout("bf16")
    c, r = _stored(latent[None], plain), _stored(rope[None], plain)
    q = np.concatenate([q_latent, q_rope], axis=2)

    def output(c_hat: Singles, r_hat: Singles) -> Doubles:
        return _attend(q, np.concatenate([c_hat, r_hat], axis=2), c_hat, scale)

    exact = output(c, r)
    both: dict[str, float] = {}
    parts: dict[str, dict[str, float]] = {"latent": {}, "rope": {}}
    for name in layouts:
        layout = kv_layout(name)
        if "kv-latent" not in layout.applies_to:
            continue
        c_hat = _stored(c, layout)
        r_hat = _stored(r, kv_layout(layout.rope_element) if layout.rope_element else layout)
        both[layout.id] = _relative(exact, output(c_hat, r_hat))
        parts["latent"][layout.id] = _relative(exact, output(c_hat, r))
        parts["rope"][layout.id] = _relative(exact, output(c, r_hat))
    return CacheErrors({"kv-latent": both}, {"kv-latent": parts})


def _fills(layout: KvLayout, width: int) -> bool:
    """Whether the vector of one head is whole blocks: those of ggml lie within it."""
    if layout.block_bytes is None or layout.scale is None:
        return True
    return width % layout.scale.block_columns == 0


def _stored(x: Singles, layout: KvLayout) -> Singles:
    """(heads, tokens, width) as a cache of ``layout`` returns it; a scale never spans two heads,
    except one over the whole layer."""
    fmt = layout.stored
    if layout.scale is not None and layout.scale.block_rows > 1:
        return np.stack([quantize(np.ascontiguousarray(head), fmt).dequantize() for head in x])
    flat = np.ascontiguousarray(x, dtype=np.float32).reshape(-1, x.shape[-1])
    return quantize(flat, fmt).dequantize().reshape(x.shape)


def _attend(q: Singles, k: Singles, v: Singles, scale: float) -> Doubles:
    """Causal attention in float64; query heads share key heads in runs."""
    shared = q.shape[0] // k.shape[0]
    keys, values = (np.repeat(x.astype(np.float64), shared, axis=0) for x in (k, v))
    logits = q.astype(np.float64) @ keys.swapaxes(1, 2) * scale
    tokens = q.shape[1]
    logits = np.where(np.tri(tokens, dtype=bool), logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.asarray(weights @ values / weights.sum(axis=2, keepdims=True))


def _relative(exact: Doubles, other: Doubles) -> float:
    power = float(np.sum(exact * exact))
    if power == 0:
        raise InputError(
            "the attention output is zero",
            hint="pass values of a real forward pass: these are all 0",
        )
    return float(np.sum((other - exact) ** 2)) / power
