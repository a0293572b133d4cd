"""One fused layer of routed experts on one rank: gate and up, activation, down, and permutation.

    t = t0 + te·E/ep + X + u·(C^2.5 + (v·M)^2.5)^(1/2.5)
    C = R·[2·(g − 1)·H·Ī·(1 + k0/H) + 2·H·Ī·(1 + k0/Ī)] / (ec·P)  Ī = inter/moe_tp, rounded up
    R = min over tile heights h of  Σ_e h·⌈n_e/h⌉ · (1 + s·(128/h − 1))
    M = A·g·H·Ī·w·(φ + (1 − φ)·W/W2) / (em·W)                     φ = misses(bytes, l·L2)
    X = [kew·(p·(4H + c·I) + kt·4·T·H) + kall·(T·k − p)·(4H + c·I)] / W

T tokens of all ranks, k experts each; p pairs, A touched experts and R padded rows of this rank
(:mod:`planner.throughput.expert_load`); H hidden, E/ep experts of g matrices here (3, or 2 without
a gate; c = 10 or 6) of w bytes an element; P dense peak of the compute format, W bandwidth, W2 that
of L2 (58 GB/s a multiprocessor). A tile below 128 rows loads as much of the weights for fewer rows
(s); k0 is the fill of a tile's pipeline in elements of the inner dimension. X is the permutation,
activation, quantisation and weighted sum: of pairs; with kt of whole tokens, where a kernel narrows
them before they are dealt out; with kall of the pairs of other ranks, which some kernels pass over
too. te is what a grouped kernel spends on each expert, touched or not. φ is the share of the
weights that L2 does not hold: 1 in serving, where other layers have been there since; a benchmark
that repeats one layer finds few experts warm. v and u belong to Triton kernels: v to the tile for
many tokens, u to widths that 16 does not divide (Triton then compiles loads of single elements).

Source: the grouped GEMM form of the fused kernels of TensorRT-LLM, SGLang, vLLM and FlashInfer,
fitted by this project to the MoE tables of aiconfigurator-core 0.12.0.
"""

from __future__ import annotations

from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.throughput.expert_load import TILES, ExpertLoad
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

OPERATOR = "moe"
EXPONENT = 2.5
FULL_TILE = 128.0
GATED, PLAIN = 3.0, 2.0
"""Matrices of an expert: gate, up and down, or up and down alone."""
HIDDEN_BYTES, INNER_BYTES = 4.0, 4.0
"""Bytes a pair moves for each hidden feature (gather in, sum out) and, of each matrix but the last,
for each inner one (out and in again, 2 B each); the product of gate and up adds 2 B."""
L2_RATE, L2_STEEPNESS = 58e9, 3.0
"""Bytes/s of L2 for each multiprocessor (see :mod:`planner.throughput.forms.gemm`), and how sharply
a layer stops fitting."""
WARM = "l2_share"

TRITON = "triton"
"""Kernels of which the name contains this choose their tile by the number of tokens."""
TRITON_TILES = (TILES.index(16.0), TILES.index(64.0))
LINE = 16
"""Elements that a Triton load takes at once, where the width is a multiple."""
PLAIN_INPUTS = ("bf16", "fp16", "int4-w4a16", "mxfp4-w4a16")
"""Measured schemes whose activations stay as they are."""
TRTLLM_GEN, MARLIN, OAI = "flashinfer-trtllm", "marlin", "oai-triton"

_COMMON = (
    Parameter("launch_seconds", 25e-6, 2e-6, 2e-4, "s", device=True),
    Parameter("compute_fraction", 0.7, 0.05, 1.0, prior=1.0, device=True),
    Parameter("bandwidth_fraction", 0.85, 0.05, 1.0, prior=0.5, device=True),
    Parameter("small_tile", 0.3, 0.005, 2.0),
    Parameter("fill_elements", 600.0, 5.0, 6000.0),
    Parameter("traffic", 1.5, 0.1, 12.0, prior=1.0),
    Parameter(WARM, 0.6, 0.1, 1.3, prior=0.5),
)
TOKENS = Parameter("token_passes", 1.0, 0.05, 12.0, prior=1.0)
LOCAL = Parameter("traffic_elsewhere", 0.3, 0.003, 40.0, prior=3.0)
ALL_PAIRS = Parameter("traffic_elsewhere", 1.5, 0.003, 40.0, prior=3.0)
"""Triton and Marlin kernels pass over the pairs of all ranks: what SGLang's tables show at EP > 1
is where vLLM's, which have EP 1 alone, start and stay."""
EXPERT = Parameter("expert_seconds", 2e-8, 1e-11, 1e-6, "s", prior=3.0)
MANY = Parameter("many_slowdown", 1.3, 1.0, 3.0, prior=1.0)
NARROW = Parameter("unaligned_slowdown", 2.0, 1.0, 20.0, prior=1.0)


def parameters_of(variant: str) -> tuple[Parameter, ...]:
    """The parameters of a kernel; ``variant`` is ``KERNEL:SCHEME``."""
    kernel, _, scheme = variant.partition(":")
    tokens = () if scheme in PLAIN_INPUTS else (TOKENS,)
    if not tiled(variant):
        passes = ALL_PAIRS if MARLIN in kernel or OAI in kernel else LOCAL
        return (*_COMMON, *tokens, passes, EXPERT)
    narrow = (NARROW,) if not packed(scheme) else ()
    return (*_COMMON, *tokens, ALL_PAIRS, MANY, *narrow)


def tiled(variant: str) -> bool:
    """Whether the kernel takes its tile from the number of tokens. OpenAI's takes it from the mean
    rows of an expert, as grouped kernels do."""
    kernel = variant.partition(":")[0]
    return TRITON in kernel and OAI not in kernel


def packed(scheme: str) -> bool:
    """Whether weights are stored two to a byte: such kernels pad a width instead."""
    return "fp4" in scheme or "int4" in scheme


def stored_width(variant: str, width: Array) -> Array:
    """Inner features of an expert as the kernel stores them, of the shape of ``width``; ``width``
    before.

    TensorRT-LLM's generated kernels fill up to 128 (256 for MXFP4), Marlin to 128 where 64 does not
    divide the width, OpenAI's Triton kernels to 128, other Triton kernels to 64 for FP4 weights:
    layouts of one width in these tables take the same time as what they are filled up to.
    """
    kernel, _, scheme = variant.partition(":")
    if TRTLLM_GEN in kernel:
        step = 256.0 if scheme.startswith("mxfp4") else 128.0
    elif MARLIN in kernel:
        return np.where(np.mod(width, 64.0) == 0, width, np.ceil(width / 128.0) * 128.0)
    elif OAI in kernel:
        step = 128.0
    elif TRITON in kernel and packed(scheme):
        step = 64.0
    else:
        return width
    return np.asarray(np.ceil(width / step) * step)


@record
class ExpertShard:
    """Experts of one rank, numbers or arrays that broadcast with the load's.

    ``width`` is what one rank holds of an expert; ``local`` experts of a rank; ``weight_bytes`` an
    element; ``compute`` the format whose rate counts; ``matrices`` GATED or PLAIN.
    """

    hidden: Array
    width: Array
    local: Array
    weight_bytes: Array
    compute: str
    matrices: Array = field(default_factory=lambda: np.asarray(GATED))


def moe_parts(
    parameters: Parameters,
    chip: Chip,
    variant: str,
    experts: ExpertShard,
    load: ExpertLoad,
    *,
    tokens: Array,
    cold: bool = True,
) -> Parts:
    """Seconds of a fused layer by mechanism, shape of ``load`` and ``experts`` broadcast.

    ``cold``: no weight is in L2 (see the module). The traffic X counts as memory.
    """
    p = checked_parameters(parameters, parameters_of(variant), f"{OPERATOR} {variant}")
    hidden, width, fill = experts.hidden, stored_width(variant, experts.width), p["fill_elements"]
    many = tokens > experts.local if "many_slowdown" in p else None
    work = 2.0 * (experts.matrices - 1.0) * width * (hidden + fill) + 2.0 * hidden * (width + fill)
    compute = (
        padded_rows(load, p["small_tile"], many)
        * work
        / (p["compute_fraction"] * chip.peak(experts.compute))
    )
    streamed = load.touched * experts.matrices * hidden * width * experts.weight_bytes
    if not cold:
        missed = cache_miss_share(streamed, p[WARM] * chip.l2_bytes, L2_STEEPNESS)
        speed = max(chip.multiprocessors * L2_RATE / chip.bandwidth, 1.0)
        streamed = streamed * (missed + (1.0 - missed) / speed)
    memory = streamed / (p["bandwidth_fraction"] * chip.bandwidth)
    if many is not None:
        memory = memory * np.where(many, p["many_slowdown"], 1.0)
    if "unaligned_slowdown" in p:
        slow = np.where(np.mod(experts.width, LINE) != 0, p["unaligned_slowdown"], 1.0)
        compute, memory = compute * slow, memory * slow
    inner = INNER_BYTES * (experts.matrices - 1.0) + 2.0
    pair = HIDDEN_BYTES * hidden + inner * experts.width
    entering = p.get("token_passes", 1.0) * 4.0 * tokens * hidden
    traffic = (
        p["traffic"] * (load.pairs * pair + entering)
        + p["traffic_elsewhere"] * load.elsewhere * pair
    ) / chip.bandwidth
    launch = p["launch_seconds"] + p.get("expert_seconds", 0.0) * experts.local
    return parts(
        compute=compute,
        memory=memory + traffic,
        launch=launch,
        busy=traffic + power_sum(compute, memory, EXPONENT),
    )


def padded_rows(
    load: ExpertLoad, small_tile: float, many: NDArray[np.bool_] | None = None
) -> Array:
    """Rows that are computed [rows], in rows of a full tile's speed: of the best tile height, or of
    what a Triton kernel takes for ``many`` tokens; for few the low tile, where the high one is not
    faster.
    """
    penalty = 1.0 + small_tile * (FULL_TILE / np.array(TILES) - 1.0)
    rows = load.padded * penalty
    if many is None:
        return np.asarray(rows.min(axis=-1))
    few, high = (rows[..., tile] for tile in TRITON_TILES)
    return np.asarray(np.where(many, high, np.minimum(few, high)))
