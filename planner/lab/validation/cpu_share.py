"""The part of a CPU that a measured row ran on: cores, their bandwidth, and the units it names."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

from planner.hardware.profile import DeviceProfile, Quantity

_FILE = Path(__file__).resolve().parent / "data" / "published.toml"
FEW = 0.25
"""Up to this share of the cores run at the turbo clock, the upper end of a rate."""
_THREADS = re.compile(r"(\d{1,4}) (?:threads?|cores?)\b", re.IGNORECASE)
_NO_AMX = re.compile(r"no AMX", re.IGNORECASE)


def share_name(device: DeviceProfile, *texts: str) -> str:
    """``device``'s id, with the cores that ``texts`` name (``xeon-6980p@2``) and without the AMX
    that they deny (``xeon-6980p@2-noamx``); other devices, and all cores, keep their id."""
    if device.kind != "cpu" or device.silicon is None:
        return device.id
    cores = int(device.silicon.multiprocessors.value)
    match = next((m for m in map(_THREADS.search, texts) if m is not None), None)
    used = min(max(int(match[1]), 1), cores) if match is not None else cores
    denied = any(_NO_AMX.search(text) for text in texts) and ("amx", "int8") in device.rates
    return device.id + (f"@{used}" if used < cores else "") + ("-noamx" if denied else "")


def shared_device(device: DeviceProfile, name: str) -> DeviceProfile:
    """The part of ``device`` that :func:`share_name` called ``name``: rates by cores, bandwidth as
    far as they reach."""
    text = name.removeprefix(device.id)
    if not text or device.silicon is None:
        return device
    rates = {
        key: rate
        for key, rate in device.rates.items()
        if not (text.endswith("-noamx") and key[0] == "amx")
    }
    cores = device.silicon.multiprocessors
    used = int(text.removesuffix("-noamx").removeprefix("@") or cores.value)
    share = used / cores.value
    few = share <= FEW
    return replace(
        device,
        rates={
            key: replace(rate, dense=_times(rate.dense, share, few=few))
            for key, rate in rates.items()
        },
        conversion={key: _times(q, share, few=False) for key, q in device.conversion.items()},
        bandwidth_bytes_per_s=replace(
            device.bandwidth_bytes_per_s,
            value=min(device.bandwidth_bytes_per_s.value, used * _core_bytes_per_s()),
            low=None,
            high=None,
        ),
        silicon=replace(device.silicon, multiprocessors=replace(cores, value=float(used))),
    )


def _times(quantity: Quantity, share: float, *, few: bool) -> Quantity:
    value = quantity.high if few and quantity.high is not None else quantity.value
    return replace(quantity, value=value * share, low=None, high=None)


@cache
def _core_bytes_per_s() -> float:
    return float(tomllib.loads(_FILE.read_text(encoding="utf-8"))["core"]["bytes_per_s"])
