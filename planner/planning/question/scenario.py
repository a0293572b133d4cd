"""The record of a scenario: what its file set, and the machine around the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.base.records import record


@record
class Host:
    """What a scenario says of the machine around the device; None keeps the profile's value.
    ``requests_per_s`` is the rate that replicas are counted for."""

    devices_per_node: int | None = None
    scale_up_devices: int | None = None
    scale_up_bytes_per_s: float | None = None
    scale_out_bytes_per_s: float | None = None
    memory_bytes_per_device: int | None = None
    usable_fraction: float | None = None
    price_usd_per_hour: float | None = None
    power_mode: str | None = None
    requests_per_s: float | None = None


@record
class Scenario:
    """One question. ``values`` holds what the file set, by flag name; ``host`` the machine."""

    id: str
    title: str
    question: str
    values: Mapping[str, Any]
    host: Host
