"""Prices of devices that a sweep brings: checked before any work, and given to its questions."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from planner.base.errors import InputError, nearest_names
from planner.base.strict_json import short_repr
from planner.hardware.profile import DeviceProfile, Quantity
from planner.planning.question.scenario import Scenario

Price = float | Mapping[str, float] | None
"""USD a device-hour: of all devices, or by device."""
HINT = "USD a device-hour, for example price = 2.5, or [price] with h100-sxm = 2.5"


def checked_price(value: Any, place: str) -> Price:
    """A price as it was given, if it is one.

    Raises:
        InputError: no number above 0, or no table of them.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        if not value:
            raise InputError(f"{place}: names no device", hint=HINT)
        return {
            str(name): _number(device_price, f"{place}: {name}")
            for name, device_price in value.items()
        }
    return _number(value, place)


def _number(value: Any, place: str) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 < value <= sys.float_info.max
    ):
        text = short_repr(value) if isinstance(value, int) else repr(value)
        raise InputError(f"{place} = {text}: a number above 0 is required", hint=HINT)
    return float(value)


def by_device(price: Price, ids: Mapping[str, str], devices: Collection[str]) -> dict[str, float]:
    """Prices by the ids of the ``devices`` of all questions; ``ids`` are those of the names in
    ``price``.

    Raises:
        InputError: a device that no question asks about, or one that has two prices.
    """
    if price is None:
        return {}
    if not isinstance(price, Mapping):
        return dict.fromkeys(devices, price)
    out: dict[str, float] = {}
    for name, value in price.items():
        device = ids[name]
        if device not in devices:
            raise InputError(
                f"price of {name}, which no question asks about",
                hint=nearest_names(device, devices),
            )
        if out.setdefault(device, value) != value:
            raise InputError(f"price of {name}: {device} has two prices", hint="leave one out")
    return out


def with_price(device: DeviceProfile, usd: float | None) -> DeviceProfile:
    """The device at a price that was given, or as it is."""
    return (
        device
        if usd is None
        else replace(device, price_usd_per_hour=Quantity(usd, "USD/h", "given", "", "recalled"))
    )


def without_price(scenario: Scenario) -> Scenario:
    """The scenario without a price of its own: one was given that stands before it."""
    return replace(scenario, host=replace(scenario.host, price_usd_per_hour=None))


def known_price(device: DeviceProfile, scenario: Scenario | None) -> float | None:
    """The price that answers are computed with, as :mod:`planner.planning.question.resolve` finds
    it; None where none is known."""
    if scenario is not None and scenario.host.price_usd_per_hour:
        return scenario.host.price_usd_per_hour
    return None if device.price_usd_per_hour is None else device.price_usd_per_hour.value
