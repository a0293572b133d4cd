"""Energy and money of output tokens, and replicas for a rate of requests: estimates.

    P = P_limit·(i + (1 − i)·Σ_b s_b·a_b),   J/token = devices·P·TPOT / batch

i idle share, s_b share of time bound by b, a_b activity of that bound (data/energy.toml: assumed,
not measured).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.base.records import record
from planner.hardware.profile import DeviceProfile

_DATA = Path(__file__).resolve().parent / "data"
Array = NDArray[np.float64]
OVERLAPPED = ("compute", "memory", "conversion")


@record
class Energy:
    """Watts of one device, joules per output token with their range, and what they rest on."""

    watts: float
    joules_per_token: float
    low: float
    high: float
    source: str


def activity(kernels: Iterable[tuple[Mapping[str, float], float]]) -> float:
    """Time-weighted activity, 0 to 1, of (mechanisms of a kernel [s], how often it runs).

    What overlaps counts as the mechanism that takes longest.
    """
    weights = _rules()["activity"]
    total = active = 0.0
    for mechanisms, count in kernels:
        bound = max(OVERLAPPED, key=lambda name: mechanisms[name])
        for seconds, name in (
            (mechanisms["busy"], bound),
            (mechanisms["launch"], "launch"),
            (mechanisms["communication"], "communication"),
            (mechanisms["quantise"], "memory"),
        ):
            total += seconds * count
            active += seconds * count * weights[name]
    return active / total if total > 0 else 0.0


def activity_arrays(kernels: Iterable[tuple[Mapping[str, Array], float]]) -> Array:
    """:func:`activity` of many candidates: mechanisms [C] each."""
    weights = _rules()["activity"]
    of_bound = np.array([weights[name] for name in OVERLAPPED])
    total, active = np.zeros(1), np.zeros(1)
    for mechanisms, count in kernels:
        bound = np.argmax(np.stack([mechanisms[name] for name in OVERLAPPED]), axis=0)
        for seconds, weight in (
            (mechanisms["busy"], of_bound[bound]),
            (mechanisms["launch"], weights["launch"]),
            (mechanisms["communication"], weights["communication"]),
            (mechanisms["quantise"], weights["memory"]),
        ):
            total = total + seconds * count
            active = active + seconds * count * weight
    return np.divide(active, total, out=np.zeros_like(active), where=total > 0)


def energy(
    device: DeviceProfile, *, activity_share: float, devices: int, tokens_per_second: float
) -> Energy | None:
    """Of a replica of ``devices`` at so many output tokens/s; None without a power limit.

    Raises:
        InputError: a count, share or time out of range.
    """
    if device.power_watts is None:
        return None
    if not 0 <= activity_share <= 1 or devices < 1 or not tokens_per_second > 0:
        raise InputError(
            f"activity {activity_share}, {devices} devices, {tokens_per_second} tokens/s",
            hint="a share, a count of at least 1, a rate above 0",
        )
    rules = _rules()
    idle = rules["idle"][device.kind]
    watts = device.power_watts.value * (idle + (1.0 - idle) * activity_share)
    joules = devices * watts / tokens_per_second
    factor = rules["factor"]
    return Energy(watts, joules, joules / factor, joules * factor, rules["source"])


def usd_per_million_tokens(price_per_hour: float, devices: int, tokens_per_second: float) -> float:
    """Price of a million output tokens at ``price_per_hour`` a device."""
    return price_per_hour / 3600.0 * devices / tokens_per_second * 1e6


def replicas_for(
    requests_per_s: float,
    osl: int,
    tokens_per_second: float,
) -> tuple[int, float]:
    """(replicas, requests/s that one serves at its full batch) for ``requests_per_s`` of answers of
    ``osl`` tokens, where one gives ``tokens_per_second``: steady state without a margin for bursts.

    Raises:
        InputError: a rate that is not above 0.
    """
    if not requests_per_s > 0:
        raise InputError(f"{requests_per_s} requests a second", hint="a number above 0")
    each = tokens_per_second / osl
    return max(1, ceil(requests_per_s / each - 1e-9)), each


@cache
def _rules() -> Mapping[str, Any]:
    return tomllib.loads((_DATA / "energy.toml").read_text(encoding="utf-8"))
