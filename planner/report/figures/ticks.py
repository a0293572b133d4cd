"""The ends and ticks of an axis, for whoever draws it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

from planner.units import format_rate

FEW = 6
"""Ticks of a linear axis, about."""
MANY = 8
"""Ticks of a logarithmic axis at 1, 2 and 5 of each decade, at most."""
FAR = 0.4
"""A linear axis of dots begins at 0 where the least value is below this share of the greatest."""


@dataclass(frozen=True, slots=True)
class AxisTicks:
    """From ``low`` to ``high``; ``values`` lie between."""

    low: float
    high: float
    values: tuple[float, ...]
    log: bool

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as they are written."""
        return tuple(tick_text(value) for value in self.values)

    def share(self, value: float) -> float:
        """The place of a value, 0 at ``low`` and 1 at ``high``; held to the axis."""
        held = min(max(value, self.low), self.high)
        if self.log:
            return log10(held / self.low) / log10(self.high / self.low)
        return (held - self.low) / (self.high - self.low)


def tick_text(value: float) -> str:
    """A tick as short as it is: ``0.5``, ``20``, ``1,000``."""
    return f"{value:.0e}" if value and not 1e-4 <= abs(value) < 1e9 else format_rate(value)


def axis_ticks(values: Iterable[float], *, log: bool, zero: bool) -> AxisTicks:
    """An axis around ``values``; a linear one holds 0 where ``zero`` or values reach near it."""
    found = sorted(values)
    if log and found and found[-1] > 0:
        return _decades([v for v in found if v > 0])
    low, high = (found[0], found[-1]) if found else (0.0, 1.0)
    if zero or 0 <= low < FAR * high:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = (0.0, 2 * high) if high > 0 else (2 * low, 0.0) if low < 0 else (0.0, 1.0)
    step = _step((high - low) / (FEW - 1))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    ticks = tuple(n * step for n in range(first, last + 1))
    return AxisTicks(ticks[0], ticks[-1], ticks, False)


def _step(rough: float) -> float:
    size: float = 10.0 ** floor(log10(rough))
    return next(m * size for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * size >= rough * (1 - 1e-9))


def _decades(found: list[float]) -> AxisTicks:
    """Ends at 1, 2 or 5 of a decade, as near to the values as that goes; ticks at all of these, or
    at decades alone where they would be many."""
    first, last = floor(log10(found[0]) + 1e-9), ceil(log10(found[-1]) - 1e-9)
    every = [10.0**n for n in range(first, max(last, first + 1) + 1)]
    fine = [m * size for size in every for m in (1.0, 2.0, 5.0)]
    low = max(value for value in fine if value <= found[0] * (1 + 1e-9))
    high = min(value for value in fine if value >= found[-1] * (1 - 1e-9))
    if low == high:
        low, high = low / 2, high * 2
    inside = tuple(v for v in fine if low <= v <= high)
    if len(inside) > MANY:
        whole = [v for v in every if low <= v <= high]
        inside = tuple(whole[:: ceil(len(whole) / (FEW + 1))])
    return AxisTicks(low, high, inside, True)
