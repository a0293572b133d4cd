"""A card too small for a model has its weights in an assumed desktop's memory, and says so."""

import math
from functools import cache
from typing import Any

import pytest

import planner
from planner.planning.modes.assumed_host import ENGINE, at_reading_pace, on_assumed_host
from planner.planning.plan.record import Plan
from planner.planning.question.assumed_hosts import (
    READING_SECONDS,
    SLOWEST_STEP_SECONDS,
    assumed_hosts,
)
from planner.planning.question.given_values import HOST_KEY, TPOT_KEY
from planner.planning.question.input import QuestionInput
from planner.quality.floor import EIGHTY
from planner.quality.meaning import damaging_from

USUAL_SECONDS = 0.05
SMALL: dict[str, Any] = {
    "model": "gpt-oss-120b",
    "device": "rtx-5090",
    "engine": ENGINE,
    "context": 1024,
}


@cache
def small_card() -> Plan:
    """The answer of a card that holds half of a model."""
    plan = on_assumed_host(QuestionInput(**SMALL), None)
    assert plan is not None
    return plan


def test_one_card_keeps_experts_in_memory_of_the_desktop_that_is_named() -> None:
    plan = small_card()
    assert plan.device.count == 1
    assert plan.offload is not None
    assert plan.offload.layers
    assumed = [a for a in plan.assumptions if a.key == HOST_KEY]
    assert len(assumed) == 1
    assert assumed_hosts()[0].id in str(assumed[0].value)


def test_steps_are_as_fast_as_one_reads_where_a_file_reaches_it() -> None:
    plan = small_card()
    assert 0 < plan.performance.tpot_seconds.value <= READING_SECONDS < SLOWEST_STEP_SECONDS
    assert [a.value for a in plan.assumptions if a.key == TPOT_KEY] == ["200 ms"]


def test_the_published_file_is_served_as_it_is() -> None:
    """A file of more bits than the fastest plan's lies with more layers in host memory."""
    plan = small_card()
    assert plan.quality.loss == 0
    said = plan.recommendation
    assert said is not None
    assert not said.formats
    assert plan.offload is not None
    assert plan.offload.flags == ("--n-cpu-moe", str(len(plan.offload.layers)))


def test_one_device_stays_among_what_was_assumed() -> None:
    assert "devices" in {a.key for a in small_card().assumptions}


def test_what_was_assumed_widens_times() -> None:
    named = QuestionInput(**SMALL, host=assumed_hosts()[0].id).questions()[0]
    assumed = QuestionInput(**SMALL, assumed_host=assumed_hosts()[0]).questions()[0]
    assert named.offload is not None
    assert assumed.offload is not None
    assert named.offload.assumed_sigma == 0
    assert assumed.offload.assumed_sigma == assumed_hosts()[0].sigma
    band = small_card().performance.tpot_seconds
    assert band.high / band.low >= math.exp(2 * EIGHTY * assumed_hosts()[0].sigma)


@pytest.mark.parametrize("host", assumed_hosts(), ids=lambda host: host.id)
def test_the_range_of_bandwidths_holds_eighty_percent(host: Any) -> None:
    assert math.exp(2 * EIGHTY * host.sigma) == pytest.approx(102.4 / 51.2)


@pytest.mark.parametrize(
    "given",
    [
        {"devices": 2},
        {"tp": 2},
        {"host": "xeon-6980p"},
        {"concurrency": 4},
        {"batch": 4},
        {"engine": "vllm"},
        {"device": "h200-sxm"},
        {"device": "gb10"},
    ],
    ids=str,
)
def test_what_a_question_names_is_not_assumed(given: dict[str, Any]) -> None:
    assert on_assumed_host(QuestionInput(**SMALL | given), None) is None


TWO_CARDS: dict[str, Any] = {
    "model": "llama-3.3-70b",
    "device": "rtx-3090",
    "engine": ENGINE,
    "devices": 2,
    "context": 2048,
}


def test_two_cards_wait_longer_before_weights_are_damaged() -> None:
    """Files of four bits take longer than the usual time of a token, and are what people run."""
    plan = planner.plan(**TWO_CARDS)
    assert plan.device.count == 2
    assert plan.quality.loss < damaging_from()
    said = [a for a in plan.assumptions if a.key == TPOT_KEY]
    assert [a.value for a in said] == ["200 ms"]
    assert USUAL_SECONDS < plan.performance.tpot_seconds.value <= READING_SECONDS
    assert planner.explain(**TWO_CARDS, solves=0).plan.to_dict()["units"] == plan.to_dict()["units"]


def test_a_time_of_a_token_that_was_given_is_kept() -> None:
    plan = planner.plan(**TWO_CARDS, tpot_seconds=USUAL_SECONDS)
    assert plan.performance.tpot_seconds.value <= USUAL_SECONDS
    assert plan.quality.loss >= damaging_from()


def test_many_users_wait_no_longer() -> None:
    inputs = QuestionInput(**TWO_CARDS, batch=4)
    assert at_reading_pace(inputs, None) is None


def test_a_checkpoint_that_is_slower_than_one_reads_gives_way_to_a_file_that_is_not() -> None:
    plan = planner.plan("qwen3-32b", "strix-halo")
    assert plan.performance.tpot_seconds.value <= READING_SECONDS
    assert 0 < plan.quality.loss < damaging_from()
    assert [a.value for a in plan.assumptions if a.key == TPOT_KEY] == ["200 ms"]
    least = planner.plan("qwen3-32b", "strix-halo", objective="quality")
    assert least.quality.loss == 0
