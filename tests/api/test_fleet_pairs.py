"""Plans of a fleet: asked once for what is alike, of the engines that are allowed, with reasons."""

from typing import Any

import pytest
from support.fleets import ASKED

import planner
from planner.api.fleet_asked import fleet_question
from planner.api.fleet_pairs import FleetPairs
from planner.errors import UnsupportedError

CHAT = ASKED["model"][0]


def question(*models: dict[str, Any]) -> Any:
    return fleet_question({**ASKED, "model": [{**CHAT, "name": f"m{n}", **one}
                                              for n, one in enumerate(models)]}, None)


def test_what_two_models_ask_alike_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refuse(questions: Any, case: Any) -> Any:
        asked.append(questions)
        raise UnsupportedError("not here", hint="elsewhere")

    monkeypatch.setattr("planner.api.fleet_pairs.best_found", refuse)
    pairs = FleetPairs("least-loaded", grows=False)
    made = question({}, {"rate": 3}, {"tpot_ms": 40}, {"max_loss": "bf16"}, {"workload": "rag"})
    found = [pairs.found(member, made.kinds[0]) for member in made.members]
    assert len(asked) == 4, "the second differs in its rate alone"
    assert {one.reason for one in found} == {"not here"}
    assert all(one.candidates == () for one in found)


def test_engines_that_are_allowed_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def refuse(questions: Any, case: Any) -> Any:
        asked.append({q.engine for q in questions})
        raise UnsupportedError("not here", hint="elsewhere")

    monkeypatch.setattr("planner.api.fleet_pairs.best_found", refuse)
    pairs = FleetPairs("least-loaded", grows=False)
    made = question({"engines": ["vllm"]}, {"engines": ["vllm", "sglang"]},
                    {"engines": ["llama.cpp", "vllm"]})
    for member in made.members:
        pairs.found(member, made.kinds[0])
    assert asked[:2] == [{"vllm"}, {"vllm", "sglang"}]
    assert "vllm" in asked[2]


@pytest.mark.exhaustive
def test_the_bundled_fleet_is_served_on_what_there_is() -> None:
    found = planner.fleet("scenarios/fleets/five-models.toml")
    assert [one.name for one in found.models] == [
        "assistant", "reasoning", "search", "autocomplete", "agents"]
    assert all(one.used <= one.stock for one in found.devices)
    assert found.work.gap == 0
    assert found.growth > 1
    assert len(str(found).splitlines()) <= 40


@pytest.mark.exhaustive
def test_room_for_growth_takes_more_and_leaves_more() -> None:
    cheap = planner.fleet(ASKED)
    roomy = planner.fleet({**ASKED, "goal": "spare"})
    assert roomy.growth >= cheap.growth * 0.99
    assert sum(one.used for one in roomy.devices) >= sum(one.used for one in cheap.devices)
    assert min(one.spare for one in roomy.models) == pytest.approx(roomy.growth - 1, rel=0.02)
