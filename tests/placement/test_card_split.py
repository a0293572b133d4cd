"""The split of layers over unequal cards: brute force on small instances, and laws."""

from itertools import combinations, permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from planner.placement.card_split import CardSplit, LayerBytes, SplitCard, best_split

SECONDS = st.integers(1, 9).map(float)


@st.composite
def instances(draw: st.DrawFn) -> tuple[tuple[SplitCard, ...], LayerBytes, float]:
    layers = draw(st.integers(2, 6))
    cards = tuple(
        SplitCard(
            name,
            draw(st.integers(1, 30)),
            (draw(SECONDS),) * layers,
            draw(SECONDS),
            draw(SECONDS),
        )
        for name in ("a", "b", "c")[: draw(st.integers(1, min(3, layers)))]
    )
    each = tuple(draw(st.lists(st.integers(1, 9), min_size=layers, max_size=layers)))
    held = LayerBytes(each, draw(st.integers(0, 4)), draw(st.integers(0, 4)))
    return cards, held, draw(SECONDS)


def least_by_hand(cards: tuple[SplitCard, ...], held: LayerBytes, transfer: float) -> float | None:
    """The least seconds over every order and every cut."""
    total, found = len(held.layers), []
    for order in permutations(cards):
        for cuts in combinations(range(1, total), len(cards) - 1):
            ends = (0, *cuts, total)
            seconds, able = transfer * (len(cards) - 1), True
            for place, card in enumerate(order):
                mine = slice(ends[place], ends[place + 1])
                used, spent = sum(held.layers[mine]), sum(card.seconds[mine])
                if place == 0:
                    used, spent = used + held.first_bytes, spent + card.first_seconds
                if place == len(order) - 1:
                    used, spent = used + held.last_bytes, spent + card.last_seconds
                able, seconds = able and used <= card.room_bytes, seconds + spent
            if able:
                found.append(seconds)
    return min(found, default=None)


@settings(max_examples=200, deadline=None)
@given(instances())
def test_the_split_is_the_fastest_of_all_that_fit(
    instance: tuple[tuple[SplitCard, ...], LayerBytes, float],
) -> None:
    split, least = best_split(*instance), least_by_hand(*instance)
    assert (split is None) == (least is None)
    if split is not None:
        assert split.seconds == least
        rooms = {card.name: card.room_bytes for card in instance[0]}
        pairs = zip(split.cards, split.card_bytes, strict=True)
        assert all(used <= rooms[name] for name, used in pairs)
        held = instance[1]
        whole = sum(held.layers) + held.first_bytes + held.last_bytes
        assert sum(split.card_bytes) == whole
        assert sum(split.layers) == len(held.layers)


@settings(max_examples=100, deadline=None)
@given(instances())
def test_the_order_in_which_cards_are_named_changes_nothing(
    instance: tuple[tuple[SplitCard, ...], LayerBytes, float],
) -> None:
    cards, held, transfer = instance
    assert best_split(cards, held, transfer) == best_split(cards[::-1], held, transfer)


def test_a_faster_card_has_more_layers_until_it_is_full() -> None:
    fast = SplitCard("fast", 7, (1.0,) * 10)
    slow = SplitCard("slow", 100, (3.0,) * 10)
    split = best_split((slow, fast), LayerBytes((1,) * 10), 0.5)
    assert split == CardSplit(("fast", "slow"), (7, 3), (7, 3), 7 * 1.0 + 3 * 3.0 + 0.5)
    assert split.flag == "7,3"


def test_nothing_fits_where_a_layer_is_larger_than_every_card() -> None:
    cards = [SplitCard(name, 4, (1.0, 1.0)) for name in ("a", "b")]
    assert best_split(cards, LayerBytes((5, 1)), 0.0) is None
