"""Norms, rotary embedding, activation: the small kernels of an average layer.

    t = Σ kernels·t_e·(1, or r where the kernel reduces over rows) + bytes / (e_m·W)

t_e is the floor of an elementwise kernel, r and what engines fuse are data/small_kernels.toml.
A norm over all heads of a sharded projection also adds up its ranks' squares: one small
all-reduce for the norms of queries and keys together.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec, TensorRow
from planner.throughput.attention_kernels import attention_model
from planner.throughput.collectives import all_reduce
from planner.throughput.forms import dsa
from planner.throughput.launches import Launches, reduction_seconds
from planner.throughput.linear import Machine
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts, communication_only, operator

Array = NDArray[np.float64]
_DATA = Path(__file__).resolve().parent / "data"
RESIDUAL_NORM_BYTES = 8.0
"""Residual in and out, input, output, 2 B each."""
PLAIN_NORM_BYTES = 4.0
PLAIN_BYTES = 2.0
"""Of an element between the kernels of an engine that is not known to be otherwise."""
GATE_BYTES = 6.0
"""Gate and up in, product out, 2 B each."""
ADD_BYTES = 6.0
SQUARES_BYTES = 8.0
"""FP32 sums of squares of queries and of keys, a token."""


@record
class LayerNorms:
    """Norms of an average layer: kernels, and features that they read.

    ``residual`` norms take the residual along; ``head`` norms act on each query and key head;
    ``wide`` ones on all heads of a projection that is sharded; ``other`` on latents.
    """

    residual: float
    residual_width: float
    head: float
    head_width: float
    wide: float
    wide_width: float
    other: float
    other_width: float


@lru_cache(maxsize=64)
def layer_norms(spec: ModelSpec) -> LayerNorms:
    """Norms of an average layer, by what they normalise."""
    norms = dict.fromkeys(("residual", "head", "wide", "other"), (0.0, 0.0))
    heads = {a.head_dim: a for a in spec.attention}
    wide = {n * a.head_dim for a in spec.attention for n in (a.heads, a.kv_heads)}
    for row in spec.rows:
        if row.kind != "norm" or not row.layers or _in_stream_kernel(row):
            continue
        # A matrix that mixes residual streams reads them all: its inputs.
        width = float(row.shape[1] if row.is_matrix else prod(row.shape))
        share = len(row.layers) / spec.layers
        name = "other"
        if width == spec.hidden_size:
            name = "residual"
        elif int(width) in wide:
            name = "wide"
        elif int(width) in heads:
            name = "head"
            group = heads[int(width)]
            width *= group.kv_heads if "k_norm" in row.name else group.heads
        count, features = norms[name]
        norms[name] = count + share, features + share * width
    return LayerNorms(*(number for pair in norms.values() for number in pair))


def _in_stream_kernel(row: TensorRow) -> bool:
    """Whether a vector goes with a matrix that mixes residual streams, in the same kernel."""
    return row.fused.startswith("hc-") and not row.is_matrix


def small_kernels(
    spec: ModelSpec, machine: Machine, device: DeviceProfile, pts: Points, phase: Phase
) -> Parts:
    """Seconds of one average layer, Parts [C, 1].

    Routed experts activate inside their fused kernel. Norms of latents and the rotary kernel of
    layers whose attention was measured with them (forms.attention_rest) are in its time. On a CPU
    the engine's own time is among the launches.
    """
    norms = layer_norms(spec)
    apart = 1.0 - measured_share(spec, device, machine.stacks)
    stack = machine.stacks[0] if machine.stacks else ""
    fused = stack in _rules()["norm_in_all_reduce"]
    separate = np.where((pts.tp > 1) & fused, 0.0, norms.residual)
    rotary = stack in _rules()["head_norm_in_rotary"]
    reducing = separate + norms.wide + norms.other * apart + (0.0 if rotary else norms.head)
    local = (norms.head_width + norms.wide_width) / pts.tp
    moved = RESIDUAL_NORM_BYTES * norms.residual_width + PLAIN_NORM_BYTES * (
        local + norms.other_width * apart
    )
    plain, gated = _plain(spec)
    plain += apart - 1.0
    moved = moved + gated / pts.tp * GATE_BYTES + _shared(spec) * ADD_BYTES * spec.hidden_size
    if machine.launches is not None:
        moved = moved * machine.launches.activation_bytes / PLAIN_BYTES
        plain += _further_kernels(spec, machine.launches)
    launches = plain + _reduction_factor(machine, device) * reducing
    if machine.one_kernel_gate:
        launches = launches - np.where(phase.tokens <= 1.0, _dense_mlps(spec)[0], 0.0)
    parts = elementwise(device, phase.tokens * moved, launches)
    if machine.host_seconds:
        parts = replace(parts, launch=parts.launch + machine.host_seconds)
    if norms.wide:
        squares = all_reduce(machine.net, pts.tp, pts.tp, phase.tokens * SQUARES_BYTES)
        parts = parts.plus(communication_only(squares[:, None]))
    return parts.scaled(column(phase.passes))


def _reduction_factor(machine: Machine, device: DeviceProfile) -> float:
    """How much longer than one that copies a kernel takes that reduces over rows; where neither
    takes any time (rooflines alone), as on any device."""
    copying = device.achieved["elementwise"].floor_seconds.value
    if machine.launches is None or copying == 0.0:
        return float(_rules()["reduction_factor"])
    return reduction_seconds(device) / copying


def _further_kernels(spec: ModelSpec, engine: Launches) -> float:
    """Kernels of an average layer that servers' engines have in others."""
    experts = spec.experts
    moe = len(experts.layers) / spec.layers if experts else 0.0
    recurrent = {n for a in spec.attention if a.kind == "linear" for n in a.layers}
    share = len(recurrent) / spec.layers
    attention = max(_mixing(spec) - share, 0.0)
    return attention * engine.attention + share * engine.recurrence + moe * engine.experts


def measured_share(spec: ModelSpec, device: DeviceProfile, stacks: Sequence[str]) -> float:
    """Share of layers of latent attention whose measured core holds what surrounds it."""
    measured_layers = 0
    for attention in spec.attention:
        if attention.kind == "mla" and stacks:
            name = dsa.DECODE if attention.indexer_topk else "mla-decode"
            model = attention_model(device, name, "bf16", stacks)
            if model is not None and (attention.indexer_topk or model.rest is not None):
                measured_layers += len(attention.layers)
    return measured_layers / spec.layers


def _shared(spec: ModelSpec) -> float:
    """Share of layers whose shared experts' result is added to the routed ones'."""
    experts = spec.experts
    return len(experts.layers) / spec.layers if experts and experts.shared else 0.0


def _plain(spec: ModelSpec) -> tuple[float, float]:
    """(kernels that copy, width of the gate) of an average layer: rotary embedding with the cache
    write; activation of dense and shared MLPs; the sum of shared and routed experts."""
    experts = spec.experts
    moe = len(experts.layers) / spec.layers if experts else 0.0
    dense, width = _dense_mlps(spec)
    return min(_mixing(spec), 1.0) + dense + 2.0 * _shared(spec), width + (
        experts.shared_width if experts else 0
    ) * moe


@lru_cache(maxsize=64)
def _dense_mlps(spec: ModelSpec) -> tuple[float, float]:
    """(share of layers with a dense MLP, its inner width over all layers): beside attention or
    alone, beside experts or not, of a width of its own in each layer."""
    widest: dict[int, int] = {}
    for row in spec.rows:
        if row.part == "main" and row.kind == "mlp-down" and row.is_matrix:
            widest |= {layer: max(row.shape[1], widest.get(layer, 0)) for layer in row.layers}
    return len(widest) / spec.layers, sum(widest.values()) / spec.layers


@lru_cache(maxsize=64)
def _mixing(spec: ModelSpec) -> float:
    """Share of layers with attention or a recurrence."""
    attention_layers = {layer for attention in spec.attention for layer in attention.layers}
    return len(attention_layers) / spec.layers


def elementwise(device: DeviceProfile, moved: Array, kernels: Array | float) -> Parts:
    """``kernels`` launches that move ``moved`` bytes [C] or [C, S] in all, Parts [C, 1] or [C,
    S]."""
    reached = device.achieved["elementwise"]
    count = np.broadcast_to(np.asarray(kernels, dtype=np.float64), moved.shape)
    if moved.ndim == 1:
        moved, count = moved[:, None], count[:, None]
    return operator(
        flop=np.zeros((len(moved), 1)),
        moved_bytes=moved,
        converted=np.zeros(1),
        launch=reached.floor_seconds.value * count,
        peak=np.asarray(1.0),
        compute_fraction=np.asarray(1.0),
        bandwidth=device.bandwidth_bytes_per_s.value,
        bandwidth_fraction=np.asarray(reached.bandwidth_fraction.value),
        conversion_rate=np.asarray(np.inf),
    )


@cache
def _rules() -> Mapping[str, Any]:
    return tomllib.loads((_DATA / "small_kernels.toml").read_text(encoding="utf-8"))
