"""One fused layer of routed experts on one rank: gate and up, activation, down, and permutation.

    t = t0 + te·E/ep + X + (C^2.5 + (v·M)^2.5)^(1/2.5)
    C = R·[4·H·I·(1 + k0/H) + 2·H·I·(1 + k0/I)] / (ec·P)          I = width / moe_tp
    R = min over tile heights h of  Σ_e h·⌈n_e/h⌉ · (1 + s·(128/h − 1))
    M = A·3·H·I·w / (em·W)
    X = [kew·(p·(4H + 10I) + 4·T·H) + kall·(T·k − p)·(4H + 10I)] / W

T tokens of all ranks, k experts each; p pairs, A touched experts and R padded rows of this rank
(:mod:`planner.throughput.expert_load`); H hidden, E/ep experts of w bytes an element here; P dense
peak of the compute format, W bandwidth. A tile below 128 rows loads as much of the weights for
fewer rows (s); k0 is the fill of a tile's pipeline in elements of the inner dimension. X is the
permutation, activation, quantisation and weighted sum; with kall, kernels that pass over the pairs
of other ranks too. te is what a grouped kernel spends on each expert, touched or not.

Source: the grouped GEMM form of the fused kernels of TensorRT-LLM, SGLang and FlashInfer, fitted by
this project to the MoE tables of aiconfigurator-core 0.12.0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.records import record
from planner.throughput.expert_load import TILES, ExpertLoad
from planner.throughput.forms.base import Parameter, Parameters, power_sum, values
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]

OPERATOR = "moe"
EXPONENT = 2.5
FULL_TILE = 128.0
HIDDEN_BYTES, INNER_BYTES = 4.0, 10.0
"""Bytes a pair moves for each hidden feature (gather in, sum out) and each inner one (gate and up
out, product in and out, 2 B each)."""

TRITON = "triton"
"""Kernels of which the name contains this choose their tile by the number of tokens."""
FEW_TILE, MANY_TILE = TILES.index(16.0), TILES.index(64.0)

_COMMON = (
    Parameter("launch_seconds", 25e-6, 2e-6, 2e-4, "s", device=True),
    Parameter("compute_fraction", 0.7, 0.1, 1.0, prior=1.0, device=True),
    Parameter("bandwidth_fraction", 0.85, 0.15, 1.0, prior=0.5, device=True),
    Parameter("small_tile", 0.3, 0.005, 2.0),
    Parameter("fill_elements", 600.0, 5.0, 6000.0),
    Parameter("traffic", 1.5, 0.1, 12.0, prior=1.0),
    Parameter("traffic_elsewhere", 0.3, 0.003, 6.0, prior=3.0),
)
GROUPED = (*_COMMON, Parameter("expert_seconds", 2e-8, 1e-11, 1e-6, "s", prior=3.0))
TILED = (*_COMMON, Parameter("many_slowdown", 1.3, 1.0, 3.0, prior=1.0))


def parameters_of(variant: str) -> tuple[Parameter, ...]:
    """The eight parameters of a kernel; ``variant`` is ``KERNEL:SCHEME``."""
    return TILED if TRITON in variant.partition(":")[0] else GROUPED


@record
class ExpertShard:
    """Experts of one rank, numbers or arrays that broadcast with the load's.

    ``width`` is what one rank holds of an expert; ``local`` experts of a rank; ``weight_bytes`` an
    element; ``compute`` the format whose rate counts.
    """

    hidden: Array
    width: Array
    local: Array
    weight_bytes: Array
    compute: str


def moe_parts(parameters: Parameters, chip: Chip, variant: str, experts: ExpertShard,
              load: ExpertLoad, *, tokens: Array) -> Parts:
    """Seconds of a fused layer by mechanism, shape of ``load`` and ``experts`` broadcast.

    Weights of all experts exceed any cache: there is no warm case. The traffic X counts as memory.
    """
    p = values(parameters, parameters_of(variant), f"{OPERATOR} {variant}")
    hidden, width, fill = experts.hidden, experts.width, p["fill_elements"]
    many = tokens > experts.local if "many_slowdown" in p else None
    work = 4.0 * width * (hidden + fill) + 2.0 * hidden * (width + fill)
    compute = padded_rows(load, p["small_tile"], many) * work / (
        p["compute_fraction"] * chip.peak(experts.compute))
    streamed = load.touched * 3.0 * hidden * width * experts.weight_bytes
    memory = streamed / (p["bandwidth_fraction"] * chip.bandwidth)
    if many is not None:
        memory = memory * np.where(many, p["many_slowdown"], 1.0)
    pair = HIDDEN_BYTES * hidden + INNER_BYTES * width
    traffic = (p["traffic"] * (load.pairs * pair + 4.0 * tokens * hidden)
               + p["traffic_elsewhere"] * load.elsewhere * pair) / chip.bandwidth
    launch = p["launch_seconds"] + p.get("expert_seconds", 0.0) * experts.local
    return parts(compute=compute, memory=memory + traffic, launch=launch,
                 busy=traffic + power_sum(compute, memory, EXPONENT))


def padded_rows(load: ExpertLoad, small_tile: float,
                many: NDArray[np.bool_] | None = None) -> Array:
    """Rows that are computed, in rows of a full tile's speed: of the best tile height, or of what a
    Triton kernel takes for ``many`` tokens; for few the low tile, where the high one is not faster.
    """
    penalty = 1.0 + small_tile * (FULL_TILE / np.array(TILES) - 1.0)
    rows = load.padded * penalty
    if many is None:
        return np.asarray(rows.min(axis=-1))
    high = rows[..., MANY_TILE]
    return np.asarray(np.where(many, high, np.minimum(rows[..., FEW_TILE], high)))
