"""The plan over unequal cards of one host, with the layers that each card shall hold.

Cards take turns, so that a step is least where the fastest hold as many layers as fit and the
others the rest. A first plan is made with layers by memory, as the engine spreads them by itself;
its bytes say how many layers each card holds, and the question is answered again with those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

from planner.base.errors import InfeasibleError, UnsupportedError
from planner.hardware.card_sums import sum_of_cards
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device
from planner.messages.message import Note, message
from planner.planning.plan.notes import with_notes
from planner.planning.plan.record import Plan
from planner.planning.question.input import QuestionInput

TRIES = 4
"""Splits that are tried, each with more room than the one before."""
MORE_ROOM = 1.02
"""A head or a layer in more bits than the others takes a card beyond its layers' mean."""


def over_unequal_cards(inputs: QuestionInput, answer: Callable[[QuestionInput], Plan]) -> Plan:
    """What ``answer`` says of ``inputs``, on unequal cards with the layers of each, or on the
    fastest alone where the others would slow it; where somebody said the layers, or none of those
    tried is as good, the answer to what was asked."""
    plan = answer(inputs)
    assert inputs.device is not None
    device = load_device(inputs.device, hardware_dir=inputs.hardware_dir)
    if not device.cards or device.cards[0].layers:
        return plan
    plan = _with_layers(inputs, answer, plan, device)
    single = _on_fastest(inputs, answer, device)
    return plan if single is None or not _no_worse(single, plan) else single


def _on_fastest(
    inputs: QuestionInput, answer: Callable[[QuestionInput], Plan], device: DeviceProfile
) -> Plan | None:
    """The plan on the fastest card by itself; None where it holds no whole plan."""
    card = max(device.cards, key=lambda c: c.profile.bandwidth_bytes_per_s.value).profile
    try:
        plan = answer(replace(inputs, device=card, devices=1))
    except (InfeasibleError, UnsupportedError):
        return None
    if plan.offload is not None:
        return None
    note = Note(
        "cards",
        message("assumptions.card_alone", card=card.id),
        message("assumptions.cards_take_turns"),
    )
    return with_notes(plan, note)


def _no_worse(fewer: Plan, plan: Plan) -> bool:
    """Whether fewer cards lose no more and give no fewer tokens."""
    mine, theirs = (p.performance.output_tokens_per_second.value for p in (fewer, plan))
    return fewer.quality.loss <= plan.quality.loss and mine >= theirs


def _with_layers(
    inputs: QuestionInput,
    answer: Callable[[QuestionInput], Plan],
    plan: Plan,
    device: DeviceProfile,
) -> Plan:
    """``plan`` with the layers of each card, the fastest filled first."""
    cards = sorted(
        (card.profile for card in device.cards), key=lambda p: -p.bandwidth_bytes_per_s.value
    )
    memory = plan.memory_per_device
    needed = float(memory.total_bytes + memory.capacity_bytes - memory.usable_bytes)
    count = len(layer_bytes(plan)[0]) + 1
    for _ in range(TRIES):
        layers = filled([int(card.capacity_bytes.value) for card in cards], count, needed)
        if layers is None:
            return plan
        placed = sum_of_cards(list(zip(cards, layers, strict=True)))
        try:
            again = answer(replace(inputs, device=placed))
        except InfeasibleError:
            return plan
        if again.quality.loss > plan.quality.loss:
            return plan
        if fits(again, placed):
            return with_notes(again, _note(placed))
        needed *= MORE_ROOM
    return plan


def _note(placed: DeviceProfile) -> Note:
    said = tuple(f"{card.profile.id} {card.layers}" for card in placed.cards)
    return Note(
        "layers",
        message("structure.names", parts=said),
        message("assumptions.fastest_card_filled_first"),
    )


def filled(room_bytes: Sequence[int], count: int, needed_bytes: float) -> tuple[int, ...] | None:
    """``count`` layers of ``needed_bytes`` together on cards with ``room_bytes``, the first as full
    as can be, one at least on each; None where they do not fit so."""
    out: list[int] = []
    for place, room in enumerate(room_bytes):
        left = count - sum(out)
        others = len(room_bytes) - 1 - place
        most = min(int(room * count / needed_bytes), left - others)
        if most < 1 or (not others and most < left):
            return None
        out.append(most)
    return tuple(out)


def fits(plan: Plan, device: DeviceProfile) -> bool:
    """Whether the layers of every card, as they are and not as their mean, fit there; the last has
    what stands behind the stack as well."""
    layers, behind = layer_bytes(plan)
    memory = plan.memory_per_device
    beside = memory.capacity_bytes - memory.usable_bytes
    each = (beside + memory.activation_bytes + memory.runtime_bytes) / len(device.cards)
    ends = list(accumulate((card.layers for card in device.cards), initial=0))
    for place, card in enumerate(device.cards):
        held = sum(layers[ends[place] : ends[place + 1]])
        held += behind if place == len(device.cards) - 1 else 0
        if held + each > card.profile.capacity_bytes.value:
            return False
    return True


def layer_bytes(plan: Plan) -> tuple[list[int], int]:
    """(what each layer of ``plan`` weighs with its cache, what stands behind the stack) [B]; what
    is not counted by layer is spread over all."""
    count = 1 + max(layer for unit in plan.units for layer in unit.layers)
    layers, behind = [0] * count, 0
    for unit in plan.units:
        if unit.layers:
            for layer in unit.layers:
                layers[layer] += unit.weight_bytes_per_device // len(unit.layers)
        else:
            behind += unit.weight_bytes_per_device
    memory = plan.memory_per_device
    rest = memory.weights_bytes + memory.kv_cache_bytes - sum(layers) - behind
    more = -(-max(rest, 0) // count)
    return [size + more for size in layers], behind
