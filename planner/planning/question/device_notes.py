"""What an answer says of a device's formats, and of what its profile has from a class or from
memory."""

from __future__ import annotations

from collections.abc import Iterator

from planner.hardware.profile import DeviceProfile
from planner.hardware.short import OWN
from planner.messages.message import Message, Note, message

FNUZ = "FP8 is FNUZ here"
"""How the caution begins that says so; and that matrix units are throttled."""
HALVED = "GeForce halves"
INHERITED, RECALLED, FP8_KEY = "inherited", "recalled", "FP8 here"
"""Keys of the assumptions."""
_PARTS = {
    "achieved": message("assumptions.achieved_fractions_and_floors"),
    "conversion": message("assumptions.conversion_rates"),
    "rates": message("assumptions.fp32_rate"),
    "memory": message("assumptions.usable_share"),
    "links": message("assumptions.floors_of_links"),
}


def device_notes(device: DeviceProfile) -> Iterator[Note]:
    """(key, value, reason) of each."""
    if device.family_name:
        yield Note(
            "device",
            device.id,
            message("assumptions.commonest_variant_of", name=device.family_name),
        )
    if device.cards:
        yield Note(
            "cards",
            message("structure.names", parts=tuple(card.profile.id for card in device.cards)),
            message("assumptions.cards_in_turn"),
        )
    for caution in device.cautions:
        if caution.startswith(FNUZ):
            yield Note(
                FP8_KEY,
                message("assumptions.e4m3_fnuz_not_e4m3fn"),
                caution.partition("here (")[2].replace(")", "", 1),
            )
        if caution.startswith(HALVED):
            yield Note(
                "rates of GeForce", message("assumptions.half_with_fp32_accumulation"), caution
            )
    if device.classes:
        parts = dict.fromkeys(
            _PARTS[head] for key in device.taken if (head := key.partition(".")[0]) in _PARTS
        )
        unsourced = any(source.key == OWN for source in device.sources)
        yield Note(
            INHERITED,
            message(
                "assumptions.of_class",
                figures=message("structure.clauses", parts=tuple(parts)),
                classes=" → ".join(device.classes),
            ),
            message("assumptions.medians_of_devices_like_it_unsourced", device=device.id)
            if unsourced
            else message("assumptions.medians_of_devices_like_it", device=device.id),
        )
    recalled = tuple(_recalled(device))
    if recalled:
        yield Note(
            RECALLED,
            message("structure.clauses", parts=recalled),
            message("assumptions.no_document_was_read_for_them", device=device.id),
        )
    if device.classes and not device.platform:
        yield Note(
            "platform",
            message("assumptions.not_stated"),
            message("assumptions.rules_that_engines_have_for"),
        )


def _recalled(device: DeviceProfile) -> Iterator[Message]:
    """The parts of a packaged profile that set times or energy and have figures from memory."""
    if any(source.key == OWN for source in device.sources):
        return
    if device.bandwidth_bytes_per_s.kind == "recalled":
        yield message("assumptions.bandwidth_of_memory")
    if any(rate.dense.kind == "recalled" for rate in device.rates.values()):
        yield message("assumptions.rates_of_products")
    if device.power_watts is not None and device.power_watts.kind == "recalled":
        yield message("assumptions.power_limit")
