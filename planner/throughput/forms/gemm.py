"""A weight GEMM: tiles in waves, the bytes behind them, and what narrows the activations.

    t = t0 + quantise + (C³ + M³)^(1/3)
    M = [B_w·(φ + (1 − φ)/1.5) + m·k·a + 2·m·n] / (e_m·W)
    C = min over tiles and splits of  u·(1 + d·log₂(1 + u / 100 µs))
    u = [w·⌈T·S/N⌉ + (1 − w)·max(T·S/N, ¼)] · 2·TM·TN·(k/S + k0) / (e_c·P/N) · (1 + s·q)
        + [S > 1]·(t_s + 8·S·m·n / (1.5·W))
    T = ⌈m/TM⌉·⌈n/TN⌉ tiles, S = 1 or clip(⌊N/T⌋, 1, 8) parts of the sum over k

m rows of activations of a bytes, n outputs, k inputs, B_w bytes of weights; P dense peak of the
compute format, W bandwidth, N multiprocessors; φ is the share of the weights that L2 does not hold
(1 in serving: other layers have been there since). Tiles are 128 rows high; narrower ones cost a
penalty q. A dependent wave model with a fill per tile (k0) follows NVIDIA, "Matrix Multiplication
Background User's Guide" (wave and tile quantisation); constants are fitted per device and stack.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.throughput.forms.base import Parameter, Parameters, misses, power_sum, values
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import FLOP_PER_EXP, Chip

Array = NDArray[np.float64]

TILES = ((256, 0.0), (192, 0.5), (128, 1.0), (64, 2.0), (32, 4.0))
"""Widths of tiles of TILE_ROWS rows, each with its penalty q: each half as much work to hide the
loads behind."""
TILE_ROWS = 128.0
LEAST_WAVE = 0.25
"""A multiprocessor that shares a tile's memory system with idle ones is at most 4 times as fast."""
MAX_SPLIT = 8.0
PARTIAL_BYTES = 8.0
"""FP32 partial sums of a split, written and read."""
L2_SPEED = 1.5
"""L2 bandwidth over memory bandwidth, for weights and partial sums that stay in it."""
REPLAYS = 5.0
L2_SHARE = 0.9
"""The tables replay at most five copies of the weights: a shape is warm where all fit in L2."""
OVERLAP = 3.0
LONG_SECONDS = 1e-4
OUTPUT_BYTES = 2.0
QUANTISE_INPUT_BYTES = 2.0
VECTOR_FLOP_PER_BYTE = 20.0
"""Vector FLOP in the time of one byte on an H100: the unit of passes that vector code bounds."""

_COMMON = (
    Parameter("launch_seconds", 4e-6, 0.5e-6, 4e-5, unit="s", device=True),
    Parameter("compute_fraction", 0.75, 0.15, 1.0, device=True),
    Parameter("bandwidth_fraction", 0.82, 0.2, 1.0, device=True),
    Parameter("fill_elements", 200.0, 10.0, 4000.0),
    Parameter("wave_weight", 0.5, 0.05, 1.0),
    Parameter("narrow_penalty", 0.2, 0.005, 2.0),
)
SPLIT = Parameter("split_seconds", 3e-6, 1e-6, 3e-5, unit="s")
SLOWDOWN = Parameter("long_slowdown", 0.03, 1e-3, 0.3)
PASSES = Parameter("quantise_passes", 2.0, 0.2, 10.0, device=True)
QUANTISE_LAUNCH = Parameter("quantise_launch_seconds", 8.7e-6, 0.0, 4e-5, unit="s")
"""Launches of the separate quantise kernels, taken from their own tables and not fitted here."""


@dataclass(frozen=True, slots=True)
class Operands:
    """What a scheme's GEMM reads. ``compute`` names the rate; bytes are per element."""

    compute: str
    weight_bytes: float
    activation_bytes: float

    @property
    def quantised(self) -> bool:
        """Whether 16-bit activations are narrowed before the product."""
        return self.activation_bytes < QUANTISE_INPUT_BYTES


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """Which terms a stack's kernels have.

    ``split``: sums over k are split. ``separate``: quantise kernels of their own run before the
    product. ``vector``: narrowing is bound by vector instructions, not by bandwidth.
    """

    split: bool
    quantised: bool
    separate: bool
    vector: bool


def mechanisms(stack: str, variant: str) -> Mechanisms:
    """The terms of ``variant`` on ``stack``.

    cuBLAS splits k (BF16, and FP8 behind TensorRT-LLM); CUTLASS and DeepGEMM kernels do not:
    a split fitted there runs off to many times its cost. TensorRT-LLM's per-tensor FP8 runs two
    quantise kernels; vLLM's narrowing takes the same time on H100 and H200.
    """
    quantised = variant not in ("bf16", "fp16", "fp32")
    cublas = not quantised or (stack, variant) == ("trtllm", "fp8-tensor")
    return Mechanisms(split=cublas, quantised=quantised,
                      separate=(stack, variant) == ("trtllm", "fp8-tensor"),
                      vector=stack == "vllm" and variant == "fp8-tensor")


def parameters_of(stack: str, variant: str) -> tuple[Parameter, ...]:
    """The parameters of ``variant`` on ``stack``; at most eight are fitted."""
    kind = mechanisms(stack, variant)
    extra = [p for p, used in ((PASSES, kind.quantised), (SPLIT, kind.split),
                               (SLOWDOWN, not (kind.split and kind.quantised)),
                               (QUANTISE_LAUNCH, kind.separate)) if used]
    return (*_COMMON, *extra)


def gemm_parts(parameters: Parameters, chip: Chip, operands: Operands, kind: Mechanisms, *,
               m: Array, n: Array, k: Array, weight_bytes: Array | None = None,
               cold: bool, fused: bool = False) -> Parts:
    """Seconds of a GEMM by mechanism, arrays of the shape that ``m``, ``n``, ``k`` broadcast to.

    Args:
        parameters: those of :func:`parameters_of`.
        m, n, k: rows, outputs and inputs on one device; need not be whole.
        weight_bytes: stored bytes of the weights; n·k elements of ``operands`` where absent.
        cold: weights come from memory, whatever L2 could hold (serving).
        fused: the kernel before writes the activations in the narrow format, at no cost.
    """
    compute = _compute(parameters, chip, operands.compute, kind, m, n, k)
    stored = n * k * operands.weight_bytes if weight_bytes is None else weight_bytes
    read = stored
    if not cold:
        missed = misses(stored, L2_SHARE * chip.l2_bytes / REPLAYS, 3.0)
        read = stored * (missed + (1.0 - missed) / L2_SPEED)
    moved = read + m * k * operands.activation_bytes + OUTPUT_BYTES * m * n
    memory = moved / (parameters["bandwidth_fraction"] * chip.bandwidth)
    narrowing = _narrowing(parameters, chip, operands, m * k, vector=kind.vector) \
        if kind.quantised and not fused else np.zeros(())
    return parts(compute=compute, memory=memory, launch=np.asarray(parameters["launch_seconds"]),
                 quantise=narrowing, busy=power_sum(compute, memory, OVERLAP))


def checked(parameters: Parameters, stack: str, variant: str) -> Parameters:
    """``parameters`` if they are those of ``variant`` on ``stack``; raises DataError else."""
    return values(parameters, parameters_of(stack, variant), f"gemm {stack} {variant}")


def _compute(p: Parameters, chip: Chip, compute: str, kind: Mechanisms, m: Array, n: Array,
             k: Array) -> Array:
    """The fastest tile and split [s]."""
    count, speed = chip.multiprocessors, p["compute_fraction"] * chip.peak(compute)
    high = np.ceil(m / TILE_ROWS)
    best: Array | None = None
    for width, penalty in TILES:
        tiles = high * np.ceil(n / width)
        wave = 2.0 * TILE_ROWS * width * count / speed * (1.0 + p["narrow_penalty"] * penalty)
        time = _waves(p, tiles / count) * wave * (k + p["fill_elements"])
        if kind.split:
            ways = np.clip(np.floor(count / tiles), 1.0, MAX_SPLIT)
            apart = (_waves(p, tiles * ways / count) * wave * (k / ways + p["fill_elements"])
                     + p["split_seconds"]
                     + PARTIAL_BYTES * ways * m * n / (L2_SPEED * chip.bandwidth))
            time = np.where(ways > 1.0, np.minimum(time, apart), time)
        best = time if best is None else np.minimum(best, time)
    assert best is not None
    if "long_slowdown" in p:
        best = best * (1.0 + p["long_slowdown"] * np.log2(1.0 + best / LONG_SECONDS))
    return np.asarray(best)


def _waves(p: Parameters, filled: Array) -> Array:
    """Waves of tiles: whole ones weighted by w, the average load by 1 − w."""
    w = p["wave_weight"]
    return np.asarray(w * np.ceil(filled) + (1.0 - w) * np.maximum(filled, LEAST_WAVE))


def _narrowing(p: Parameters, chip: Chip, operands: Operands, elements: Array, *,
               vector: bool) -> Array:
    """Seconds of narrowing ``elements`` activations before the product."""
    moved = elements * (QUANTISE_INPUT_BYTES + operands.activation_bytes)
    rate = chip.exp_per_s * FLOP_PER_EXP / VECTOR_FLOP_PER_BYTE if vector else chip.bandwidth
    return np.asarray(p.get("quantise_launch_seconds", 0.0)
                      + p["quantise_passes"] * moved / rate)
