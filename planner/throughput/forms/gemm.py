"""A weight GEMM: tiles in waves, the bytes behind them, and what narrows the activations.

    t = t0 + quantise + (C³ + M³)^(1/3)
    M = [B_w·(φ + (1 − φ)/1.5) + m·k·a + 2·m·n] / (e_m·W)
    C = min over tiles and splits of  u·(1 + d·log₂(1 + u / 100 µs))
    u = [w·⌈T·S/N⌉ + (1 − w)·max(T·S/N, ¼)] · 2·TR·TN·(k/S + k0) / (e_c·P/N) · (1 + s·q)
        + [S > 1]·(t_s + 8·S·m·n / (1.5·W))
    T = ⌈m/TM⌉·⌈n/TN⌉ tiles, S = 1 … clip(⌊N/T⌋, 1, 8) parts of the sum over k
    TR = min(TM, max(m rounded up to 16, TM·(P/N)·(B_w/(n·k))/2 B / 7.5 TFLOP/s))

m rows of activations of a bytes, n outputs, k inputs, B_w bytes of weights; P dense peak of the
compute format, W bandwidth, N multiprocessors; φ is the share of the weights that L2 does not hold
(1 in serving: other layers have been there since). Tiles are 128 rows high; narrower ones cost a
penalty q. A dependent wave model with a fill per tile (k0) follows NVIDIA, "Matrix Multiplication
Background User's Guide" (wave and tile quantisation); constants are fitted per device and stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from planner.records import record
from planner.throughput.forms.base import Parameter, Parameters, misses, values
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import FLOP_PER_EXP, Chip

Array = NDArray[np.float64]

_TILES = np.array([[256.0, 192.0, 128.0, 64.0, 32.0], [0.0, 0.5, 1.0, 2.0, 4.0]])
"""Widths of tiles of TILE_ROWS rows, and the penalty q of each: half as much work to hide the loads
behind costs one more."""
TILE_ROWS = 128.0
ROW_STEP = 16.0
"""Rows of one matrix instruction."""
LOOP_RATE = 7.49e12
"""BF16 FLOP/s of an H100's multiprocessor: there a tile of few rows takes as long as a full one,
because its loop over k waits for weights (58 GB/s from L2). H200 waits as long, with 1.4 times
the memory bandwidth; a weaker matrix unit is the bottleneck earlier, and waits less."""
LEAST_WAVE = 0.25
"""A multiprocessor that shares a tile's memory system with idle ones is at most 4 times as fast."""
MAX_SPLIT = 8
PARTIAL_BYTES = 8.0
"""FP32 partial sums of a split, written and read."""
L2_SPEED = 1.5
"""L2 bandwidth over memory bandwidth, for weights and partial sums that stay in it."""
REPLAYS = 5.0
L2_SHARE = 0.9
"""The tables replay at most five copies of the weights: a shape is warm where all fit in L2."""
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

    cuBLAS splits k (BF16, and FP8 behind TensorRT-LLM); CUTLASS and DeepGEMM kernels do not:
    a split fitted there runs off to many times its cost. TensorRT-LLM's per-tensor FP8 runs two
    quantise kernels; vLLM's narrowing takes the same time on H100 and H200.
    """
    quantised = variant.startswith(("fp8-tensor", "fp8-block", "nvfp4"))
    cublas = variant in ("bf16", "fp16", "fp32") or (stack, variant) == ("trtllm", "fp8-tensor")
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


@record
class GemmForm:
    """The form with everything that shapes do not change, as arrays that broadcast.

    One GEMM has 0-d arrays; :func:`together` puts those of S schemes on a last axis. A term that a
    kernel lacks is neutral: ``split`` inf, the others 0. Rates are per second: ``wave_rate`` FLOP
    of one multiprocessor, ``memory_rate`` bytes that a kernel reaches, ``bandwidth`` bytes;
    ``*_seconds`` are seconds, of one element in ``narrow_seconds`` and ``widen_seconds``. A tile
    takes at least the time of ``least_rows``.
    """

    launch: Array
    wave_rate: Array
    memory_rate: Array
    fill: Array
    wave_weight: Array
    penalty: Array
    split: Array
    slowdown: Array
    narrow_launch: Array
    narrow_seconds: Array
    widen_seconds: Array
    least_rows: Array
    weight_bytes: Array
    activation_bytes: Array
    multiprocessors: Array
    l2_bytes: Array
    bandwidth: Array


def gemm_form(parameters: Parameters, chip: Chip, operands: Operands, kind: Mechanisms, *,
              widened_per_s: float = float("inf")) -> GemmForm:
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
        "fill": parameters["fill_elements"], "wave_weight": parameters["wave_weight"],
        "penalty": parameters["narrow_penalty"],
        "split": parameters["split_seconds"] if kind.split else float("inf"),
        "slowdown": parameters.get("long_slowdown", 0.0),
        "narrow_launch": parameters.get("quantise_launch_seconds", 0.0),
        "narrow_seconds": parameters.get("quantise_passes", 0.0) * moved / rate,
        "widen_seconds": 1.0 / widened_per_s,
        "least_rows": np.clip(TILE_ROWS * peak / chip.multiprocessors / LOOP_RATE
                              * operands.weight_bytes / OUTPUT_BYTES, ROW_STEP, TILE_ROWS),
        "weight_bytes": operands.weight_bytes, "activation_bytes": operands.activation_bytes,
        "multiprocessors": chip.multiprocessors, "l2_bytes": chip.l2_bytes,
        "bandwidth": chip.bandwidth,
    }
    return GemmForm(**{name: np.asarray(v, dtype=np.float64) for name, v in numbers.items()})


def together(forms: Sequence[GemmForm]) -> GemmForm:
    """Forms of S schemes as one, arrays [S]."""
    return GemmForm(**{f.name: np.array([getattr(form, f.name) for form in forms])
                       for f in fields(GemmForm)})


def gemm_parts(form: GemmForm, *, m: Array, n: Array, k: Array,
               weight_bytes: Array | None = None, cold: bool, fused: bool = False) -> Parts:
    """Seconds of a GEMM by mechanism, arrays of the shape that the arguments broadcast to.

    Args:
        m, n, k: rows, outputs and inputs on one device; need not be whole.
        weight_bytes: stored bytes of the weights; n·k elements of the form where absent.
        cold: weights come from memory, whatever L2 could hold (serving).
        fused: the kernel before writes the activations in the narrow format, at no cost.
    """
    stored = n * k * form.weight_bytes if weight_bytes is None else weight_bytes
    read = stored
    if not cold:
        missed = misses(stored, L2_SHARE * form.l2_bytes / REPLAYS, 3.0)
        read = stored * (missed + (1.0 - missed) / L2_SPEED)
    compute = _compute(form, m, n, k)
    memory = (read + m * (k * form.activation_bytes + n * OUTPUT_BYTES)) / form.memory_rate
    widened = n * k * form.widen_seconds
    narrowed = 0.0 if fused else form.narrow_launch + m * k * form.narrow_seconds
    busy = np.maximum(np.cbrt(compute ** 3 + memory ** 3), widened)
    return parts(compute=compute, memory=memory, launch=form.launch, conversion=widened,
                 quantise=narrowed, busy=busy)


def checked(parameters: Parameters, stack: str, variant: str) -> Parameters:
    """``parameters`` if they are those of ``variant`` on ``stack``; raises DataError else."""
    return values(parameters, parameters_of(stack, variant), f"gemm {stack} {variant}")


def _compute(form: GemmForm, m: Array, n: Array, k: Array) -> Array:
    """The fastest tile and split [s]; tiles lie on a first axis of their own."""
    shape = np.broadcast_shapes(np.shape(m), np.shape(n), np.shape(k), form.launch.shape)
    width, penalty = (column.reshape(-1, *(1,) * len(shape)) for column in _TILES)
    tiles = np.ceil(m / TILE_ROWS) * np.ceil(n / width)
    rows = np.minimum(np.maximum(np.ceil(m / ROW_STEP) * ROW_STEP, form.least_rows), TILE_ROWS)
    wave = 2.0 * rows * width / form.wave_rate * (1.0 + form.penalty * penalty)
    best = (_waves(form, tiles / form.multiprocessors) * wave * (k + form.fill)).min(axis=0)
    if np.isfinite(form.split).any():
        best = np.minimum(best, _split_where_possible(form, tiles, wave, m * n, k))
    return np.asarray(best * (1.0 + form.slowdown * np.log2(1.0 + best / LONG_SECONDS)))


def _split_where_possible(form: GemmForm, tiles: Array, wave: Array, outputs: Array,
                          k: Array) -> Array:
    """:func:`_split` of the rows [C] that leave half of the multiprocessors idle, inf elsewhere."""
    count = wave.shape[1] if wave.ndim == 3 else 0
    by_row = all(a.ndim in (0, 2) and a.shape[1:] in ((), (1,)) for a in (outputs, k))
    if not by_row or not count or tiles.shape[1] != count:
        return _split(form, tiles, wave, outputs, k)
    best = np.full(wave.shape[1:], np.inf)
    where = np.flatnonzero(2.0 * tiles.min(axis=(0, 2)) <= form.multiprocessors.max())
    outputs, k = (np.broadcast_to(a, (count, 1))[where] for a in (outputs, k))
    best[where] = _split(form, tiles[:, where], wave[:, where], outputs, k)
    return best


def _split(form: GemmForm, tiles: Array, wave: Array, outputs: Array, k: Array) -> Array:
    """The cheapest tile and number of parts that the sum over k is split into [s]: all parts run in
    one wave. Inf where not even two do."""
    best = np.full(wave.shape[1:], np.inf)
    partial = PARTIAL_BYTES / L2_SPEED * outputs / form.bandwidth
    for ways in range(2, MAX_SPLIT + 1):
        filled = tiles * (ways / form.multiprocessors)
        possible = filled <= 1.0
        if not possible.any():
            break
        wait = form.wave_weight + (1.0 - form.wave_weight) * np.maximum(filled, LEAST_WAVE)
        apart = np.where(possible, wait * wave, np.inf).min(axis=0)
        best = np.minimum(best, apart * (k / ways + form.fill) + ways * partial)
    return np.asarray(best + form.split)


def _waves(form: GemmForm, filled: Array) -> Array:
    """Waves of tiles: whole ones weighted by w, the average load by 1 − w."""
    w = form.wave_weight
    return np.asarray(w * np.ceil(filled) + (1.0 - w) * np.maximum(filled, LEAST_WAVE))
