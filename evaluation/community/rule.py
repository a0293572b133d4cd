"""llmfit's estimate of decode, written again from AlexsJones/llmfit@3f44fd3 (MIT):
llmfit-core/src/fit.rs ``estimate_tps``, models.rs ``quant_bpp``, ``quant_bytes_per_param``,
``quant_speed_multiplier`` and ``moe_bandwidth_decomposition``, hardware.rs
``gpu_memory_bandwidth_gbps`` (``bandwidths.csv``, in its order: the first name that a card's name
contains). Its catalogue's parameters and widths are those of our configurations, which have them
for every model."""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

from planner.base.records import record
from planner.models.spec import ModelSpec

BANDWIDTHS = Path(__file__).with_name("bandwidths.csv")
EFFICIENCY = 0.55
CPU_FACTOR = 0.3
DDR_GB_PER_S = 50.0
OFFLOADED_FACTOR = 0.8
MANY_CORES = 1.1
"""For eight cores and more, which every processor of the rows has."""
FIXED_BYTES = 3.2
"""Bytes a parameter that is no expert's."""
PRESSURE_FROM, PRESSURE_FLOOR = 0.60, 0.30
CONSTANTS = {"metal": 160.0, "cuda": 220.0, "rocm": 180.0, "vulkan": 150.0}
"""tokens/s × billions of parameters, of a card whose bandwidth is not known."""
CPU_CONSTANTS = {"x86": 70.0, "arm": 90.0}
_WEIGHT = {  # name → (bytes in a file, bytes that a token reads, factor of CPUs), a parameter
    "F16": (2.0, 2.0, 0.6),
    "BF16": (2.0, 2.0, 0.6),
    "Q8_0": (1.05, 1.0, 0.8),
    "Q6_K": (0.80, 0.75, 0.95),
    "Q5_K_M": (0.68, 0.625, 1.0),
    "Q4_K_M": (0.58, 0.5, 1.15),
    "Q4_0": (0.58, 0.5, 1.15),
    "Q3_K_M": (0.48, 0.375, 1.25),
    "Q2_K": (0.37, 0.25, 1.35),
    "mlx-4bit": (0.55, 0.5, 1.15),
    "mlx-8bit": (1.0, 1.0, 0.85),
}
_OTHER = (0.58, 0.5, 1.0)
_DYNAMIC = re.compile(r"UD-Q([234568])_K_")
_OF_DIGIT = {"2": "Q2_K", "3": "Q3_K_M", "4": "Q4_K_M", "5": "Q5_K_M", "6": "Q6_K", "8": "Q8_0"}
CARD, CPU, OFFLOADED = "card", "cpu", "offloaded"


@record
class MachineRow:
    """What llmfit's rule asks of a machine: the ``gpu`` by name, ``vram_gb`` (0: not known), the
    ``backend`` and the ``mode``: card, cpu or offloaded (experts in host memory)."""

    gpu: str
    vram_gb: float
    backend: str
    mode: str
    arm: bool = False


@cache
def _bandwidths() -> tuple[tuple[str, float], ...]:
    with BANDWIDTHS.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return tuple((row["name_contains"], float(row["gb_per_second"])) for row in rows)


def bandwidth_gb_per_s(gpu: str) -> float | None:
    """The bandwidth that llmfit has for a card of that name."""
    name = gpu.lower()
    return next((value for part, value in _bandwidths() if part in name), None)


def llmfit_decode(spec: ModelSpec, quant: str, machine: MachineRow) -> float:
    """Tokens/s of decode as llmfit 3f44fd3 estimates them."""
    in_file, read, cpu = _weight(quant)
    params = max(active_billions(spec), 0.1)
    bandwidth = bandwidth_gb_per_s(machine.gpu)
    if machine.mode == CPU:
        constant = CPU_CONSTANTS["arm" if machine.arm else "x86"]
        return max(constant / params * cpu * MANY_CORES * CPU_FACTOR, 0.1)
    if bandwidth is None:
        return _of_constant(params, read, cpu, machine)
    if spec.experts is not None and machine.mode == OFFLOADED:
        return OFFLOADED_FACTOR / (
            params * read / DDR_GB_PER_S + params * read / (bandwidth * EFFICIENCY)
        )
    if spec.experts is None:
        factor = 0.5 if machine.mode == OFFLOADED else 1.0
        return max(bandwidth / (params * read) * EFFICIENCY * factor, 0.1)
    experts, fixed = expert_and_fixed_billions(spec)
    raw = bandwidth / (experts * in_file + fixed * FIXED_BYTES)
    return max(raw * _pressure(spec, in_file, machine.vram_gb), 0.1)


def _weight(quant: str) -> tuple[float, float, float]:
    """Of unsloth's dynamic names llmfit takes the digit alone."""
    dynamic = _DYNAMIC.match(quant)
    if dynamic is not None:
        return _WEIGHT[_OF_DIGIT[dynamic[1]]]
    return _WEIGHT.get(quant.replace("MLX-", "mlx-"), _OTHER)


def _of_constant(params: float, read: float, cpu: float, machine: MachineRow) -> float:
    constant = CONSTANTS[machine.backend]
    if machine.mode == OFFLOADED:
        card = constant * read / EFFICIENCY
        seconds = params * read / DDR_GB_PER_S + params * read / (card * EFFICIENCY)
        return MANY_CORES / seconds
    return max(constant / params * cpu * MANY_CORES, 0.1)


def _pressure(spec: ModelSpec, in_file: float, vram_gb: float) -> float:
    """What llmfit takes off for experts that fill a card beyond 60 %."""
    if not vram_gb or spec.experts is None:
        return 1.0
    filled = total_billions(spec) * in_file / vram_gb
    if not PRESSURE_FROM <= filled <= 1.0:
        return 1.0
    idle = 1.0 - spec.experts.per_token / spec.experts.count
    return max(1.0 - (filled - PRESSURE_FROM) * idle, PRESSURE_FLOOR)


def total_billions(spec: ModelSpec) -> float:
    """Parameters of the main model, in billions."""
    return _elements(spec, 1.0) / 1e9


def active_billions(spec: ModelSpec) -> float:
    """Those that one token uses, in billions."""
    chosen = spec.experts.per_token / spec.experts.count if spec.experts else 1.0
    return _elements(spec, chosen) / 1e9


def _elements(spec: ModelSpec, chosen: float) -> float:
    return sum(
        row.elements * row.copies * (chosen if row.experts > 1 else 1.0)
        for row in spec.rows
        if row.part == "main" and row.counted and row.copy_of is None
    )


def expert_and_fixed_billions(spec: ModelSpec) -> tuple[float, float]:
    """(parameters of the experts that a token is sent to, of everything else as llmfit counts it:
    attention by heads in every layer, shared experts, routers, head and table of tokens)."""
    experts = spec.experts
    if experts is None:
        return 0.0, 0.0
    shared_heads = [a for a in spec.attention if a.kind == "gqa"]
    attention = (*shared_heads, *spec.attention)[0]
    hidden, layers = spec.hidden_size, spec.layers
    chosen = layers * experts.per_token * 3 * hidden * experts.width
    width = attention.head_dim or hidden // attention.heads
    heads = 2 * (attention.heads + (attention.kv_heads or attention.heads)) * width
    shared = 3 * hidden * experts.shared_width
    fixed = layers * (heads * hidden + shared + experts.count * hidden)
    return chosen / 1e9, (fixed + 2 * spec.vocab_size * hidden) / 1e9
