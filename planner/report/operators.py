"""Operators of a plan on a device's roofline: what was counted, and what the plan says of time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operator:
    """Units of one kind and scheme in one phase (``decode`` or ``prefill``), one rank.

    ``flop`` and ``moved_bytes`` are of one pass over their layers, ``seconds`` the plan's time for
    it, communication included; ``peak_flop_per_s`` the dense peak of the format that multiplies.
    """

    kind: str
    scheme: str
    phase: str
    flop: float
    moved_bytes: float
    seconds: float
    peak_flop_per_s: float

    @property
    def intensity(self) -> float:
        """Operational intensity [FLOP/B]."""
        return self.flop / self.moved_bytes

    @property
    def flop_per_s(self) -> float:
        """Rate reached [FLOP/s]."""
        return self.flop / self.seconds


@dataclass(frozen=True, slots=True)
class Operators:
    """``roofs`` are (format, dense peak [FLOP/s]) in falling order; ``unplaced`` are kinds that
    multiply nothing. Where nothing could be counted ``reason`` says why and the rest is empty."""

    bandwidth_bytes_per_s: float = 0.0
    roofs: tuple[tuple[str, float], ...] = ()
    points: tuple[Operator, ...] = ()
    unplaced: tuple[str, ...] = ()
    reason: str = ""

    def share_of_roof(self, operator: Operator) -> float:
        """Rate reached over min(peak, intensity · bandwidth) [1]."""
        roof = min(operator.peak_flop_per_s, operator.intensity * self.bandwidth_bytes_per_s)
        return operator.flop_per_s / roof
