"""Prices of devices that a sweep brings: checked before any work, and given to its questions."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from planner.base.errors import InputError, nearest_names
from planner.base.strict_json import short_repr
from planner.hardware.profile import DeviceProfile, Quantity
from planner.messages.message import Message, Text, message
from planner.planning.question.scenario import Host

Price = float | Mapping[str, float] | None
"""USD a device-hour: of all devices, or by device."""
GIVEN, SCENARIO = "given", "scenario"
"""Sources of prices that no device profile has."""
PROFILE = message("capacity.price_of_profile")
PROFILE_REASON = message("assumptions.price_is", whose=PROFILE)
_SOURCES = {GIVEN: message("assumptions.given"), SCENARIO: message("comparison.price_of_scenario")}
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


def with_price(device: DeviceProfile, usd: float | None, source: str = GIVEN) -> DeviceProfile:
    """The device at a price of ``source``, or as it is."""
    return (
        device
        if usd is None
        else replace(device, price_usd_per_hour=Quantity(usd, "USD/h", source, "", "recalled"))
    )


def at_known_price(device: DeviceProfile, given: float | None, host: Host) -> DeviceProfile:
    """The device at the price that answers are computed with: the one that was given, the
    scenario's, the profile's."""
    return with_price(with_price(device, host.price_usd_per_hour, SCENARIO), given)


def price_source(device: DeviceProfile) -> Text:
    """Who says what a device-hour costs; empty without a price."""
    price = device.price_usd_per_hour
    return "" if price is None else _SOURCES.get(price.source, PROFILE)


def price_reason(device: DeviceProfile) -> Message:
    """Whose price it is, and how to give one's own."""
    return message("assumptions.price_is", whose=price_source(device))
