"""A device in one of its power modes: slower clocks, fewer watts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from planner.base.errors import UnknownNameError, UnsupportedError
from planner.hardware.profile import Achieved, DeviceProfile, Quantity, Rate

_K = TypeVar("_K")
_V = TypeVar("_V")


def fastest_mode(device: DeviceProfile) -> str | None:
    """The mode of the highest compute rate, None for a device that states none."""
    return max(
        device.power_modes, key=lambda n: device.power_modes[n].compute_share.value, default=None
    )


def at_power_mode(device: DeviceProfile, name: str) -> DeviceProfile:
    """``device`` with rates, conversions, floors, bandwidth and power of its mode ``name``.

    Rates of every unit and software conversion follow the mode's share of the compute rate, memory
    its share of bandwidth; the floor of a call grows as the clocks fall, by the square root of the
    compute share: part of it is clocks that the mode keeps (assumption).

    Raises:
        UnsupportedError: the profile states no modes. UnknownNameError: it has no such mode.
    """
    wanted = name.lower().replace(" ", "").replace("_", "-")
    if not device.power_modes:
        raise UnsupportedError(
            f"{device.id} publishes no power modes", hint="leave out host.power_mode"
        )
    if wanted not in device.power_modes:
        raise UnknownNameError(f"power mode of {device.id}", name, device.power_modes)
    mode = device.power_modes[wanted]
    compute, memory = mode.compute_share.value, mode.bandwidth_share.value
    silicon = device.silicon
    if silicon is not None and silicon.exp_per_s is not None:
        silicon = replace(silicon, exp_per_s=_times(silicon.exp_per_s, compute))
    return replace(
        device,
        silicon=silicon,
        power_watts=mode.watts,
        bandwidth_bytes_per_s=_times(device.bandwidth_bytes_per_s, memory),
        rates=_each(
            device.rates,
            lambda rate: Rate(
                rate.unit,
                rate.format,
                _times(rate.dense, compute),
                _times(rate.sparse, compute) if rate.sparse is not None else None,
            ),
        ),
        conversion=_each(device.conversion, lambda q: _times(q, compute)),
        achieved=_each(
            device.achieved,
            lambda a: Achieved(
                a.compute_fraction, a.bandwidth_fraction, _times(a.floor_seconds, compute**-0.5)
            ),
        ),
        vector_fp32_flop_per_s=_times(device.vector_fp32_flop_per_s, compute)
        if device.vector_fp32_flop_per_s is not None
        else None,
    )


def _times(quantity: Quantity, factor: float) -> Quantity:
    def scaled(bound: float | None) -> float | None:
        return None if bound is None else bound * factor

    return replace(
        quantity,
        value=quantity.value * factor,
        low=scaled(quantity.low),
        high=scaled(quantity.high),
    )


def _each(items: Mapping[_K, _V], change: Callable[[_V], _V]) -> Mapping[_K, _V]:
    return MappingProxyType({key: change(value) for key, value in items.items()})
