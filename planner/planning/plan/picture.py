"""The plan as a picture: which format each module takes in each layer, and what fills a device.

Dark fills are multiplied in their format; pale fills are stored in it and multiplied in 16 bits;
caches and the types of llama.cpp, which multiplies integers, lie between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from planner.planning.plan.record import MemoryInfo, Plan

PALETTE = {
    "fp32": "#3d4249",
    "bf16": "#eadacf",
    "fp16": "#d5c5d1",
    "fp8-tensor": "#1d2a50",
    "fp8-channel": "#1e4ebe",
    "fp8-block": "#3869b0",
    "fp8-block-ue8m0": "#1b548c",
    "fp8-w8a16": "#bcd3ff",
    "mxfp8": "#146837",
    "int8-w8a8": "#b0300a",
    "int8-block": "#6c2b00",
    "int8-w8a16": "#ffedc8",
    "int4-w4a16": "#e7d97d",
    "int4-w4a16-g32": "#d9cba1",
    "nvfp4": "#4c1b9a",
    "nvfp4-w4a16": "#b3aeff",
    "mxfp4": "#aa4560",
    "mxfp4-w4a8": "#9c1473",
    "mxfp4-w4a16": "#bfb0da",
    "mxfp6": "#e1edff",
    "ggml-q8_0": "#c4b78a",
    "ggml-q4_0": "#fef093",
    "ggml-q4_k": "#c3b3b2",
    "ggml-q6_k": "#cdc064",
    "ggml-q5_1": "#f5faf0",
    "ggml-q5_k": "#e6ff32",
    "ggml-q5_0": "#f5dcaa",
    "ggml-q4_1": "#e1eb4b",
    "ggml-iq4_nl": "#afdc19",
    "ggml-nvfp4": "#f5a000",
    "ggml-mxfp4": "#e69664",
    "ggml-iq4_xs": "#73af91",
    "ggml-q3_k": "#c887fa",
    "ggml-iq3_s": "#69a5d7",
    "ggml-iq3_xxs": "#2db95f",
    "ggml-q2_k": "#2da0b4",
    "ggml-iq2_s": "#c369f5",
    "ggml-iq2_xs": "#fa5ac3",
    "ggml-q2_0": "#e15aa0",
    "ggml-iq2_xxs": "#419150",
    "ggml-tq2_0": "#d75f5f",
    "ggml-iq1_m": "#6e69d2",
    "ggml-tq1_0": "#98697c",
    "ggml-iq1_s": "#2c6bff",
    "ggml-q1_0": "#ce2af9",
    "fp8": "#5a90d2",
    "fp8-ds-mla": "#448a9c",
    "int8-token": "#cd9232",
    "int4-token": "#559876",
    "int4-channel": "#ae762a",
}
"""Fill of each scheme and cache layout: no two alike, with red-green blindness as well."""
OTHER = "#8d95a1"
DARK_INK, LIGHT_INK = "#14181d", "#ffffff"
MEMORY_FILLS = {
    "weights": "#1d5f9e",
    "cache": "#0b6f63",
    "activations": "#9a4a06",
    "runtime": "#6b7380",
}


@dataclass(frozen=True, slots=True)
class FormatRun:
    """Neighbouring layers with one format; ``scheme`` is empty where the module is absent."""

    first: int
    count: int
    scheme: str

    @property
    def last(self) -> int:
        """The last layer of the run."""
        return self.first + self.count - 1


@dataclass(frozen=True, slots=True)
class FormatStrip:
    """One module kind over the depth of the model."""

    kind: str
    runs: tuple[FormatRun, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """``ends`` are (kind, scheme) of tensors outside the stack; ``ticks`` are layer numbers."""

    layers: int
    strips: tuple[FormatStrip, ...]
    ends: tuple[tuple[str, str], ...]
    ticks: tuple[int, ...]
    weight_schemes: tuple[str, ...]
    cache_layouts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemoryShare:
    """A part of a device's memory: bytes, and the share of its capacity [1]."""

    name: str
    bytes: int
    share: float
    fill: str


def picture(plan: Plan) -> Picture:
    """Formats by module kind and layer, in the order of the plan's units."""
    layers = 1 + max((n for u in plan.units for n in u.layers), default=-1)
    kinds: dict[str, list[str]] = {}
    ends = []
    for unit in plan.units:
        if not unit.layers:
            ends.append((unit.kind, unit.scheme))
            continue
        row = kinds.setdefault(unit.matrix, [""] * layers)
        for layer in unit.layers:
            row[layer] = unit.scheme
    step = next(s for s in (5, 10, 20, 50, 100, 1000) if layers <= 9 * s or s == 1000)
    return Picture(
        layers,
        tuple(FormatStrip(kind, format_runs(row)) for kind, row in kinds.items()),
        tuple(ends),
        tuple(range(0, layers, step)),
        _distinct(u.scheme for u in plan.units if u.kv_layout is None),
        _distinct(u.kv_layout for u in plan.units if u.kv_layout is not None),
    )


def format_runs(row: list[str]) -> tuple[FormatRun, ...]:
    runs: list[FormatRun] = []
    for layer, scheme in enumerate(row):
        if runs and runs[-1].scheme == scheme:
            runs[-1] = FormatRun(runs[-1].first, runs[-1].count + 1, scheme)
        else:
            runs.append(FormatRun(layer, 1, scheme))
    return tuple(runs)


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def memory_shares(memory: MemoryInfo) -> tuple[MemoryShare, ...]:
    """What fills the fullest device, then what is free, then what the engine does not use."""
    used = (
        ("weights", memory.weights_bytes),
        ("cache", memory.kv_cache_bytes),
        ("activations", memory.activation_bytes),
        ("runtime", memory.runtime_bytes),
    )
    rest = (
        ("free", max(memory.usable_bytes - memory.total_bytes, 0)),
        ("kept", max(memory.capacity_bytes - max(memory.usable_bytes, memory.total_bytes), 0)),
    )
    capacity = max(memory.capacity_bytes, 1)
    return tuple(
        MemoryShare(name, size, size / capacity, MEMORY_FILLS.get(name, ""))
        for name, size in (*used, *rest)
    )


def format_colour(scheme: str) -> str:
    """The colour of a scheme or cache layout."""
    return PALETTE.get(scheme, OTHER)


def text_colour(background: str) -> str:
    """The text colour that reads better on ``background``."""
    return max((DARK_INK, LIGHT_INK), key=lambda colour: contrast(colour, background))


def contrast(background: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    high, low = sorted((_luminance(background), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
