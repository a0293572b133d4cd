"""Decode attention with a calibrated kernel: one query a sequence over a paged cache.

    B  = 2·b·S·hkv·d·kv + 4·b·h·d + 2·b·hkv·d·(2 + kv)    cache; queries, results; new entry
    φ  = share of B that misses L2 (tables replay one cache); 1 in serving, where layers evict it
    Tb = B/(memory·W)·(φ + (1 − φ)/cached)·wide[d ≥ 256]
    Tu = unit·b·hkv/N·wide·window                         fixed cost of a (sequence, KV head)
    t  = narrow[d ≤ 64]·window·(floor + split·√S·wide + start·σ) + cold·φ
         + (Tu^1.3 + Tb^1.3)^(1/1.3)

√S is what the best split of a cache over multiprocessors leaves (parts and their sum grow with
it); σ = 1/(1 + (S/512)^−4) is the start of a second, combining kernel. Never below the products at
the BF16 peak. ``cold`` is time that a cache outside L2 costs beyond its bytes; below 0.7·L2 bytes a
cold cache costs its share of it.

Parameters carry their unit behind the name used here.
Source: fits of this project to the attention tables of aiconfigurator-core 0.12.0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.records import record
from planner.throughput.forms.base import Parameter, Parameters, misses, power_sum, values
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]

OPERATOR = "attention-decode"
L2_SHARE = 0.7
STEEPNESS = 4.0
EXPONENT = 1.3
WIDE, NARROW = 256.0, 64.0
START_TOKENS = 512.0

PARAMETERS = (
    Parameter("floor_seconds", 10e-6, 1e-6, 1e-4, "s", device=True),
    Parameter("split_seconds", 0.04e-6, 1e-9, 1e-6, "s/sqrt(token)"),
    Parameter("unit_seconds", 1.2e-6, 1e-8, 2e-5, "s", device=True),
    Parameter("bandwidth_fraction", 0.9, 0.05, 1.0, prior=0.5, device=True),
    Parameter("cached_factor", 2.0, 1.0, 8.0, prior=0.5),
    Parameter("narrow_factor", 1.0, 0.5, 2.0, prior=0.5),
    Parameter("wide_factor", 1.0, 0.5, 3.0, prior=0.5),
    Parameter("window_factor", 1.0, 0.5, 4.0, prior=0.5),
    Parameter("start_seconds", 1e-6, 1e-9, 2e-5, "s"),
    Parameter("cold_seconds", 3e-6, 1e-9, 5e-5, "s"),
)
PLAIN = {"start_seconds": 0.0, "cold_seconds": 0.0}
COMBINED = {"cached_factor": 1.0, "narrow_factor": 1.0}
COMBINED_NARROW = {"cached_factor": 1.0, "wide_factor": 1.0}
STRUCTURES = (PLAIN, COMBINED, COMBINED_NARROW)
"""Which two parameters a kernel does without, so that eight are fitted."""
CARRIED = {"cached_factor": 2.0, "wide_factor": 1.0, "start_seconds": 0.0, "cold_seconds": 0.0}
"""Terms that belong to a kernel, not to a chip: what stands for them on another architecture."""


@record
class DecodeShape:
    """One decode step, arrays that broadcast: ``length`` tokens are attended by each sequence.

    ``windowed`` says that a window kernel runs.
    """

    batch: Array
    length: Array
    heads: Array
    kv_heads: Array
    head_dim: Array
    kv_bytes: Array
    windowed: NDArray[np.bool_] | bool = False


def attention_decode_parts(parameters: Parameters, chip: Chip, shape: DecodeShape, *,
                           cold: bool) -> Parts:
    """Seconds by mechanism, broadcast shape of ``shape``'s arrays.

    ``cold``: the cache comes from memory, as in a server; else from L2 as far as it fits.

    Raises:
        DataError: ``parameters`` are not those of this form.
    """
    p = values(parameters, PARAMETERS, OPERATOR)
    s = shape
    wide = np.where(s.head_dim >= WIDE, p["wide_factor"], 1.0)
    narrow = np.where(s.head_dim <= NARROW, p["narrow_factor"], 1.0)
    window = np.where(s.windowed, p["window_factor"], 1.0)
    moved = moved_bytes(s)
    capacity = L2_SHARE * chip.l2_bytes
    missed = np.ones(np.shape(moved)) if cold else misses(moved, capacity, STEEPNESS)
    memory = moved / (p["bandwidth_fraction"] * chip.bandwidth) * wide \
        * (missed + (1.0 - missed) / p["cached_factor"])
    unit = window * p["unit_seconds"] * s.batch * s.kv_heads / chip.multiprocessors * wide
    start = p["start_seconds"] / (1.0 + (np.maximum(s.length, 1.0) / START_TOKENS) ** -STEEPNESS)
    split = p["split_seconds"] * np.sqrt(s.length) * wide
    fixed = narrow * window * (p["floor_seconds"] + split + start)
    outside = np.minimum(moved / capacity, 1.0) if cold else missed
    flop = 4.0 * s.batch * s.heads * s.length * s.head_dim
    busy = np.maximum(power_sum(unit, memory, EXPONENT), flop / chip.peak("bf16"))
    return parts(compute=np.maximum(unit, flop / chip.peak("bf16")), memory=memory,
                 launch=fixed + p["cold_seconds"] * outside, busy=busy)


def moved_bytes(s: DecodeShape) -> Array:
    """Bytes of the step (see module docstring)."""
    cache = 2.0 * s.batch * s.length * s.kv_heads * s.head_dim * s.kv_bytes
    fresh = 2.0 * s.batch * s.kv_heads * s.head_dim * (2.0 + s.kv_bytes)
    return np.asarray(cache + 4.0 * s.batch * s.heads * s.head_dim + fresh)
