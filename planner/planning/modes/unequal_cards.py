"""A model over unequal cards of one host under llama.cpp: what each layer weighs and takes on each
card, from the same prices as a plan for one card, and the split of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.errors import InfeasibleError
from planner.base.records import record
from planner.base.units import GIB
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device
from planner.placement.card_split import CardSplit, LayerBytes, SplitCard, best_split
from planner.planning.inspect.priced_input import price_uniform
from planner.planning.price.price import Priced, price
from planner.planning.question.input import QuestionInput
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.memory import budget

ENGINE = "llama.cpp"
WHOLE = 64
"""Times the memory of a card on which a whole model is priced: times do not depend on it."""


@record
class UnequalSplit:
    """The ``split``, ``room_bytes`` of each of its cards, buffers left out, and what was priced on
    each device."""

    split: CardSplit
    room_bytes: tuple[int, ...]


def split_over_cards(inputs: QuestionInput, devices: Sequence[str]) -> UnequalSplit:
    """The split of one assignment (the scheme of ``inputs``, as released without one) over
    ``devices``, one request at a time.

    Raises:
        InfeasibleError: no split fits.
    """
    cards, held = [], LayerBytes(())
    profiles = {name: load_device(name, hardware_dir=inputs.hardware_dir) for name in devices}
    hop = 0.0
    for name in devices:
        profile = profiles[name]
        result, priced = _priced_whole(inputs, profile)
        own = replace(inputs, device=profile, engine=ENGINE).questions()[0]
        held, card = _card(result, priced, profile.id, budget(own))
        cards.append(card)
        hop = max(hop, _hop_seconds(result))
    split = best_split(cards, held, hop)
    if split is None:
        needed = sum(held.layers) + held.first_bytes + held.last_bytes
        raise InfeasibleError(
            f"no split of the layers over {' + '.join(devices)} fits: {needed / GIB:.1f} GiB of "
            "weights and caches",
            hint="a smaller --scheme, a shorter --context, or another card",
        )
    rooms = {card.name: card.room_bytes for card in cards}
    return UnequalSplit(split, tuple(rooms[name] for name in split.cards))


def _priced_whole(inputs: QuestionInput, profile: DeviceProfile) -> tuple[SearchResult, Priced]:
    """The assignment on one card with room for all of it."""
    capacity = profile.capacity_bytes
    roomy = replace(profile, capacity_bytes=replace(capacity, value=capacity.value * WHOLE))
    alone = replace(inputs, device=roomy, engine=ENGINE, devices=1, batch=1, tpot_seconds="none")
    result = price_uniform(alone, inputs.scheme)
    return result, price(result.space, result.candidate, result.segments)


def _card(
    result: SearchResult, priced: Priced, name: str, usable_bytes: int
) -> tuple[LayerBytes, SplitCard]:
    """What each layer weighs, and the card with its seconds."""
    space, model = result.space, result.space.model
    count, schemes = model.question.spec.layers, len(model.question.schemes)
    weights, times = [0] * count, [0.0] * count
    outside, spent = [0, 0], [0.0, 0.0]
    layout = int(space.pts.layout[result.candidate])
    tables = space.tables
    for cost in priced.costs:
        segment = cost.segment
        unit = model.units[segment.unit]
        if unit.role == "cache":
            column = segment.choice - schemes
            each = int(
                max(tables.cache[layout, unit.row, column], tables.once[layout, unit.row, column])
            )
        elif segment.choice < 0:
            each = int(tables.released[layout, unit.row])
        else:
            each = int(tables.shard[layout, unit.row, segment.choice])
        seconds = cost.decode_seconds / segment.count
        if not segment.layers:
            side = 0 if cost.embedding else 1
            outside[side] += each * segment.count
            spent[side] += cost.decode_seconds
        for layer in segment.layers:
            weights[layer] += each
            times[layer] += seconds
    memory = priced.fullest
    rest = memory.weights + memory.cache - sum(weights) - sum(outside)
    buffers = memory.activation + memory.runtime
    held = LayerBytes(tuple(weights), outside[0], outside[1] + max(0, rest))
    card = SplitCard(name, usable_bytes - buffers, tuple(times), spent[0], spent[1])
    return held, card


def _hop_seconds(result: SearchResult) -> float:
    """Seconds that one token's activations take to the next card over the host's link."""
    from planner.throughput.residency import host_link

    question = result.space.model.question
    link = host_link(question.device)
    return 2.0 * (link.floor_seconds + question.spec.hidden_size * 4.0 / link.bytes_per_s)
