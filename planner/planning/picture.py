"""The plan as a picture: which format each module takes in each layer, and what fills a device.

Dark fills are multiplied in their format; pale fills are stored in it and multiplied in 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from planner.planning.plan import MemoryInfo, Plan

PALETTE = {
    "fp32": "#3d434c", "bf16": "#cfd4dc", "fp16": "#a9b3c1",
    "fp8-tensor": "#123a66", "fp8-channel": "#2a4fa3", "fp8-block": "#1d5f9e",
    "fp8-block-ue8m0": "#0e6f7c", "fp8-w8a16": "#b3d3ee", "mxfp8": "#0b5f54",
    "int8-w8a8": "#9a4a06", "int8-block": "#6f3a0c", "int8-w8a16": "#f6d39a",
    "int4-w4a16": "#b9dcb4", "int4-w4a16-g32": "#8fc58f",
    "nvfp4": "#6d28a8", "nvfp4-w4a16": "#dcc8f0", "mxfp4": "#9d1f55", "mxfp4-w4a8": "#b0307a",
    "mxfp4-w4a16": "#f2c3d6", "mxfp6": "#d9d2b0",
    "ggml-q8_0": "#ead9b0", "ggml-q4_0": "#c5d9a4", "ggml-q4_k": "#a8cfa0", "ggml-q6_k": "#d8dfa0",
    "fp8": "#1d5f9e", "fp8-ds-mla": "#123a66", "int8-token": "#9a4a06", "int4-token": "#2d6a37",
    "int4-channel": "#4c7a1e",
}
"""Fill of each scheme and cache layout."""
OTHER = "#8d95a1"
DARK_INK, LIGHT_INK = "#14181d", "#ffffff"
MEMORY_FILLS = {"weights": "#1d5f9e", "cache": "#0b6f63", "activations": "#9a4a06",
                "runtime": "#6b7380"}


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring layers with one format; ``scheme`` is empty where the module is absent."""

    first: int
    count: int
    scheme: str

    @property
    def last(self) -> int:
        """The last layer of the run."""
        return self.first + self.count - 1


@dataclass(frozen=True, slots=True)
class Strip:
    """One module kind over the depth of the model."""

    kind: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """``ends`` are (kind, scheme) of tensors outside the stack; ``ticks`` are layer numbers."""

    layers: int
    strips: tuple[Strip, ...]
    ends: tuple[tuple[str, str], ...]
    ticks: tuple[int, ...]
    weight_schemes: tuple[str, ...]
    cache_layouts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Share:
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
        row = kinds.setdefault(unit.kind, [""] * layers)
        for layer in unit.layers:
            row[layer] = unit.scheme
    step = next(s for s in (5, 10, 20, 50, 100, 1000) if layers <= 9 * s or s == 1000)
    return Picture(
        layers, tuple(Strip(kind, runs(row)) for kind, row in kinds.items()), tuple(ends),
        tuple(range(0, layers, step)),
        _distinct(u.scheme for u in plan.units if u.kv_layout is None),
        _distinct(u.kv_layout for u in plan.units if u.kv_layout is not None))


def runs(row: list[str]) -> tuple[Run, ...]:
    runs: list[Run] = []
    for layer, scheme in enumerate(row):
        if runs and runs[-1].scheme == scheme:
            runs[-1] = Run(runs[-1].first, runs[-1].count + 1, scheme)
        else:
            runs.append(Run(layer, 1, scheme))
    return tuple(runs)


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def memory_shares(memory: MemoryInfo) -> tuple[Share, ...]:
    """What fills the fullest device, then what is free, then what the engine does not use."""
    used = (("weights", memory.weights_bytes), ("cache", memory.kv_cache_bytes),
            ("activations", memory.activation_bytes), ("runtime", memory.runtime_bytes))
    rest = (("free", max(memory.usable_bytes - memory.total_bytes, 0)),
            ("kept", max(memory.capacity_bytes
                              - max(memory.usable_bytes, memory.total_bytes), 0)))
    whole = max(memory.capacity_bytes, 1)
    return tuple(Share(name, size, size / whole, MEMORY_FILLS.get(name, ""))
                 for name, size in (*used, *rest))


def fill(scheme: str) -> str:
    """The colour of a scheme or cache layout."""
    return PALETTE.get(scheme, OTHER)


def ink(background: str) -> str:
    """The text colour that reads better on ``background``."""
    return max((DARK_INK, LIGHT_INK), key=lambda colour: contrast(colour, background))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
