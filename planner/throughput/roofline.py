"""The roofline of one operator, on arrays.

    t = launch + max(FLOP / (P·e_c), bytes / (W·e_m), converted / R) + communication

P dense peak of the unit, W memory bandwidth, e_c and e_m achieved fractions, R the conversion rate
of weight-only and software paths. All arguments broadcast; a scalar call is the 0-d case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BOUNDS = ("compute", "memory", "launch", "communication", "conversion")


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds by mechanism, arrays of one shape."""

    compute: Array
    memory: Array
    launch: Array
    communication: Array
    conversion: Array

    def total(self) -> Array:
        """Seconds of the operator, same shape."""
        busy = np.maximum(np.maximum(self.compute, self.memory), self.conversion)
        return np.asarray(busy + self.launch + self.communication, dtype=np.float64)

    def plus(self, other: Parts) -> Parts:
        """Mechanism-wise sum: the operators run one after the other."""
        return Parts(*(a + b for a, b in zip(self.arrays(), other.arrays(), strict=True)))

    def scaled(self, factor: float | Array) -> Parts:
        """Every mechanism times ``factor``."""
        return Parts(*(np.asarray(a * factor) for a in self.arrays()))

    def arrays(self) -> tuple[Array, Array, Array, Array, Array]:
        return self.compute, self.memory, self.launch, self.communication, self.conversion

    def at(self, index: tuple[int, ...]) -> dict[str, float]:
        """The mechanisms at one index as plain numbers; axes of length 1 stand for every index."""
        return {name: float(a[tuple(min(i, n - 1) for i, n in zip(index, a.shape, strict=True))])
                for name, a in zip(BOUNDS, self.arrays(), strict=True)}


def zeros(shape: tuple[int, ...]) -> Parts:
    """No time at all."""
    return Parts(*(np.zeros(shape) for _ in BOUNDS))


def operator(*, flop: Array, moved_bytes: Array, converted: Array, launch: Array, peak: Array,
             compute_fraction: Array, bandwidth: float, bandwidth_fraction: Array,
             conversion_rate: Array) -> Parts:
    """Roofline of one operator (see module docstring).

    Args:
        flop: floating-point (or integer) operations.
        moved_bytes: bytes through device memory.
        converted: elements converted in software or by a weight-only kernel.
        launch: fixed time of the launches [s].
        peak, bandwidth: dense peak [FLOP/s] and memory bandwidth [B/s].
        compute_fraction, bandwidth_fraction: achieved fractions in (0, 1].
        conversion_rate: elements/s; inf where nothing is converted.
    Returns:
        Seconds by mechanism, broadcast shape of the arguments.
    """
    compute = flop / (peak * compute_fraction)
    memory = moved_bytes / (bandwidth * bandwidth_fraction)
    conversion = converted / conversion_rate
    shape = np.broadcast_shapes(np.shape(compute), np.shape(memory), np.shape(conversion),
                                np.shape(launch))
    return Parts(compute=np.broadcast_to(compute, shape), memory=np.broadcast_to(memory, shape),
                 launch=np.broadcast_to(np.asarray(launch, dtype=np.float64), shape),
                 communication=np.zeros(shape), conversion=np.broadcast_to(conversion, shape))


def main_bound(parts: dict[str, float]) -> str:
    """The mechanism that takes most of the time; ties go to the earlier name in BOUNDS."""
    return max(BOUNDS, key=lambda name: parts[name])
