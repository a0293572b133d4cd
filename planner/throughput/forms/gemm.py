"""A weight GEMM: tiles in waves, the bytes behind them, and what narrows the activations.

    t = t0 + quantise + (C³ + M³)^(1/3)
    M = [B_w·(φ_w + (1 − φ_w)/r) + (m·k·a + 2·m·n)·(φ + (1 − φ)/r)] / (e_m·W)
    C = min over tiles and splits of  u·(1 + d·log₂(1 + u / 100 µs))
    u = [w·⌈T·S/N⌉ + (1 − w)·max(T·S/N, ¼)] · step·(k/S + k0) + [S > 1]·(t_s + 8·S·m·n / (r·W))
    step = (f³ + l³)^(1/3)                                       a tile's time for one of k
    f = 2·TR·TN / (e_c·P/N) · (1 + s·q),  q = (1/TM + 1/TN) / (1/128 + 1/256) − 1
    l = (TR·a + TN·b) · I / (P16/N)
    T = ⌈m/TM⌉·⌈n/TN⌉ tiles, S = 1 … clip(⌊N/T⌋, 1, 8) parts of the sum over k
    TR = m in steps of 16, at least the kernel's least rows and at most TM
    quantise = launch + p·m·(k + k_q)·(2 + a)/W

m rows of activations of a bytes, n outputs, k inputs, B_w bytes of weights, b of each; P dense peak
of the compute format, P16 of BF16, W bandwidth, N multiprocessors. φ_w and φ are the shares of the
weights, and of the activations, that L2 (r times as fast as memory) does not hold: 1 in serving.
A multiprocessor loads a tile's operands at a rate that grows with its matrix unit over generations:
I FLOP of BF16 in the time of a byte (about 55 on each). Smaller tiles cost a penalty. What narrows
activations works by rows, so short ones take as long as k_q more elements. A kernel's smallest tile
is known, not fitted: ``shortest_tile``, ``narrowest_tile``, ``least_rows``.

A dependent wave model with a fill per tile (k0) follows NVIDIA, "Matrix Multiplication Background
User's Guide" (wave and tile quantisation); constants are fitted per device and stack.
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
from planner.throughput.forms.gemm_tiles import ROW_STEP, TILE_ROWS, GemmForm, compute_seconds
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import FLOP_PER_EXP, Chip

Array = NDArray[np.float64]

REPLAYS = 5.0
L2_SHARE = 0.9
L2_STEEPNESS = 6.0
"""The tables replay at most five copies of the weights: a shape is warm where all fit in L2."""
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
    Parameter("narrow_penalty", 0.2, 0.005, 4.0),
    Parameter("load_intensity", 60.0, 5.0, 1000.0, unit="FLOP/B"),
    Parameter("cached_factor", 1.5, 1.0, 8.0, prior=0.5),
)
STRUCTURE = (
    Parameter("shortest_tile", 128.0, 64.0, 128.0, unit="rows"),
    Parameter("narrowest_tile", 64.0, 32.0, 128.0, unit="outputs"),
    Parameter("least_rows", 128.0, ROW_STEP, TILE_ROWS, unit="rows"),
)
"""What a kernel's tiles are, chosen among STRUCTURES by cross-validation and not fitted."""
STRUCTURES = tuple(
    {"shortest_tile": tile[0], "narrowest_tile": tile[1], "least_rows": rows}
    for tile in ((128.0, 32.0), (128.0, 128.0), (64.0, 64.0), (64.0, 32.0))
    for rows in (128.0, 64.0, 16.0)
)
SPLIT = Parameter("split_seconds", 3e-6, 5e-7, 3e-5, unit="s")
SLOWDOWN = Parameter("long_slowdown", 0.03, 1e-3, 0.3)
PASSES = Parameter("quantise_passes", 2.0, 0.2, 10.0, device=True)
ROW = Parameter("row_elements", 500.0, 10.0, 20000.0)
QUANTISE_LAUNCH = Parameter("quantise_launch_seconds", 8.7e-6, 0.0, 4e-5, unit="s")
"""Launches of the separate quantise kernels, taken from their own tables and not fitted here."""


@record
class Operands:
    """What a scheme's GEMM reads. ``compute`` names the rate; bytes are per element."""

    compute: str
    weight_bytes: float
    activation_bytes: float

    @property
    def quantised(self) -> bool:
        """Whether 16-bit activations are narrowed before the product."""
        return self.activation_bytes < QUANTISE_INPUT_BYTES


@record
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

    cuBLAS splits k (BF16, and FP8 behind TensorRT-LLM), and so do CUTLASS kernels of narrow weights
    with 16-bit activations; other CUTLASS and DeepGEMM kernels do not: a split fitted there runs
    off to many times its cost. TensorRT-LLM's per-tensor FP8 runs two quantise kernels, its
    INT8 gets its activations from the kernel before; vLLM's narrowing takes the same time on H100
    and H200.
    """
    quantised = variant.startswith(("fp8-tensor", "fp8-block", "nvfp4"))
    cublas = (stack, variant) == ("trtllm", "fp8-tensor") or not (
        quantised or variant == "int8-w8a8"
    )
    return Mechanisms(
        split=cublas,
        quantised=quantised,
        separate=(stack, variant) == ("trtllm", "fp8-tensor"),
        vector=stack == "vllm" and variant == "fp8-tensor",
    )


def parameters_of(stack: str, variant: str) -> tuple[Parameter, ...]:
    """The parameters of ``variant`` on ``stack``; at most eleven are fitted."""
    kind = mechanisms(stack, variant)
    extra = [
        p
        for p, used in (
            (PASSES, kind.quantised),
            (ROW, kind.quantised),
            (SPLIT, kind.split),
            (SLOWDOWN, not (kind.split and kind.quantised)),
            (QUANTISE_LAUNCH, kind.separate),
        )
        if used
    ]
    return (*_COMMON, *extra, *STRUCTURE)


def gemm_form(
    parameters: Parameters,
    chip: Chip,
    operands: Operands,
    kind: Mechanisms,
    *,
    widened_per_s: float = float("inf"),
) -> GemmForm:
    """The form of one GEMM from the parameters of :func:`parameters_of`.

    ``widened_per_s`` elements/s of stored weights that are converted on the way (weight-only).
    """
    peak = chip.peak(operands.compute)
    moved = QUANTISE_INPUT_BYTES + operands.activation_bytes
    rate = chip.exp_per_s * FLOP_PER_EXP / VECTOR_FLOP_PER_BYTE if kind.vector else chip.bandwidth
    numbers = {
        "launch": parameters["launch_seconds"],
        "wave_rate": parameters["compute_fraction"] * peak / chip.multiprocessors,
        "memory_rate": parameters["bandwidth_fraction"] * chip.bandwidth,
        "fill": parameters["fill_elements"],
        "wave_weight": parameters["wave_weight"],
        "penalty": parameters["narrow_penalty"],
        "split": parameters["split_seconds"] if kind.split else float("inf"),
        "slowdown": parameters.get("long_slowdown", 0.0),
        "narrow_launch": parameters.get("quantise_launch_seconds", 0.0),
        "narrow_seconds": parameters.get("quantise_passes", 0.0) * moved / rate,
        "widen_seconds": 1.0 / widened_per_s,
        "row_elements": parameters.get("row_elements", 0.0),
        "least_rows": parameters["least_rows"],
        "shortest": parameters["shortest_tile"],
        "narrowest": parameters["narrowest_tile"],
        "load_rate": chip.wide_peak / chip.multiprocessors / parameters["load_intensity"],
        "weight_bytes": operands.weight_bytes,
        "activation_bytes": operands.activation_bytes,
        "multiprocessors": chip.multiprocessors,
        "l2_bytes": chip.l2_bytes,
        "cached": parameters["cached_factor"],
        "l2_rate": parameters["cached_factor"] * chip.bandwidth,
    }
    return GemmForm(**{name: np.asarray(v, dtype=np.float64) for name, v in numbers.items()})


def gemm_parts(
    form: GemmForm,
    *,
    m: Array,
    n: Array,
    k: Array,
    weight_bytes: Array | None = None,
    cold: bool,
    fused: bool = False,
) -> Parts:
    """Seconds of a GEMM by mechanism, arrays of the shape that the arguments broadcast to.

    Args:
        m, n, k: rows, outputs and inputs on one device; need not be whole.
        weight_bytes: stored bytes of the weights; n·k elements of the form where absent.
        cold: weights come from memory, whatever L2 could hold (serving).
        fused: the kernel before writes the activations in the narrow format, at no cost.
    """
    stored = n * k * form.weight_bytes if weight_bytes is None else weight_bytes
    passing = m * (k * form.activation_bytes + n * OUTPUT_BYTES)
    moved = stored + passing
    if not cold:
        moved = _missed(form, stored, REPLAYS * stored + passing) + _missed(form, passing, moved)
    compute = compute_seconds(form, m, n, k)
    memory = moved / form.memory_rate
    widened = n * k * form.widen_seconds
    narrowed = (
        0.0 if fused else form.narrow_launch + m * (k + form.row_elements) * form.narrow_seconds
    )
    busy = np.maximum(np.cbrt(compute**3 + memory**3), widened)
    return parts(
        compute=compute,
        memory=memory,
        launch=form.launch,
        conversion=widened,
        quantise=narrowed,
        busy=busy,
    )


def checked(parameters: Parameters, stack: str, variant: str) -> Parameters:
    """``parameters`` if they are those of ``variant`` on ``stack``; raises DataError else."""
    return checked_parameters(parameters, parameters_of(stack, variant), f"gemm {stack} {variant}")


def _missed(form: GemmForm, part: Array, candidates: Array) -> Array:
    """Bytes of memory that take as long as ``part``, of which L2 holds what it has room for of the
    bytes ``candidates``."""
    missed = cache_miss_share(candidates, L2_SHARE * form.l2_bytes, L2_STEEPNESS)
    return np.asarray(part * (missed + (1.0 - missed) / form.cached))
