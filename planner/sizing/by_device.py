"""Capacity on several devices: each is answered for itself, and the cheapest is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from planner.base.errors import InfeasibleError, InputError, UnsupportedError
from planner.base.records import cached_record
from planner.hardware.catalog import device_id
from planner.hardware.profile import DeviceProfile
from planner.messages.message import joined, with_name
from planner.planning.choose.selection import Selection
from planner.sizing.capacity_record import Capacity, OtherDevice
from planner.sizing.cheapest import CheapestFormats, chance_cheaper, cost_draws
from planner.sizing.options import OptionNote, SizedDeployable, dearer_reason

Device = str | DeviceProfile
Prices = float | Mapping[str, float] | None
"""USD a device-hour: of all devices, or by device."""
MOST_DEVICES = 12
SizedRow = tuple[str, SizedDeployable, OptionNote]
"""Formats that are not the answer: their name, their best layout, what is said of them."""


@cached_record
class SizedAnswer:
    """The answer on one device, with the ``choices`` among formats of the ``selection`` that it
    came of, and the other ``formats`` as rows."""

    capacity: Capacity
    choices: CheapestFormats
    selection: Selection
    formats: tuple[SizedRow, ...]

    @property
    def best(self) -> SizedDeployable:
        """The deployable that it is."""
        return self.choices.answer.best

    @property
    def growth(self) -> float:
        """By which power of its step time its devices grow."""
        return self.choices.growth


def named_devices(device: object) -> list[Device]:
    """The devices of a name, of several with commas between them, or of a list, each once.

    Raises:
        InputError: none, or more than ``MOST_DEVICES``.
    """
    if isinstance(device, str):
        names: list[Device] = [name.strip() for name in device.split(",") if name.strip()]
    elif isinstance(device, Sequence):
        names = list(device)
    else:
        assert isinstance(device, DeviceProfile)
        return [device]
    if not names:
        raise InputError("no device is named", hint="for example h100-sxm, or h100-sxm,b200-sxm")
    once: dict[str, Device] = {}
    for name in names:
        once.setdefault(name_of(name), name)
    if len(once) > MOST_DEVICES:
        raise InputError(
            f"{len(once)} devices are too many to size",
            hint=f"at most {MOST_DEVICES}; `plan sweep` asks for more",
        )
    return list(once.values())


def name_of(device: Device) -> str:
    """The id of a device, or the name that it is asked by."""
    return device.id if isinstance(device, DeviceProfile) else device_id(device)


def price_of(prices: Prices, device: Device) -> float | None:
    """USD a device-hour that is given for all devices or for this one; None where none is."""
    if isinstance(prices, Mapping):
        return {device_id(name): usd for name, usd in prices.items()}.get(name_of(device))
    return prices


def cheapest_device(
    devices: Sequence[Device], sized_on: Callable[[Device], SizedAnswer]
) -> Capacity:
    """The cheapest answer with those on the other devices; by devices where a price is missing.

    Raises:
        InfeasibleError: none of them keeps the limits.
    """
    found: list[SizedAnswer] = []
    refused: list[tuple[str, str]] = []
    hints: list[str] = []
    for device in devices:
        try:
            found.append(sized_on(device))
        except (InfeasibleError, UnsupportedError) as error:
            refused.append((name_of(device), error.text))
            hints.append(error.hint)
    if not found:
        told = joined([with_name(name, reason) for name, reason in refused])
        raise InfeasibleError(told, hint=hints[0])
    priced = all(one.capacity.answer.usd_per_month is not None for one in found)
    costs = [
        (one.capacity.answer.usd_per_month or 0.0) if priced else float(one.capacity.devices)
        for one in found
    ]
    draws = cost_draws([one.best for one in found], costs, max(one.growth for one in found))
    order = sorted(range(len(found)), key=lambda i: (costs[i], i))
    answer = order[0]
    others = tuple(
        OtherDevice(
            found[i].capacity,
            chance_cheaper(draws[i], draws[answer]) if priced else None,
            dearer_reason(costs[i], costs[answer], priced=priced),
        )
        for i in order[1:]
    )
    return replace(found[answer].capacity, others=others, refused=tuple(refused))


def check_prices(prices: Prices, devices: Sequence[Device]) -> None:
    """Refuse a price that is none, or of a device that is not asked.

    Raises:
        InputError: such a price.
    """
    if prices is None:
        return
    names = {name_of(device) for device in devices}
    table = prices if isinstance(prices, Mapping) else dict.fromkeys(names, prices)
    for name, usd in table.items():
        if not 0 < usd < float("inf"):
            raise InputError(f"price {usd:g} is out of range", hint="USD a device-hour, above 0")
        if device_id(name) not in names:
            raise InputError(
                f"price of {name}, which is not asked", hint="asked are " + ", ".join(sorted(names))
            )
