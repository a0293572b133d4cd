"""Layers of a model over unequal cards of one host, one run of them a card (llama.cpp's
``--split-mode layer``).

A card holds the weights and caches of its layers, what is outside the stack where it is the first
or the last, and buffers of its own. Cards take turns, so that a step is the sum of their layers'
times and of one transfer between two cards. The split is the fastest of those that fit, over every
order of the cards: which card is named first says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import permutations

from planner.base.records import record


@record
class SplitCard:
    """One card: what its model fills may take (``room_bytes``, buffers left out), ``seconds`` of
    each layer of the stack there, those ``first_seconds`` of what stands before it and
    ``last_seconds`` of what stands behind it."""

    name: str
    room_bytes: int
    seconds: tuple[float, ...]
    first_seconds: float = 0.0
    last_seconds: float = 0.0


@record
class LayerBytes:
    """Weights and caches of each layer of the stack, and what stands before and behind it."""

    layers: tuple[int, ...]
    first_bytes: int = 0
    last_bytes: int = 0


@record
class CardSplit:
    """Cards in their order with the numbers of layers on each, the bytes that each holds, and the
    seconds of a step with the transfers."""

    cards: tuple[str, ...]
    layers: tuple[int, ...]
    card_bytes: tuple[int, ...]
    seconds: float

    @property
    def flag(self) -> str:
        """What ``--tensor-split`` takes."""
        return ",".join(str(n) for n in self.layers)


def best_split(
    cards: Sequence[SplitCard], held: LayerBytes, transfer_seconds: float
) -> CardSplit | None:
    """The fastest split that fits, the first of equals; None where none fits. Every card has a
    layer at least."""
    found = [
        split
        for order in _orders(cards)
        if (split := _in_order(order, held, transfer_seconds)) is not None
    ]
    return min(found, key=lambda split: (split.seconds, split.cards, split.layers), default=None)


def _orders(cards: Sequence[SplitCard]) -> Iterator[tuple[SplitCard, ...]]:
    """Every order of the cards, equal cards not told apart."""
    seen: set[tuple[SplitCard, ...]] = set()
    for order in permutations(sorted(cards, key=lambda card: (card.name, card.room_bytes))):
        if order not in seen:
            seen.add(order)
            yield order


def _in_order(
    cards: Sequence[SplitCard], held: LayerBytes, transfer_seconds: float
) -> CardSplit | None:
    """The fastest split over cards in this order, by what the first of them need for every number
    of layers."""
    total, count = len(held.layers), len(cards)
    fixed = [0] * count
    fixed[0] += held.first_bytes
    fixed[-1] += held.last_bytes
    best: list[tuple[float, tuple[int, ...]]] = [(math.inf, ())] * (total + 1)
    best[0] = 0.0, ()
    for place, card in enumerate(cards):
        then: list[tuple[float, tuple[int, ...]]] = [(math.inf, ())] * (total + 1)
        own = card.first_seconds * (place == 0) + card.last_seconds * (place == count - 1)
        for start in range(total):
            if not math.isfinite(best[start][0]):
                continue
            used, spent = fixed[place], best[start][0] + own
            for end in range(start + 1, total + 1):
                used += held.layers[end - 1]
                spent += card.seconds[end - 1]
                if used > card.room_bytes:
                    break
                then[end] = min(then[end], (spent, (*best[start][1], end - start)))
        best = then
    seconds, layers = best[total]
    if not math.isfinite(seconds):
        return None
    ends = [sum(layers[:place]) for place in range(count + 1)]
    return CardSplit(
        tuple(card.name for card in cards),
        layers,
        tuple(
            fixed[place] + sum(held.layers[ends[place] : ends[place + 1]]) for place in range(count)
        ),
        seconds + transfer_seconds * (count - 1),
    )
