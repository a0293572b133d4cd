"""Plans of a fleet: asked once for what is alike, of the engines that are allowed, with reasons."""

from typing import Any

import pytest
from support.fleets import ASKED

import planner
from planner.base.errors import InputError, UnsupportedError
from planner.jobs.workers import packed, unpacked
from planner.sizing.fleet.candidates import FleetPair
from planner.sizing.fleet.pairs import (
    FleetPairs,
    _alike,
    _pairs_of_group,
    _pairs_of_packed_group,
    search_pairs,
)
from planner.sizing.fleet.read import fleet_question

CHAT = ASKED["model"][0]


def question(*models: dict[str, Any]) -> Any:
    return fleet_question(
        {**ASKED, "model": [{**CHAT, "name": f"m{n}", **one} for n, one in enumerate(models)]}, None
    )


def test_what_two_models_ask_alike_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refuse(questions: Any, case: Any) -> Any:
        asked.append(questions)
        raise UnsupportedError("not here", hint="elsewhere")

    monkeypatch.setattr("planner.sizing.fleet.pairs.decide_or_refuse", refuse)
    pairs = FleetPairs("least-loaded", grows=False)
    made = question({}, {"rate": 3}, {"tpot_ms": 40}, {"max_loss": "bf16"}, {"workload": "rag"})
    found = [pairs.pair_of(member, made.kinds[0]) for member in made.members]
    assert len(asked) == 4, "the second differs in its rate alone"
    assert {one.reason for one in found} == {"not here"}
    assert all(one.candidates == () for one in found)


def test_what_one_search_answers_is_one_parcel() -> None:
    made = question({}, {"rate": 3}, {"tpot_ms": 40})
    assert _alike(made) == [((0, 0), (1, 0)), ((0, 1), (1, 1)), ((2, 0),), ((2, 1),)]


def test_a_pair_is_the_same_from_another_process() -> None:
    """A parcel as it goes there and back: layouts, paces, times and spread of the candidates."""
    made = question({"max_loss": "bf16"})
    (here,) = _pairs_of_group(made, ((0, 0),))
    group, answers = _pairs_of_packed_group((packed(made), ((0, 0),)))
    (there,) = unpacked(answers)
    assert group == ((0, 0),)
    assert here.candidates
    assert [facts(one) for one in pair_of(there).candidates] == [
        facts(one) for one in here.candidates
    ]


def pair_of(found: object) -> FleetPair:
    assert isinstance(found, FleetPair)
    return found


def facts(candidate: Any) -> tuple[Any, ...]:
    one = candidate.deployable
    times = one.group(candidate.standing.rate(3.0), "least-loaded").at(2, 0.9)
    return (
        candidate.size,
        candidate.fewest,
        candidate.paces,
        one.schemes,
        one.layout,
        one.loss,
        times,
        one.sigmas(2.0),
    )


def test_pairs_come_with_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(questions: Any, case: Any) -> Any:
        raise UnsupportedError("not here", hint="elsewhere")

    monkeypatch.setattr("planner.sizing.fleet.pairs.decide_or_refuse", refuse)
    made = question({}, {"rate": 3})
    assert dict(search_pairs(made)) == {
        (m, k): FleetPair((), "not here") for m in range(2) for k in range(2)
    }


def test_fewer_processes_than_one_are_refused() -> None:
    with pytest.raises(InputError, match="workers = 0"):
        planner.fleet(ASKED, workers=0)


@pytest.mark.exhaustive
def test_processes_answer_as_one_does() -> None:
    told: list[tuple[int, int]] = []
    one = planner.fleet(ASKED)
    two = planner.fleet(
        ASKED, workers=2, progress=lambda done, total, what: told.append((done, total))
    )
    assert two == one
    assert told == [(n, 4) for n in range(5)]


def test_engines_that_are_allowed_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def refuse(questions: Any, case: Any) -> Any:
        asked.append({q.engine for q in questions})
        raise UnsupportedError("not here", hint="elsewhere")

    monkeypatch.setattr("planner.sizing.fleet.pairs.decide_or_refuse", refuse)
    pairs = FleetPairs("least-loaded", grows=False)
    made = question(
        {"engines": ["vllm"]}, {"engines": ["vllm", "sglang"]}, {"engines": ["llama.cpp", "vllm"]}
    )
    for member in made.members:
        pairs.pair_of(member, made.kinds[0])
    assert asked[:2] == [{"vllm"}, {"vllm", "sglang"}]
    assert "vllm" in asked[2]


@pytest.mark.exhaustive
def test_the_bundled_fleet_is_served_on_what_there_is() -> None:
    found = planner.fleet("scenarios/fleets/five-models.toml")
    assert [one.name for one in found.models] == [
        "assistant",
        "reasoning",
        "search",
        "autocomplete",
        "agents",
    ]
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


def test_a_scheme_that_one_device_cannot_multiply_does_not_empty_its_row() -> None:
    """A list with FP8 blocks left an A100 without a plan, though it multiplies the list's INT8."""
    made = question({"engines": ["vllm"], "schemes": ["mxfp8", "int8-w8a8"]})
    pairs = FleetPairs("least-loaded", grows=False)
    for kind in made.kinds:
        pair = pairs.pair_of(made.members[0], kind)
        assert pair.candidates, pair.reason
