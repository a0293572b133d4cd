"""What figures of a device that were assumed add to the error of every time on it."""

from __future__ import annotations

import math

from planner.hardware.profile import DeviceProfile, Quantity

Z80 = 1.2815515655446004
"""80 % of a normal distribution lies within ±1.2816 standard deviations."""


def assumed_sigma(device: DeviceProfile, metric: str) -> float:
    """Log-space standard deviation of all times of ``metric`` (tpot or ttft) on a machine whose
    bandwidth nobody measured: that of its bandwidth for decode steps, of its rates for prompts; the
    ranges of both are taken to hold 80 %. 0 where they are known."""
    if device.bandwidth_bytes_per_s.kind != "assumed":
        return 0.0
    if metric == "tpot":
        return _width(device.bandwidth_bytes_per_s)
    return max((_width(rate.dense) for rate in device.rates.values()), default=0.0)


def _width(one: Quantity) -> float:
    if one.low is None or one.high is None:
        return 0.0
    return math.log(one.high / one.low) / (2 * Z80)
