"""What an answer says of a device's formats and of what its profile has from a class."""

from __future__ import annotations

from collections.abc import Iterator

from planner.hardware.profile import DeviceProfile
from planner.hardware.short import OWN
from planner.messages.message import Note, message

FNUZ = "FP8 is FNUZ here"
"""How the caution begins that says so; and that matrix units are throttled."""
HALVED = "GeForce halves"
INHERITED, FP8_KEY = "inherited", "FP8 here"
"""Keys of the assumptions."""
_PARTS = {
    "achieved": "achieved fractions and floors",
    "conversion": "conversion rates",
    "rates": "the FP32 rate",
    "memory": "the usable share",
    "links": "floors of links",
}


def device_notes(device: DeviceProfile) -> Iterator[Note]:
    """(key, value, reason) of each."""
    for caution in device.cautions:
        if caution.startswith(FNUZ):
            yield Note(
                FP8_KEY,
                "E4M3 FNUZ, not E4M3FN",
                caution.partition("here (")[2].replace(")", "", 1),
            )
        if caution.startswith(HALVED):
            yield Note("rates of GeForce", "half with FP32 accumulation", caution)
    if device.classes:
        parts = dict.fromkeys(
            _PARTS[head] for key in device.taken if (head := key.partition(".")[0]) in _PARTS
        )
        unsourced = any(source.key == OWN for source in device.sources)
        yield Note(
            INHERITED,
            f"{', '.join(parts)} of the class {' → '.join(device.classes)}",
            message("assumptions.medians_of_devices_like_it_unsourced", device=device.id)
            if unsourced
            else message("assumptions.medians_of_devices_like_it", device=device.id),
        )
    if device.classes and not device.platform:
        yield Note(
            "platform",
            "not stated",
            "rules that engines have for every device are taken; "
            'platform = "cuda" with compute_capability, "rocm" or "metal" with target, in the '
            "profile, names one",
        )
