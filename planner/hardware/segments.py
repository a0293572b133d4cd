"""Whom a device is built for, which decides how many of it a question takes where none says."""

from __future__ import annotations

from typing import Literal

from planner.hardware.profile import DeviceProfile

Segment = Literal["data centre", "consumer", "unified memory", "cpu"]
CONSUMER = ("GeForce", "Radeon RX", "Arc B")
"""Product lines of cards that people buy for one machine, as makers name them."""
SINGLE: tuple[Segment, ...] = ("consumer", "unified memory")
"""Segments whose owners have one device: boards, Macs and gaming cards."""


def segment(device: DeviceProfile) -> Segment:
    """Whom ``device`` is built for: boards and Macs are those whose memory is the host's too."""
    if device.kind == "cpu":
        return "cpu"
    if device.unified_memory:
        return "unified memory"
    if any(line in device.name for line in CONSUMER):
        return "consumer"
    return "data centre"


def one_by_default(device: DeviceProfile) -> bool:
    """Whether a question about ``device`` is about one of it where no number is given."""
    return bool(device.cards) or segment(device) in SINGLE


def in_data_centre(device: DeviceProfile) -> bool:
    """Whether ``device`` is a GPU or accelerator that servers hold."""
    return segment(device) == "data centre"
