"""A tier of prefixes beyond device memory: its room and the link that loads from it."""

from __future__ import annotations

import csv
from functools import cache

from planner.base.errors import InputError, UnsupportedError
from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.planning.engines.kv_offload import HOST, TIERS
from planner.planning.engines.rules import DATA
from planner.throughput.residency import DRIVE, Link, host_link

MOST_BYTES = 1 << 50
"""Bytes beside one device beyond which a number was meant in another unit."""


@record
class OffloadTier:
    """``bytes_per_device`` of host memory or of a drive of its own, behind ``link``."""

    kind: str
    bytes_per_device: int
    link: Link
    why: str


@record
class HostMemory:
    """What host memory a device brings along: bytes, and bytes a second that it reads of it."""

    ids: tuple[str, ...]
    size: int
    bytes_per_s: float
    source: str


def offload_tier(device: DeviceProfile, kind: str, size: int | None) -> OffloadTier:
    """The tier ``kind`` of ``size`` bytes a device; of what the device brings along where None.

    Raises:
        InputError: no such tier, a size out of range, or none that is known.
        UnsupportedError: the device has no host memory of its own beside it.
    """
    if kind not in TIERS:
        raise InputError(f"kv-offload = {kind!r}", hint="none, " + ", ".join(TIERS))
    if size is not None and not 0 < size <= MOST_BYTES:
        raise InputError(
            f"kv-offload-bytes = {size} is out of range", hint="bytes beside one device, above 0"
        )
    link = tier_link(device, kind)
    if size is not None:
        return OffloadTier(kind, size, link, "given")
    memory = host_memory(device)
    if kind != HOST or memory is None:
        what = "host memory beside" if kind == HOST else "the drive of"
        raise InputError(
            f"how large {what} one {device.id} is, is not known",
            hint=f"--kv-offload-bytes N beside --kv-offload {kind}: bytes for "
            "prefixes beside one device",
        )
    return OffloadTier(kind, memory.size, link, memory.source)


def tier_link(device: DeviceProfile, kind: str) -> Link:
    """The path from a tier into device memory: NVLink-C2C where the device has it, else PCIe; a
    drive is read through host memory, by the slower of both.

    Raises:
        UnsupportedError: the device's memory is the host's.
    """
    if device.kind == "cpu" or device.unified_memory:
        if kind == HOST:
            raise UnsupportedError(
                f"{device.id} has no host memory beside its own: they are one",
                hint="--kv-offload nvme, or none: prefixes stay in its memory anyway",
            )
        return DRIVE
    memory = host_memory(device)
    host = host_link(device) if memory is None else _read(host_link(device, "nvlink-c2c"), memory)
    if kind == HOST:
        return host
    return Link(
        DRIVE.id,
        min(DRIVE.bytes_per_s, host.bytes_per_s),
        DRIVE.floor_seconds + host.floor_seconds,
        f"{DRIVE.source}; one drive a device",
    )


def _read(link: Link, memory: HostMemory) -> Link:
    """``link`` no quicker than the memory behind it."""
    if memory.bytes_per_s >= link.bytes_per_s:
        return link
    return Link(
        link.id,
        memory.bytes_per_s,
        link.floor_seconds,
        f"{link.source}; host memory is read at {memory.bytes_per_s / 1e9:.0f} GB/s: "
        f"{memory.source}",
    )


def host_memory(device: DeviceProfile) -> HostMemory | None:
    """The host memory of ``device`` where it is part of it, None where it is the server's."""
    return next((row for row in _memories() if device.id.startswith(row.ids)), None)


@cache
def _memories() -> tuple[HostMemory, ...]:
    with (DATA / "host_memory.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            HostMemory(
                tuple(row["ids"].split()),
                int(row["bytes_per_device"]),
                float(row["bytes_per_s_per_device"]),
                f"{row['source']}, {row['date']}",
            )
            for row in csv.DictReader(file)
        )
