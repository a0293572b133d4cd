"""A device as the calibrated operator forms see it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.hardware.profile import DeviceProfile

FLOP_PER_EXP = 16.0
"""Vector FP32 FLOP/s per exponential/s: an SM has 128 FMA lanes (256 FLOP a clock) and 16
special-function results a clock, on every generation here but Blackwell Ultra (which states its
own)."""


@record
class Chip:
    """Spec-sheet figures of one device.

    ``peaks`` are dense FLOP/s (OP/s) by rate format; ``bandwidth`` B/s of device memory;
    ``multiprocessors`` a count; ``l2_bytes``; ``exp_per_s``; ``link_bytes_per_s`` per direction in
    the scale-up domain, 0 without one.
    """

    id: str
    peaks: Mapping[str, float]
    bandwidth: float
    multiprocessors: float
    l2_bytes: float
    exp_per_s: float
    link_bytes_per_s: float

    def peak(self, format_id: str) -> float:
        """Dense peak of ``format_id`` [FLOP/s].

        Raises:
            UnsupportedError: no unit of the device multiplies it.
        """
        if format_id not in self.peaks:
            raise UnsupportedError(
                f"{self.id} multiplies no {format_id}",
                hint="see `plan list devices` for the formats each device multiplies",
            )
        return self.peaks[format_id]

    @property
    def wide_peak(self) -> float:
        """Dense peak of 16-bit products [FLOP/s]; half of the highest where none is stated."""
        stated = [self.peaks[name] for name in ("bf16", "fp16") if name in self.peaks]
        return stated[0] if stated else max(self.peaks.values(), default=0.0) / 2


def chip(device: DeviceProfile) -> Chip | None:
    """The figures of ``device``, or None where the profile has no ``[silicon]``."""
    if device.silicon is None:
        return None
    peaks: dict[str, float] = {}
    for (_, name), rate in device.rates.items():
        peaks[name] = max(peaks.get(name, 0.0), rate.dense.value)
    exp = device.silicon.exp_per_s
    vector = device.vector_fp32_flop_per_s
    rate_exp = (
        exp.value
        if exp is not None
        else (vector.value / FLOP_PER_EXP if vector is not None else 0.0)
    )
    link = device.links.scale_up_bytes_per_s
    return Chip(
        id=device.id,
        peaks=MappingProxyType(peaks),
        bandwidth=device.bandwidth_bytes_per_s.value,
        multiprocessors=device.silicon.multiprocessors.value,
        l2_bytes=device.silicon.l2_bytes.value,
        exp_per_s=rate_exp,
        link_bytes_per_s=link.value if link is not None else 0.0,
    )
