"""Time of a step whose experts are partly fetched, and of loading what a device holds."""

from __future__ import annotations

from dataclasses import dataclass

from planner.base.errors import InputError, UnsupportedError
from planner.hardware.profile import DeviceProfile
from planner.messages.message import message
from planner.placement.tiers import Residency


@dataclass(frozen=True, slots=True)
class Link:
    """A path into device memory: bytes a second in one direction, seconds before each transfer."""

    id: str
    bytes_per_s: float
    floor_seconds: float
    source: str


C2C = Link(
    "nvlink-c2c",
    450e9,
    0.0,
    "NVIDIA Grace Hopper Superchip architecture: 900 GB/s in both directions together (recalled)",
)
DRIVE = Link(
    "nvme", 7e9, 100e-6, "sequential reads of a PCIe 4.0 ×4 drive, queueing 100 µs (recalled)"
)


def host_link(device: DeviceProfile, name: str = "pcie") -> Link:
    """The link between host memory and ``device``: its PCIe figure, or ``nvlink-c2c``.

    Raises UnsupportedError where the profile has no such figure, InputError for another name.
    """
    if name == "nvlink-c2c":
        if "grace" not in device.name.lower() and not device.id.startswith("gb"):
            raise UnsupportedError(
                f"{device.id} is not joined to its host by NVLink-C2C", hint="leave out --link"
            )
        return C2C
    if name != "pcie":
        raise InputError(f"link {name!r} is not known", hint="pcie or nvlink-c2c")
    rate = device.links.host_bytes_per_s
    if rate is None:
        raise UnsupportedError(
            f"{device.id} has no link to a host memory of its own",
            hint="its memory is the host's; experts are resident or on a drive",
        )
    return Link(
        "pcie",
        rate.value,
        10e-6,
        message("assumptions.link_of_profile", device=device.id, kind=rate.kind),
    )


@dataclass(frozen=True, slots=True)
class Fetch:
    """Seconds of a step that one rank's links are busy, by where the experts come from."""

    host_seconds: float
    drive_seconds: float

    @property
    def seconds(self) -> float:
        return self.host_seconds + self.drive_seconds


def fetch_seconds(residency: Residency, host: Link, drive: Link) -> Fetch:
    """Expected seconds to fetch what a step misses; the ranks fetch side by side.

    Experts on the drive cross both links and take the slower one's time. One transfer an expert.
    """
    slower = Link(
        drive.id,
        min(drive.bytes_per_s, host.bytes_per_s),
        drive.floor_seconds + host.floor_seconds,
        drive.source,
    )
    return Fetch(
        _seconds(residency.host.touched / residency.ranks, residency.expert_bytes, host),
        _seconds(residency.drive.touched / residency.ranks, residency.expert_bytes, slower),
    )


def _seconds(count: float, size: int, link: Link) -> float:
    return count * (size / link.bytes_per_s + link.floor_seconds)


def step_seconds(resident_seconds: float, fetch: Fetch, *, prefetched: bool) -> float:
    """Seconds of a step that takes ``resident_seconds`` with every expert in device memory.

    ``prefetched``: experts are known a layer ahead and fetched while others compute, so that the
    longer of both counts; otherwise they add up.

    Raises:
        InputError: seconds below 0.
    """
    if resident_seconds < 0:
        raise InputError(f"a step of {resident_seconds} seconds", hint="give at least 0")
    return max(resident_seconds, fetch.seconds) if prefetched else resident_seconds + fetch.seconds


def load_seconds(total_bytes: int, links: int, link: Link) -> float:
    """Seconds to load ``total_bytes`` over ``links`` links that work side by side."""
    return total_bytes / links / link.bytes_per_s + link.floor_seconds
