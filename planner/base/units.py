"""Unit constants and the formatting that people see. The core works in bytes, seconds and FLOP."""

from __future__ import annotations

import math

KIB = 2**10
MIB = 2**20
GIB = 2**30

_BINARY = (("TiB", 2**40), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))
_TIMES = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))


def format_bytes(count: float) -> str:
    """Bytes with a binary unit, e.g. ``76.13 GiB``."""
    for name, size in _BINARY:
        if abs(count) >= size:
            return f"{count / size:.2f} {name}"
    return f"{count:.0f} B"


def format_seconds(seconds: float) -> str:
    """A duration with three significant digits, e.g. ``14.2 ms``."""
    for name, size in _TIMES:
        if abs(seconds) >= 0.9995 * size:
            return f"{format_rate(seconds / size)} {name}"
    return f"{seconds:.3g} s"


def format_count(count: float) -> str:
    """A count with decimal grouping below a million and an SI suffix above, e.g. ``671.03 B``."""
    for name, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if abs(count) >= size:
            return f"{count / size:.2f} {name}"
    return f"{count:,.0f}"


def format_three(value: float) -> str:
    """Three significant digits, zeros included, below 1000 and grouped digits above: ``0.0120``."""
    return format_rate(value) if value == 0 or abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")


def format_rate(value: float) -> str:
    """A rate with three significant digits below 1000 and grouped digits above."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def format_layers(layers: tuple[int, ...]) -> str:
    """Layers as ranges, e.g. ``0-2, 59-60``; empty for tensors outside the stack."""
    spans: list[list[int]] = []
    for layer in sorted(layers):
        if spans and layer == spans[-1][1] + 1:
            spans[-1][1] = layer
        else:
            spans.append([layer, layer])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)


def milliseconds_up(seconds: float) -> float:
    """Milliseconds of four digits that are no less."""
    value = seconds * 1e3
    step = 10.0 ** (math.floor(math.log10(value)) - 3)
    return float(f"{math.ceil(value / step * (1 - 1e-12)) * step:.6g}")
