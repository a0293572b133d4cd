"""A pace for users, one user on an edge device: each default leaves a note, and what is given
replaces it."""

from dataclasses import replace
from typing import Any

import pytest

from planner.base.errors import InputError
from planner.lookup import load_device, load_model
from planner.planning.question.defaults import TPOT_SECONDS, default_of
from planner.planning.question.given_values import (
    NO_LIMIT,
    TPOT_KEY,
    USERS_KEY,
    GivenValues,
    given_values_note,
    milliseconds,
    seconds_of,
)
from planner.planning.question.resolve import build_question
from planner.planning.question.scenarios import parse_scenario
from tests.support import theory

SERVER, EDGE, CPU = "h100-sxm", "jetson-agx-orin-64gb", "xeon-6980p"


@pytest.mark.parametrize(
    ("device", "asked", "default"),
    [
        (SERVER, {}, "tpot"),
        (SERVER, {"objective": "cost"}, "tpot"),
        (SERVER, {"objective": "throughput", "batch": 64}, "tpot"),
        (SERVER, {"objective": "latency"}, ""),
        (SERVER, {"objective": "quality"}, ""),
        (SERVER, {"tpot_seconds": 0.02}, ""),
        (SERVER, {"ttft_seconds": 2.0}, ""),
        (SERVER, {"tpot_seconds": NO_LIMIT}, ""),
        (SERVER, {"memory_bytes": 1 << 34}, "tpot"),
        (EDGE, {}, "users"),
        (CPU, {}, "users"),
        (EDGE, {"ttft_seconds": 2.0}, "users"),
        (EDGE, {"devices": 1}, "users"),
        (CPU, {"devices": 4}, "latency"),
        (EDGE, {"batch": 4}, "tpot"),
        (EDGE, {"objective": "throughput"}, "tpot"),
        (CPU, {"tpot_seconds": 0.1}, ""),
        (CPU, {"tpot_seconds": NO_LIMIT}, ""),
        (EDGE, {"objective": "latency"}, ""),
    ],
)
def test_which_default_holds(device: str, asked: dict[str, Any], default: str) -> None:
    assert default_of(GivenValues(**asked), load_device(device)) == default


def notes(device: str, **asked: Any) -> tuple[Any, dict[str, str]]:
    values = {"tpot_seconds": None, **asked}
    question = theory.ask("qwen2.5-0.5b", device, **values).ways()[0]
    return question, {key: value for key, value, _ in question.notes}


def test_the_default_limit_is_a_limit_with_a_note() -> None:
    question, told = notes(SERVER)
    assert question.tpot_seconds == TPOT_SECONDS
    assert question.tpot_default
    assert told[TPOT_KEY] == "50 ms"
    question, told = notes(SERVER, tpot_seconds="none")
    assert question.tpot_seconds is None
    assert TPOT_KEY not in told


def test_one_user_is_a_batch_of_one_without_a_limit() -> None:
    question, told = notes(EDGE)
    assert (question.batch, question.tpot_seconds) == (1, None)
    assert told[USERS_KEY] == "1"
    question, told = notes(EDGE, batch=4)
    assert question.batch == 4
    assert USERS_KEY not in told


def test_a_scenario_can_leave_the_limit_out() -> None:
    text = 'title = "t"\nquestion = "q"\ntpot_ms = "none"\n'
    scenario = parse_scenario(text.encode(), place="t.toml", id="t")
    assert GivenValues().with_scenario(scenario).tpot_seconds == NO_LIMIT
    assert GivenValues(tpot_seconds=0.02).with_scenario(scenario).tpot_seconds == 0.02


def test_no_limit_is_told_as_it_was_asked() -> None:
    assert given_values_note(GivenValues(tpot_seconds=NO_LIMIT))[0][1] == "tpot-ms=none"
    assert seconds_of("none") == NO_LIMIT
    assert seconds_of(50) == 0.05
    assert milliseconds(0.0123) == "12.3"


@pytest.mark.parametrize("value", ["fast", "", True])
def test_other_words_are_no_limit(value: Any) -> None:
    with pytest.raises(InputError, match="tpot_seconds"):
        theory.plan("qwen2.5-0.5b", SERVER, tpot_seconds=value)


@pytest.mark.parametrize(("asked", "sizes"), [({}, (1,)), ({"devices": 2}, (2,))])
def test_a_machine_that_was_looked_at_is_one_device(
    asked: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    known = load_device(SERVER)
    machine = replace(known, capacity_bytes=replace(known.capacity_bytes, kind="detected"))
    spec = load_model("llama-3.1-8b")
    made = build_question(
        spec, machine, GivenValues(context=2048, **asked), None, uniform=None, given=None
    )
    assert made.sizes == sizes
    searched = build_question(
        spec, known, GivenValues(context=2048), None, uniform=None, given=None
    )
    assert max(searched.sizes) > 1
