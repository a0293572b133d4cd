"""Causal prefill attention with a calibrated kernel: grouped or multi-head, full or windowed.

    per   = 4·d/(compute·P)·width(d) + 1/(exp·X)                     seconds of a (query, key) pair
    p(w)  = S·(S + 128)/2;  with a window of w:  S·V − V·(V − 128)/2,  V = w + 2 tiles,  if V < S
    pairs = p(w) + (window − 1)·p(min(w, 128))[w > 0]
    work  = b·h·pairs·per + tile·b·h·⌈S/128⌉/N
    last  = tail·128·(keys of the last tile, counted as pairs are)·per·N
    t     = floor + B/(memory·W)·(φ + (1 − φ)/cached) + (work² + last²)^½

P dense peak, X exponentials a second, W bandwidth, N multiprocessors, d head width; ``width`` is
narrow for d ≤ 64, wide for d ≥ 256, odd for what is no power of two between: kernels are written
for few widths. φ is the share of B that L2 does not hold: the products before have just written it.
The softmax exponential follows the products of its tile, so both times add. A tile of 128 queries
has a fixed cost; the longest tile on one multiprocessor bounds the makespan. Tiles at the border of
a window are masked: they cost ``window`` times a plain one; what a longer window adds is plain. B:
queries, keys, values and results read and written and the cache written, or, where ``scatter`` is
1, the slow scatter of keys and values into a paged cache alone (vLLM), B = b·S·hkv^0.7·(d·(4 +
2·kv) + 400): few heads of a token leave its block of threads idle.

Parameters carry their unit behind the name used here.
Source of the mechanisms: fits of this project to the attention tables of aiconfigurator-core
0.12.0, groups of (heads, KV heads, head width) held out; FlashAttention-3 (arXiv:2407.08608) for
the exponential as a limit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.throughput.forms.base import (
    Parameter,
    Parameters,
    cache_miss_share,
    checked_parameters,
)
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]

OPERATOR = "attention-prefill"
TILE = 128.0
WINDOW_TILES = 2.0
MEASURED_WINDOW = 128.0
SCATTER_EXPONENT = 0.7
SCATTER_BYTES = 400.0
WIDE, NARROW = 256.0, 64.0
COMMON = (128.0,)
"""Widths between that kernels are written for."""
L2_SHARE, L2_STEEPNESS = 0.9, 6.0

PARAMETERS = (
    Parameter("floor_seconds", 13e-6, 1e-6, 1e-4, "s", device=True),
    Parameter("compute_fraction", 0.8, 0.05, 1.0, device=True),
    Parameter("exp_fraction", 1.0, 0.1, 10.0, prior=0.5, device=True),
    Parameter("bandwidth_fraction", 0.7, 0.02, 1.5),
    Parameter("tail_factor", 1.0, 0.05, 5.0),
    Parameter("narrow_factor", 1.0, 0.3, 5.0, prior=0.3),
    Parameter("odd_factor", 1.0, 0.3, 5.0, prior=0.3),
    Parameter("wide_factor", 1.1, 0.3, 6.0),
    Parameter("cached_factor", 1.5, 1.0, 8.0, prior=0.5),
    Parameter("tile_seconds", 3e-6, 1e-8, 2e-5, "s"),
    Parameter("window_factor", 1.0, 0.5, 4.0, prior=0.5),
)
STRUCTURE = (
    Parameter("fp8", 0.0, 0.0, 1.0),
    Parameter("scatter", 0.0, 0.0, 1.0),
)
"""What a stack's kernel is, not fitted: products at the FP8 rate; only the cache write moves."""


@record
class PrefillShape:
    """Prompts of one call, arrays that broadcast.

    ``past`` tokens of each sequence are in the cache already; ``kv_bytes`` a cache element;
    ``window`` keys that a query sees, 0 for all.
    """

    batch: Array
    length: Array
    heads: Array
    kv_heads: Array
    head_dim: Array
    kv_bytes: Array
    window: Array | float = 0.0
    past: Array | float = 0.0


def attention_prefill_parts(parameters: Parameters, chip: Chip, shape: PrefillShape) -> Parts:
    """Seconds by mechanism, broadcast shape of ``shape``'s arrays; all prompts are read at once.

    Raises:
        DataError: ``parameters`` are not those of this form.
        UnsupportedError: the device has no unit of the kernel's format.
    """
    p = checked_parameters(parameters, (*PARAMETERS, *STRUCTURE), OPERATOR)
    peak = chip.peak("fp8" if p["fp8"] else "bf16")
    s = shape
    product = 4.0 * s.head_dim / (p["compute_fraction"] * peak) * _width(p, s.head_dim)
    softmax = 1.0 / (p["exp_fraction"] * chip.exp_per_s)
    per = product + softmax
    pairs, longest = tiled_pairs(s.length, s.past, s.window)
    window = np.asarray(s.window, dtype=np.float64)
    if np.any(window > 0):
        masked = np.where(window > 0, p["window_factor"] - 1.0, 0.0)
        border = tiled_pairs(s.length, s.past, np.minimum(window, MEASURED_WINDOW))
        pairs, longest = pairs + masked * border[0], longest + masked * border[1]
    units = s.batch * s.heads
    sms = chip.multiprocessors
    work = units * pairs * per + p["tile_seconds"] * units * np.ceil(s.length / TILE) / sms
    last = p["tail_factor"] * TILE * longest * per * sms
    compute = np.hypot(work, last)
    moved = moved_bytes(s, scatter=bool(p["scatter"]))
    missed = cache_miss_share(moved, L2_SHARE * chip.l2_bytes, L2_STEEPNESS)
    memory = (
        moved
        / (p["bandwidth_fraction"] * chip.bandwidth)
        * (missed + (1.0 - missed) / p["cached_factor"])
    )
    return parts(
        compute=compute, memory=memory, launch=np.asarray(p["floor_seconds"]), busy=compute + memory
    )


def _width(p: Parameters, head_dim: Array) -> Array:
    """How much longer the products of a head width take than their FLOP."""
    odd = np.where(np.isin(head_dim, COMMON), 1.0, p["odd_factor"])
    narrow = np.where(head_dim <= NARROW, p["narrow_factor"], odd)
    return np.asarray(np.where(head_dim >= WIDE, p["wide_factor"], narrow))


def tiled_pairs(length: Array, past: Array | float, window: Array | float) -> tuple[Array, Array]:
    """((query, key) pairs of a head in whole tiles, keys of the last tile).

    ``past`` earlier tokens are seen by every query; a window covers part of its border tiles.
    """
    w = np.asarray(window, dtype=np.float64)
    span = np.where(w > 0, np.minimum(w, length + past) + WINDOW_TILES * TILE, np.inf)
    seen = length + past
    full = length * past + length * (length + TILE) / 2
    # Keys that the first queries miss because the sequence starts there.
    short = np.clip(np.where(np.isfinite(span), span, 0.0) - past, 0.0, length)
    banded = length * np.where(np.isfinite(span), span, 0.0) - short * (short - TILE) / 2
    return (
        np.where(span < seen, np.minimum(banded, full), full),
        np.minimum(span, np.asarray(seen, dtype=np.float64)),
    )


def moved_bytes(s: PrefillShape, *, scatter: bool) -> Array:
    """Bytes of the call (see module docstring)."""
    tokens = s.batch * s.length
    if scatter:
        return np.asarray(
            tokens
            * s.kv_heads**SCATTER_EXPONENT
            * (s.head_dim * (4.0 + 2.0 * s.kv_bytes) + SCATTER_BYTES)
        )
    return np.asarray(
        tokens * s.head_dim * (6.0 * s.heads + 4.0 * s.kv_heads + 2.0 * s.kv_heads * s.kv_bytes)
    )
