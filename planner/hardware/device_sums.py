"""Unequal devices of one host as one word: ``2xrtx-3090+rtx-5090``."""

from __future__ import annotations

import re

from planner.base.errors import InputError
from planner.hardware.catalog import device_id, is_device

MOST_CARDS = 8
"""Cards that one host holds: boards with more slots are servers of equal cards."""
_PART = re.compile(r"(?:(\d{1,3})[x×*])?(.+)", re.ASCII)


def is_sum(name: str) -> bool:
    """Whether ``name`` spells several devices; no device's own name has a plus."""
    return "+" in name


def devices_of(name: str) -> tuple[str, ...]:
    """The ids of the devices that ``name`` spells, one for each card.

    Raises:
        InputError: an unknown part, none, too many, or cards that are all the same.
    """
    out: list[str] = []
    for part in name.split("+"):
        match = _PART.fullmatch(part.strip())
        number, device = (match[1] or "1", match[2].strip()) if match else ("1", "")
        if not device or not is_device(device):
            raise InputError(
                f"device {name!r}: {part.strip()!r} is no number and device",
                hint="2xrtx-3090+rtx-5090; see `plan list devices`",
            )
        out += [device_id(device)] * int(number)
    if not 1 <= len(out) <= MOST_CARDS:
        raise InputError(
            f"device {name!r}: {len(out)} cards", hint=f"from 1 to {MOST_CARDS} in one host"
        )
    if len(set(out)) == 1:
        raise InputError(
            f"device {name!r}: all cards are {out[0]}",
            hint=f"{out[0]} --gpus {len(out)}, where they may share every layer",
        )
    return tuple(out)
