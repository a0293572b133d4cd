"""Modules cut between a device and its host: nothing is lost, nothing is counted twice."""

import pytest

from planner.lookup import load_model
from planner.placement.host_split import HOST, split_by_expert, split_by_layer
from planner.placement.modules import EXPERT_KINDS, Module, modules

MODEL = "deepseek-v2-lite"


def bytes_of(found: list[Module]) -> int:
    return sum(m.stored_bytes * max(1, len(m.layers)) for m in found)


@pytest.fixture
def whole() -> list[Module]:
    return list(modules(load_model(MODEL)))


@pytest.mark.parametrize("count", [0, 1, 7, 26])
def test_layers_are_on_one_side(whole: list[Module], count: int) -> None:
    layers = tuple(range(1, 1 + count))
    found = split_by_layer(whole, EXPERT_KINDS, layers)
    assert bytes_of(found) == bytes_of(whole)
    for module in found:
        assert (module.place == HOST) == (
            module.kind in EXPERT_KINDS
            and set(module.layers) <= set(layers)
            and bool(module.layers)
        )
    for kind in EXPERT_KINDS:
        own = [n for m in found if m.kind == kind for n in m.layers]
        assert sorted(own) == sorted(n for m in whole if m.kind == kind for n in m.layers)


@pytest.mark.parametrize("resident", [0, 1, 13, 64])
def test_experts_are_on_one_side(whole: list[Module], resident: int) -> None:
    found = split_by_expert(whole, resident)
    assert bytes_of(found) == bytes_of(whole)
    here = {m.kind: m.experts for m in found if not m.place and m.kind in EXPERT_KINDS}
    there = {m.kind: m.experts for m in found if m.place}
    assert set(here.values()) == ({resident} if resident else set())
    assert set(there.values()) == ({64 - resident} if resident < 64 else set())
