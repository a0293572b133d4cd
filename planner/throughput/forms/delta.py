"""Gated delta nets with calibrated kernels: the short convolution, one step, and chunks of prompts.

    conv:       t = floor + sequence·b + cached(4·tokens·c + 2·r·b·c·(w − 1))       [c channels]
    recurrent:  t = floor + cached(2·b·hv·dk·dv·s)
    chunk:      t = floor + (serial² + (B/(memory·W) + FLOP/(compute·P))²)^½
                serial = waves·(load + ⌈S/64⌉·step)
    cached(B) = B/(memory·W)·(φ + (1 − φ)/cached),  φ the share of B that misses L2

A sequence and value head is one chain of chunks. A fused kernel (``fused`` 1: FlashInfer's) keeps
its state on the multiprocessor: waves = ⌈b·hv/N⌉, B = tokens and the state, no FLOP of its own.
Separate kernels (flash-linear-attention's, in Triton) write the state after every chunk for the
products of the chunks, which run in parallel: their u = b·hv/(N·slots) gives waves =
(⌈u⌉ + max(u, 1))/2. FLOP of a token and head: 2·(64·(3·dk + 2·dv) + 3·dk·dv) (arXiv:2412.06464,
chunkwise form). r is 2 for a step, which reads and writes the last inputs, and 1 for a prompt.

Parameters carry their unit behind the name used here.
Source: fits of this project to the linear-attention tables of aiconfigurator-core 0.12.0, groups of
(key heads, value heads) held out.
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
)
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]

OPERATOR = "linear-attention"
L2_SHARE, STEEPNESS = 0.7, 4.0
CHUNK = 64.0
BF16_BYTES = 2.0

_CONV = (
    Parameter("floor_seconds", 3e-6, 5e-7, 1e-4, "s", device=True),
    Parameter("bandwidth_fraction", 0.7, 0.02, 1.5, device=True),
    Parameter("sequence_seconds", 1e-8, 1e-10, 1e-5, "s"),
    Parameter("cached_factor", 1.5, 1.0, 8.0, prior=0.5),
)
_RECURRENT = (
    Parameter("floor_seconds", 4e-6, 5e-7, 1e-4, "s", device=True),
    Parameter("bandwidth_fraction", 0.8, 0.05, 1.25, device=True),
    Parameter("cached_factor", 1.5, 1.0, 8.0, prior=0.5),
)
_CHUNK = (
    Parameter("floor_seconds", 1e-5, 5e-7, 3e-4, "s", device=True),
    Parameter("load_seconds", 3e-6, 1e-9, 1e-4, "s"),
    Parameter("step_seconds", 3e-6, 1e-8, 2e-5, "s", device=True),
    Parameter("bandwidth_fraction", 0.7, 0.02, 1.5, device=True),
    Parameter("slots", 1.0, 0.1, 32.0, prior=1.0),
    Parameter("compute_fraction", 0.4, 0.02, 1.0),
)
PARAMETERS: Mapping[str, tuple[Parameter, ...]] = {
    "conv-decode": _CONV,
    "conv-prefill": _CONV,
    "recurrent": _RECURRENT,
    "chunk": _CHUNK,
}
"""Variant of the operator → what is fitted."""
STRUCTURE: Mapping[str, tuple[Parameter, ...]] = {"chunk": (Parameter("fused", 0.0, 0.0, 1.0),)}
"""What a stack's kernel is, not fitted."""
FUSED = {"fused": 1.0, "slots": 1.0, "compute_fraction": 1.0}
"""What stays fixed of a kernel that keeps its state on the multiprocessor."""


@record
class DeltaShape:
    """One call, arrays that broadcast: ``length`` tokens of each of ``batch`` sequences.

    ``key_heads`` of ``key`` and ``value_heads`` of ``value`` elements; ``width`` past inputs of the
    convolution; ``state_bytes`` an element of the state. ``channels`` of the convolution, 0 for
    those of queries, keys and values.
    """

    batch: Array
    length: Array
    key_heads: Array
    value_heads: Array
    key: float
    value: float
    width: float = 4.0
    state_bytes: float = 4.0
    channels: float = 0.0

    @property
    def features(self) -> Array:
        """Elements a token of queries, keys and values."""
        return 2.0 * self.key_heads * self.key + self.value_heads * self.value


def delta_parts(
    parameters: Parameters, chip: Chip, variant: str, shape: DeltaShape, *, cold: bool
) -> Parts:
    """Seconds of kernel ``variant`` by mechanism, broadcast shape of ``shape``'s arrays.

    ``cold``: the state comes from memory, as in a server; else from L2 as far as it fits.

    Raises:
        DataError: ``parameters`` are not those of this form.
        UnsupportedError: the device multiplies no BF16.
    """
    wanted = (*PARAMETERS[variant], *STRUCTURE.get(variant, ()))
    p = checked_parameters(parameters, wanted, f"{OPERATOR} {variant}")
    if variant == "chunk":
        return _chunk(p, chip, shape)
    if variant == "recurrent":
        return _recurrent(p, chip, shape, cold)
    return _convolution(p, chip, shape, update=variant == "conv-decode", cold=cold)


def _streamed(p: Parameters, chip: Chip, moved: Array, cold: bool) -> Array:
    missed = (
        np.ones(np.shape(moved))
        if cold
        else cache_miss_share(moved, L2_SHARE * chip.l2_bytes, STEEPNESS)
    )
    return (
        moved
        / (p["bandwidth_fraction"] * chip.bandwidth)
        * (missed + (1.0 - missed) / p["cached_factor"])
    )


def _convolution(p: Parameters, chip: Chip, s: DeltaShape, *, update: bool, cold: bool) -> Parts:
    channels = s.channels or s.features
    past = (2.0 if update else 1.0) * (s.width - 1.0) * s.batch
    moved = BF16_BYTES * channels * (2.0 * s.batch * s.length + past)
    memory = _streamed(p, chip, moved, cold)
    launch = p["floor_seconds"] + p["sequence_seconds"] * s.batch
    return parts(compute=np.zeros(()), memory=memory, launch=launch, busy=memory)


def _recurrent(p: Parameters, chip: Chip, s: DeltaShape, cold: bool) -> Parts:
    state = s.batch * s.value_heads * s.key * s.value * s.state_bytes
    memory = s.length * _streamed(p, chip, 2.0 * state, cold)
    return parts(
        compute=np.zeros(()), memory=memory, launch=np.asarray(p["floor_seconds"]), busy=memory
    )


def _chunk(p: Parameters, chip: Chip, s: DeltaShape) -> Parts:
    chunks = np.ceil(s.length / CHUNK)
    units, tokens = s.batch * s.value_heads, s.batch * s.length
    matrix = s.key * s.value
    moved = BF16_BYTES * tokens * (s.features + s.value_heads * s.value)
    if p["fused"]:
        waves = np.ceil(units / chip.multiprocessors)
        moved = moved + 2.0 * units * matrix * s.state_bytes
        compute = np.zeros(())
    else:
        u = units / (chip.multiprocessors * p["slots"])
        waves = (np.ceil(u) + np.maximum(u, 1.0)) / 2.0
        moved = moved + 2.0 * BF16_BYTES * units * chunks * matrix / 2.0
        flop = tokens * s.value_heads * 2.0 * (CHUNK * (3.0 * s.key + 2.0 * s.value) + 3.0 * matrix)
        compute = flop / (p["compute_fraction"] * chip.peak("bf16"))
    serial = waves * (p["load_seconds"] + chunks * p["step_seconds"])
    memory = moved / (p["bandwidth_fraction"] * chip.bandwidth)
    return parts(
        compute=np.maximum(serial, compute),
        memory=memory,
        launch=np.asarray(p["floor_seconds"]),
        busy=np.hypot(serial, memory + compute),
    )
