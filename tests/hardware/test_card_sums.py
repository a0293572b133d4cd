"""Unequal cards of one host as one device."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import InputError, UnknownNameError
from planner.hardware.card_sums import card_sum, cards_of, sum_of_cards
from planner.hardware.catalog import is_device, resolve_device
from planner.hardware.profile import is_card_sum, layers_of_cards

CARDS = ("rtx-3060-12gb", "rtx-3090", "rtx-4090", "rtx-5090")


def test_a_name_says_every_card_in_its_order() -> None:
    cards = cards_of("2xrtx-3090+rtx-5090", resolve_device)
    assert [(profile.id, layers) for profile, layers in cards] == [
        ("rtx-3090", 0),
        ("rtx-3090", 0),
        ("rtx-5090", 0),
    ]
    assert resolve_device("2 x 3090 + RTX 5090").id == "rtx-3090+rtx-3090+rtx-5090"
    placed = resolve_device("rtx-5090:52+rtx-3090:29")
    assert layers_of_cards(placed.id) == (52, 29)
    assert [card.share for card in placed.cards] == pytest.approx([52 / 81, 29 / 81])


@pytest.mark.parametrize("name", ["rtx-3090", "rtx-3090+rtx-5090", "rtx-3090:4+rtx-5090"])
def test_layers_are_said_of_every_card_or_of_none(name: str) -> None:
    assert layers_of_cards(name) == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rtx-3090+", "missing beside a plus"),
        ("+rtx-3090", "missing beside a plus"),
        ("rtx-3090+rtx-3090", "all cards are rtx-3090"),
        ("rtx-3090+m4-max", "no card in a slot"),
        ("rtx-3090+host", "no card in a slot"),
        ("rtx-3090+rx-7900-xtx", "cuda and rocm"),
        ("rtx-3090:40+rtx-5090", "some cards alone"),
        ("8xrtx-3090+rtx-5090", "9 cards"),
        ("0xrtx-3090+rtx-5090", "1 cards"),
    ],
)
def test_what_is_no_host_of_cards_is_refused(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        card_sum(name, resolve_device)


def test_a_card_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownNameError, match="rtx-9999"):
        card_sum("rtx-3090+rtx-9999", resolve_device)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("2xrtx-3090+rtx-5090", True),
        ("rtx-5090:52 + 3090:29", True),
        ("rtx-3090+", False),
        ("rtx-3090+rtx-9999", False),
    ],
)
def test_a_sum_of_known_cards_is_a_device(name: str, known: bool) -> None:
    assert is_device(name) == known


def test_no_device_has_a_plus_in_its_name() -> None:
    assert not any(is_card_sum(name) for name in CARDS)
    assert not resolve_device("rtx-3090").cards


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(CARDS), min_size=2, max_size=4),
    st.lists(st.integers(1, 90), min_size=4),
)
def test_memory_is_full_where_the_first_card_is(names: list[str], layers: list[int]) -> None:
    profiles = [resolve_device(name) for name in names]
    cards = list(zip(profiles, layers, strict=False))
    whole = sum(count for _, count in cards)
    device = sum_of_cards(cards)
    holds = device.capacity_bytes.value
    used = [holds * count / whole for _, count in cards]
    rooms = [profile.capacity_bytes.value for profile, _ in cards]
    assert all(u <= room * (1 + 1e-9) for u, room in zip(used, rooms, strict=True))
    assert any(room - u < whole for u, room in zip(used, rooms, strict=True))
    by_memory = sum_of_cards([(profile, 0) for profile in profiles])
    assert by_memory.capacity_bytes.value == pytest.approx(sum(rooms), abs=len(rooms))
    assert holds <= by_memory.capacity_bytes.value + len(rooms)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CARDS), st.sampled_from(CARDS), st.integers(1, 79))
def test_bandwidth_lies_between_the_cards_and_rises_with_the_faster_ones_layers(
    first: str, second: str, layers: int
) -> None:
    one, two = resolve_device(first), resolve_device(second)
    slow, fast = sorted((one, two), key=lambda p: p.bandwidth_bytes_per_s.value)
    here = sum_of_cards([(fast, layers), (slow, 81 - layers)]).bandwidth_bytes_per_s.value
    more = sum_of_cards([(fast, layers + 1), (slow, 80 - layers)]).bandwidth_bytes_per_s.value
    assert slow.bandwidth_bytes_per_s.value - 1 <= here <= fast.bandwidth_bytes_per_s.value + 1
    assert more >= here - 1
    if fast.bandwidth_bytes_per_s.value > slow.bandwidth_bytes_per_s.value:
        assert more > here
