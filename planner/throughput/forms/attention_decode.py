"""Decode attention with a calibrated kernel: one query a sequence over a paged cache.

    R  = ⌈(h/hkv) / heads a unit⌉                         units that read the same keys
    B  = 2·b·S·hkv·d·kv + 4·b·h·d + 2·b·hkv·d·(2 + kv)    cache; queries, results; new entry
    φ  = share of B that misses L2 (tables replay one cache); 1 in serving, where layers evict it
    Tb = [B·(φ + (1 − φ)/cached) + (R − 1)·cache/cached]/(memory·W)·wide[d ≥ 256]
    Tu = max(b·hkv·R/N, [whole])·(unit·window + token·S·d)·wide
    t  = narrow[d ≤ 64]·window·(floor + split·√S·wide + start·σ) + cold·φ
         + (Tu^1.3 + Tb^1.3)^(1/1.3)

A unit is one block of threads: a sequence's query heads of one KV head, as many as its tile holds,
over a part of the cache or, in a kernel that does not split it (``whole``), over all of it. Windows
may run heads one by one. √S is what the best split of a cache over multiprocessors leaves (parts
and their sum grow with it). Where ``window_split`` is 1, parts of the cache before a window are
started too, up to FULL_WAVES a multiprocessor. σ = 1/(1 + (S/512)^−4) is the start of a second,
combining kernel. Never below the products at the BF16 peak. ``cold`` is time that a cache outside
L2 costs beyond its bytes; below L2's size a cold cache costs its share of it.

Parameters carry their unit behind the name used here.
Source: fits of this project to the attention tables of aiconfigurator-core 0.12.0. FlashAttention
packs the heads of a group unless there is a window (Dao-AILab/flash-attention, hopper and csrc).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
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

OPERATOR = "attention-decode"
L2_STEEPNESS = 12.0
STEEPNESS = 4.0
EXPONENT = 1.3
WIDE, NARROW = 256.0, 64.0
START_TOKENS = 512.0
PART_TOKENS, FULL_WAVES = 512.0, 6.0
"""Parts that a cache is split into for a window that most of them lie outside of, and how many of
them are started a multiprocessor."""
EVERY_HEAD = 1024.0
"""More query heads a KV head than any model has."""

PARAMETERS = (
    Parameter("floor_seconds", 10e-6, 1e-6, 1e-4, "s", device=True),
    Parameter("split_seconds", 0.04e-6, 1e-9, 1e-6, "s/sqrt(token)"),
    Parameter("unit_seconds", 1.2e-6, 1e-8, 2e-5, "s", device=True),
    Parameter("token_seconds", 2e-12, 1e-14, 1e-9, "s/(token·element)"),
    Parameter("bandwidth_fraction", 0.9, 0.05, 1.0, prior=0.5, device=True),
    Parameter("cached_factor", 2.0, 1.0, 8.0, prior=0.5),
    Parameter("narrow_factor", 1.0, 0.5, 2.0, prior=0.5),
    Parameter("wide_factor", 1.0, 0.5, 3.0, prior=0.5),
    Parameter("window_factor", 1.0, 0.5, 4.0, prior=0.5),
    Parameter("start_seconds", 1e-6, 1e-9, 2e-5, "s"),
    Parameter("cold_seconds", 3e-6, 1e-9, 5e-5, "s"),
)
STRUCTURE = (
    Parameter("whole", 0.0, 0.0, 1.0),
    Parameter("unit_heads", EVERY_HEAD, 1.0, EVERY_HEAD, "heads"),
    Parameter("window_heads", EVERY_HEAD, 1.0, EVERY_HEAD, "heads"),
    Parameter("most_heads", EVERY_HEAD, 1.0, EVERY_HEAD, "heads"),
    Parameter("window_split", 0.0, 0.0, 1.0),
    Parameter("l2_share", 0.8, 0.5, 1.0),
)
"""What a kernel is, not fitted. Beyond ``most_heads`` query heads a KV head the stack runs the
kernel of ungrouped heads on each."""
CHOICES: tuple[tuple[Mapping[str, float], ...], ...] = (
    ({"l2_share": 0.8}, {"l2_share": 1.0}, {"l2_share": 0.7}),
    ({"whole": 0.0}, {"whole": 1.0}),
    ({"window_heads": EVERY_HEAD}, {"window_heads": 1.0}),
    ({"window_split": 0.0}, {"window_split": 1.0}),
    ({"unit_heads": EVERY_HEAD}, {"unit_heads": 16.0}),
    ({"cold_seconds": 0.0}, {}),
)
"""What is chosen by cross-validation, one after the other; the first of each is the plain kernel.
"""
CARRIED = {
    "split_seconds": 4e-8,
    "cached_factor": 2.0,
    "wide_factor": 1.0,
    "start_seconds": 0.0,
    "cold_seconds": 0.0,
    "whole": 0.0,
    "window_split": 0.0,
    "unit_heads": EVERY_HEAD,
    "window_heads": EVERY_HEAD,
}
"""Terms that belong to a kernel, not to a chip: what stands for them on another architecture. The
best split costs 0.037 to 0.041 µs a √token in most of the tables' kernels, whatever the device."""


@record
class DecodeShape:
    """One decode step, arrays that broadcast: ``length`` tokens are attended by each sequence.

    ``windowed`` says that a window kernel runs, over a cache of ``cached`` tokens.
    """

    batch: Array
    length: Array
    heads: Array
    kv_heads: Array
    head_dim: Array
    kv_bytes: Array
    windowed: NDArray[np.bool_] | bool = False
    cached: Array | float = 0.0


def attention_decode_parts(
    parameters: Parameters, chip: Chip, shape: DecodeShape, *, cold: bool
) -> Parts:
    """Seconds by mechanism, broadcast shape of ``shape``'s arrays.

    ``cold``: the cache comes from memory, as in a server; else from L2 as far as it fits.

    Raises:
        DataError: ``parameters`` are not those of this form.
    """
    p = checked_parameters(parameters, (*PARAMETERS, *STRUCTURE), OPERATOR)
    s = shape
    wide = np.where(s.head_dim >= WIDE, p["wide_factor"], 1.0)
    narrow = np.where(s.head_dim <= NARROW, p["narrow_factor"], 1.0)
    window = np.where(s.windowed, p["window_factor"], 1.0)
    readers = _readers(p, s)
    moved = moved_bytes(s)
    capacity = p["l2_share"] * chip.l2_bytes
    missed = np.ones(np.shape(moved)) if cold else cache_miss_share(moved, capacity, L2_STEEPNESS)
    again = (readers - 1.0) * _cache_bytes(s) / p["cached_factor"]
    memory = (
        (moved * (missed + (1.0 - missed) / p["cached_factor"]) + again)
        / (p["bandwidth_fraction"] * chip.bandwidth)
        * wide
    )
    waves = np.maximum(s.batch * s.kv_heads * readers / chip.multiprocessors, p["whole"])
    if p["window_split"]:
        parted = np.where(s.windowed, np.minimum(waves * s.cached / PART_TOKENS, FULL_WAVES), 0.0)
        waves = np.maximum(waves, parted)
    unit = waves * (window * p["unit_seconds"] + p["token_seconds"] * s.length * s.head_dim) * wide
    start = p["start_seconds"] / (1.0 + (np.maximum(s.length, 1.0) / START_TOKENS) ** -STEEPNESS)
    split = p["split_seconds"] * np.sqrt(s.length) * wide
    fixed = narrow * window * (p["floor_seconds"] + split + start)
    outside = np.minimum(moved / capacity, 1.0) if cold else missed
    flop = 4.0 * s.batch * s.heads * s.length * s.head_dim
    busy = np.maximum(power_sum(unit, memory, EXPONENT), flop / chip.peak("bf16"))
    return parts(
        compute=np.maximum(unit, flop / chip.peak("bf16")),
        memory=memory,
        launch=fixed + p["cold_seconds"] * outside,
        busy=busy,
    )


def _readers(p: Parameters, s: DecodeShape) -> Array:
    """Units that read the keys of one KV head."""
    most = np.where(s.windowed, p["window_heads"], p["unit_heads"])
    return np.asarray(np.ceil(s.heads / s.kv_heads / most - 1e-9))


def moved_bytes(s: DecodeShape) -> Array:
    """Bytes of the step (see module docstring)."""
    fresh = 2.0 * s.batch * s.kv_heads * s.head_dim * (2.0 + s.kv_bytes)
    return np.asarray(_cache_bytes(s) + 4.0 * s.batch * s.heads * s.head_dim + fresh)


def _cache_bytes(s: DecodeShape) -> Array:
    return np.asarray(2.0 * s.batch * s.length * s.kv_heads * s.head_dim * s.kv_bytes)
