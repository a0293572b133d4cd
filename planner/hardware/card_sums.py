"""Unequal cards of one host as one device: ``2xrtx-3090+rtx-5090``.

An engine gives every card a run of layers, and the cards take turns (llama.cpp's ``--split-mode
layer``): a step takes each card's time for its own layers, and what fits is decided by the card
that is full first. Numbers of layers stand behind a colon (``rtx-5090:52+rtx-3090:29``, the head
counted as one, on the last card, as llama.cpp counts it); without them each card has the share of
its memory, which is what llama.cpp does by itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from planner.base.errors import InputError
from planner.hardware.profile import CardShare, DeviceProfile, Links, Quantity, Rate

MOST_CARDS = 8
"""Cards that one host holds beside each other; servers with more have equal ones."""
_PART = re.compile(r"(?:(\d{1,2})\s*[x×*]\s*)?(.+?)(?::(\d{1,5}))?", re.ASCII)


def card_names(name: str) -> list[str]:
    """What ``name`` spells of each card, its number and its layers left out; "" where a card is
    missing."""
    found = (_PART.fullmatch(part.strip()) for part in name.split("+"))
    return ["" if part is None else part[2].strip() for part in found]


def cards_of(name: str, resolve: Callable[[str], DeviceProfile]) -> list[tuple[DeviceProfile, int]]:
    """The cards that ``name`` spells in its order, each with its layers (0: not said); ``resolve``
    finds a device by its name.

    Raises:
        InputError: a part that names no card, too many of them, equal ones alone, or layers of some
            cards alone.
        UnknownNameError: a device that does not exist.
    """
    cards: list[tuple[DeviceProfile, int]] = []
    for part in name.split("+"):
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise InputError(
                f"device {name!r}: a card is missing beside a plus",
                hint="2xrtx-3090+rtx-5090, names as `plan list devices` has them",
            )
        profile = resolve(found[2].strip())
        _require_card(name, profile)
        cards += [(profile, int(found[3] or 0))] * int(found[1] or 1)
    _require_unequal(name, cards)
    return cards


def _require_card(name: str, profile: DeviceProfile) -> None:
    if profile.cards or not profile.has_own_memory:
        raise InputError(
            f"device {name!r}: {profile.id} is no card in a slot",
            hint="cards with memory of their own are added; a CPU beside a card is --host",
        )


def _require_unequal(name: str, cards: Sequence[tuple[DeviceProfile, int]]) -> None:
    if not 2 <= len(cards) <= MOST_CARDS:
        raise InputError(
            f"device {name!r}: {len(cards)} cards", hint=f"2 to {MOST_CARDS} in one host"
        )
    profiles = [profile for profile, _ in cards]
    said = [layers > 0 for _, layers in cards]
    if any(said) and not all(said):
        raise InputError(
            f"device {name!r}: layers are said of some cards alone",
            hint="layers behind every card, rtx-5090:52+rtx-3090:29, or behind none",
        )
    if len({profile.id for profile in profiles}) == 1 and not any(said):
        raise InputError(
            f"device {name!r}: all cards are {profiles[0].id}",
            hint=f"{profiles[0].id} --devices {len(profiles)}",
        )
    if len({profile.platform for profile in profiles}) > 1:
        raise InputError(
            f"device {name!r}: cards of {' and '.join(sorted({p.platform for p in profiles}))}",
            hint="cards that one build of an engine drives: of one vendor",
        )


def card_sum(name: str, resolve: Callable[[str], DeviceProfile]) -> DeviceProfile:
    """The cards that ``name`` spells as one device, with its ``cards``.

    Times are each card's own. What no card is asked about is of all in turn (rates, bandwidth), of
    all together (power, price), or of the weakest (kernels that an engine may choose).

    Raises:
        InputError: see :func:`cards_of`. UnknownNameError: a device that does not exist.
    """
    return sum_of_cards(cards_of(name, resolve))


def sum_of_cards(cards: Sequence[tuple[DeviceProfile, int]]) -> DeviceProfile:
    """Cards with their layers (0: by memory) as one device."""
    profiles = [profile for profile, _ in cards]
    weakest = min(profiles, key=_strength)
    memory = [profile.capacity_bytes.value for profile in profiles]
    parts = [float(layers) for _, layers in cards] if cards[0][1] else memory
    shares = [part / sum(parts) for part in parts]
    holds = min(size / share for size, share in zip(memory, shares, strict=True))
    bandwidths = [profile.bandwidth_bytes_per_s.value for profile in profiles]
    names = [_spelled(profile.id, layers) for profile, layers in cards]
    return replace(
        weakest,
        id="+".join(names),
        name=" + ".join(profile.name for profile in profiles),
        aliases=(),
        capacity_bytes=_derived(
            weakest.capacity_bytes, holds, "what the cards hold until the first is full"
        ),
        label_bytes=_derived(
            weakest.label_bytes, sum(p.label_bytes.value for p in profiles), "of all cards"
        ),
        driver_bytes=None,
        bandwidth_bytes_per_s=_derived(
            weakest.bandwidth_bytes_per_s,
            1.0 / sum(s / b for s, b in zip(shares, bandwidths, strict=True)),
            "cards take turns: bytes of all over the seconds of all",
        ),
        rates=_in_turn(profiles, shares),
        unsupported={k: v for p in profiles for k, v in p.unsupported.items()},
        fitted={},
        inherited={},
        transfer_from="",
        devices_per_node=len(cards),
        scale_up_devices=len(cards),
        links=_slowest_links(profiles),
        power_watts=_of_all([p.power_watts for p in profiles]),
        price_usd_per_hour=_of_all([p.price_usd_per_hour for p in profiles]),
        cautions=tuple(dict.fromkeys(c for p in profiles for c in p.cautions)),
        sources=tuple({s.key: s for p in profiles for s in p.sources}.values()),
        path="",
        sha256=_digest(cards),
        power_modes={},
        classes=(),
        taken=(),
        family_name="",
        cards=tuple(
            CardShare(profile, layers, share)
            for (profile, layers), share in zip(cards, shares, strict=True)
        ),
    )


def _strength(profile: DeviceProfile) -> tuple[float, float]:
    capability = float(profile.compute_capability or 0)
    return capability, profile.bandwidth_bytes_per_s.value


def _spelled(device: str, layers: int) -> str:
    return f"{device}:{layers}" if layers else device


def _derived(of: Quantity, value: float, note: str) -> Quantity:
    return replace(of, value=float(int(value)), low=None, high=None, kind="derived", note=note)


def _of_all(values: Sequence[Quantity | None]) -> Quantity | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    total = sum(value.value for value in known)
    return replace(known[0], value=total, low=None, high=None, kind="derived", note="of all cards")


def _in_turn(
    profiles: Sequence[DeviceProfile], shares: Sequence[float]
) -> dict[tuple[str, str], Rate]:
    """Rates of what every card multiplies, the cards taking turns."""
    common = set.intersection(*(set(profile.rates) for profile in profiles))
    rates = {}
    for key in profiles[0].rates:
        if key in common:
            each = [profile.rates[key].dense.value for profile in profiles]
            dense = 1.0 / sum(share / rate for share, rate in zip(shares, each, strict=True))
            first = profiles[0].rates[key]
            rates[key] = replace(
                first, dense=_derived(first.dense, dense, "cards take turns"), sparse=None
            )
    return rates


def _slowest_links(profiles: Sequence[DeviceProfile]) -> Links:
    """The links of the card that is reached most slowly through the host."""
    return min(
        (profile.links for profile in profiles),
        key=lambda links: 0.0 if links.host_bytes_per_s is None else links.host_bytes_per_s.value,
    )


def _digest(cards: Sequence[tuple[DeviceProfile, int]]) -> str:
    text = "+".join(f"{profile.sha256}:{layers}" for profile, layers in cards)
    return hashlib.sha256(text.encode()).hexdigest()
