"""Multi-head latent attention with calibrated kernels: expanded prefill and absorbed decode.

Prefill (keys and values of every head are expanded first; q/k width e, v width v):

    per  = 2·(e + v)/(compute·P) + 1/(exp·X)
    work = b·h·S·(past + (S + 128)/2)·per + tile·b·h·⌈S/128⌉/N;   last = tail·128·(past + S)·per·N
    t    = floor + 2·b·S·h·(2·e + 2·v)/(memory·W) + (work² + last²)^½

Decode (one latent of l + r elements a token is key and value of all heads):

    B  = b·S·(l + r)·kv + 2·b·h·(2·l + r)
    Tb = B/(memory·W)·(φ + (1 − φ)/cached)·(pair[16 < h ≤ 32], middle[32 < h < 128])
    Tc = 2·b·h·S·(2·l + r)/(compute·P);  Tu = unit·b·h/64/N
    t  = floor + split·√S + start·σ(S) + cold·φ + (Tb⁸ + Tc⁸)^⅛ + Tu

φ, σ and ``cold`` as in forms.attention_decode. The cache is read beside the products. ``pair``,
``middle``: on Blackwell tiles of 16 heads read the cache once each, so that 32 heads take up to 1.6
times their bytes' time; those for 64 reach less bandwidth than 128 with an FP8 cache. P is the FP8
rate where ``fp8`` is 1, else BF16's. SGLang's prefill on Hopper runs absorbed: it is slow by its
``compute``.

Parameters carry their unit behind the name used here.
Source: fits of this project to the MLA tables of aiconfigurator-core 0.12.0, groups of (heads,
batch) held out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.throughput.forms.attention_decode import START_TOKENS, STEEPNESS
from planner.throughput.forms.attention_prefill import TILE, tiled_pairs
from planner.throughput.forms.base import (
    Parameter,
    Parameters,
    cache_miss_share,
    checked_parameters,
    power_sum,
)
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]

L2_SHARE = 0.7
PREFILL, DECODE = "mla-prefill", "mla-decode"
UNIT_HEADS = 64.0
TILE_HEADS, PAIR_HEADS, LARGEST_TILE = 16.0, 32.0, 128.0
OVERLAP = 8.0
"""Exponent by which reading the cache and the products add up: nearly the longer of both."""

PREFILL_PARAMETERS = (
    Parameter("floor_seconds", 13e-6, 1e-6, 1e-4, "s", device=True),
    Parameter("compute_fraction", 0.7, 0.05, 1.0, device=True),
    Parameter("exp_fraction", 1.5, 0.1, 10.0, prior=0.5, device=True),
    Parameter("bandwidth_fraction", 0.7, 0.02, 1.5),
    Parameter("tail_factor", 0.6, 0.05, 5.0),
    Parameter("tile_seconds", 1e-6, 1e-9, 3e-5, "s"),
)
DECODE_PARAMETERS = (
    Parameter("floor_seconds", 13e-6, 1e-6, 1e-4, "s", device=True),
    Parameter("split_seconds", 0.05e-6, 1e-9, 1e-6, "s/sqrt(token)"),
    Parameter("unit_seconds", 5e-6, 1e-8, 1e-4, "s", device=True),
    Parameter("bandwidth_fraction", 0.9, 0.02, 1.0, prior=0.5, device=True),
    Parameter("compute_fraction", 0.8, 0.05, 1.0),
    Parameter("cached_factor", 2.0, 1.0, 8.0, prior=0.5),
    Parameter("start_seconds", 1e-6, 1e-9, 2e-5, "s"),
    Parameter("cold_seconds", 1e-6, 1e-9, 5e-5, "s"),
    Parameter("pair_factor", 1.0, 0.5, 3.0),
    Parameter("middle_factor", 1.0, 0.5, 3.0),
)
DECODE_STRUCTURES = ({"pair_factor": 1.0, "middle_factor": 1.0}, {"cold_seconds": 0.0})
"""Which parameters a kernel does without: factors for head counts outside Blackwell; there, time
beside the bytes of a cold cache."""
STRUCTURE = (Parameter("fp8", 0.0, 0.0, 1.0),)
"""What a stack's kernel is, not fitted: products at the FP8 rate."""


@record
class LatentShape:
    """One call, arrays that broadcast: ``length`` tokens of a prompt, or of the cache in decode.

    Widths in elements: ``key`` of a head's query and key, ``value`` of its value, ``latent`` and
    ``rope`` of a cache entry. ``kv_bytes`` a cache element. ``past`` tokens of each prompt are in
    the cache already.
    """

    batch: Array
    length: Array
    heads: Array
    kv_bytes: Array
    key: float
    value: float
    latent: float
    rope: float
    past: Array | float = 0.0


def mla_prefill_parts(parameters: Parameters, chip: Chip, shape: LatentShape) -> Parts:
    """Seconds of a prompt by mechanism, broadcast shape of ``shape``'s arrays.

    Raises:
        DataError: ``parameters`` are not those of this form.
        UnsupportedError: the device has no unit of the kernel's format.
    """
    p = checked_parameters(parameters, (*PREFILL_PARAMETERS, *STRUCTURE), PREFILL)
    s, sms = shape, chip.multiprocessors
    peak = chip.peak("fp8" if p["fp8"] else "bf16")
    per = 2.0 * (s.key + s.value) / (p["compute_fraction"] * peak) + 1.0 / (
        p["exp_fraction"] * chip.exp_per_s
    )
    pairs, longest = tiled_pairs(s.length, s.past, 0.0)
    units = s.batch * s.heads
    work = units * pairs * per + p["tile_seconds"] * units * np.ceil(s.length / TILE) / sms
    compute = np.hypot(work, p["tail_factor"] * TILE * longest * per * sms)
    moved = 4.0 * units * s.length * (s.key + s.value)
    memory = moved / (p["bandwidth_fraction"] * chip.bandwidth)
    return parts(
        compute=compute, memory=memory, launch=np.asarray(p["floor_seconds"]), busy=compute + memory
    )


def mla_decode_parts(
    parameters: Parameters, chip: Chip, shape: LatentShape, *, cold: bool
) -> Parts:
    """Seconds of a decode step by mechanism, broadcast shape of ``shape``'s arrays.

    ``cold``: the cache comes from memory, as in a server; else from L2 as far as it fits.

    Raises:
        DataError: ``parameters`` are not those of this form.
        UnsupportedError: the device has no unit of the kernel's format.
    """
    p = checked_parameters(parameters, (*DECODE_PARAMETERS, *STRUCTURE), DECODE)
    s = shape
    peak = chip.peak("fp8" if p["fp8"] else "bf16")
    cache = s.batch * s.length * (s.latent + s.rope) * s.kv_bytes
    moved = cache + 2.0 * s.batch * s.heads * (2.0 * s.latent + s.rope)
    capacity = L2_SHARE * chip.l2_bytes
    missed = np.ones(np.shape(cache)) if cold else cache_miss_share(cache, capacity, STEEPNESS)
    memory = (
        moved
        / (p["bandwidth_fraction"] * chip.bandwidth)
        * _passes(p, s.heads)
        * (missed + (1.0 - missed) / p["cached_factor"])
    )
    flop = 2.0 * s.batch * s.heads * s.length * (2.0 * s.latent + s.rope)
    compute = flop / (p["compute_fraction"] * peak)
    unit = p["unit_seconds"] * s.batch * s.heads / UNIT_HEADS / chip.multiprocessors
    start = p["start_seconds"] / (1.0 + (np.maximum(s.length, 1.0) / START_TOKENS) ** -STEEPNESS)
    outside = np.minimum(cache / capacity, 1.0) if cold else missed
    fixed = p["floor_seconds"] + p["split_seconds"] * np.sqrt(s.length) + start
    return parts(
        compute=compute + unit,
        memory=memory,
        launch=fixed + p["cold_seconds"] * outside,
        busy=power_sum(memory, compute, OVERLAP) + unit,
    )


def _passes(p: Parameters, heads: Array) -> Array:
    """How much longer the cache's bytes take for a count of heads."""
    middle = np.where((heads > PAIR_HEADS) & (heads < LARGEST_TILE), p["middle_factor"], 1.0)
    return np.where((heads > TILE_HEADS) & (heads <= PAIR_HEADS), p["pair_factor"], middle)
