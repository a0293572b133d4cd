"""Plans over unequal cards of one host: layers of each, one price for one thing."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner
from planner.base.errors import InfeasibleError, InputError, UnsupportedError
from planner.export.launch import command
from planner.hardware.profile import layers_of_cards
from planner.memory.engines.catalog import parse_engine
from planner.planning.modes.unequal_cards import filled, fits, layer_bytes
from planner.planning.plan.record import Plan
from planner.report.render.plan_text import MOST_LINES, plan_text

PAIR, MODEL = "rtx-3090+rtx-5090", "llama-3.1-70b"
ASKED: dict[str, Any] = {"context": 8192, "isl": 7168, "osl": 1024, "batch": 1}


@cache
def paired() -> Plan:
    """A model that fits on neither card alone."""
    return planner.plan(MODEL, PAIR, **ASKED)


def uniform_step(device: str, scheme: str = "Q4_K_M", **more: Any) -> float:
    """Seconds of a step of a file on a device."""
    plan = planner.estimate(MODEL, device, engine="llama.cpp", scheme=scheme, **{**ASKED, **more})
    return plan.performance.tpot_seconds.value


def test_the_faster_card_is_filled_first_and_the_command_says_how() -> None:
    plan = paired()
    layers = layers_of_cards(plan.device.id)
    assert plan.device.id.startswith("rtx-5090:")
    assert sum(layers) == len(layer_bytes(plan)[0]) + 1
    assert layers[0] > layers[1]
    assert fits(plan, planner.load_device(plan.device.id))
    words, unsaid = command(parse_engine("llama.cpp"), "llama.cpp", plan, None)
    at = words.index("--split-mode")
    assert words[at : at + 4] == [
        "--split-mode",
        "layer",
        "--tensor-split",
        "{},{}".format(*layers),
    ]
    assert any(plan.device.id in str(text) and "--list-devices" in str(text) for text in unsaid)


def test_an_answer_has_25_lines_and_no_number_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = plan_text(paired())
    assert text.count("\n") <= MOST_LINES
    assert text.startswith(f"{MODEL} on {paired().device.id}: serve")
    assert "1 device," not in text


def test_more_than_the_cards_hold_is_refused_and_hosts_are_not_multiplied() -> None:
    with pytest.raises(InfeasibleError, match="memory"):
        planner.plan("deepseek-v3", PAIR, **ASKED)


def test_plan_and_estimate_tell_one_time() -> None:
    again = planner.estimate(plan=paired())
    assert again.performance.tpot_seconds.value == paired().performance.tpot_seconds.value
    assert again.memory_per_device == paired().memory_per_device
    said = next(note for note in again.assumptions if note.key == "cards")
    assert "without overlap" in str(said.reason)


def test_layers_on_the_faster_card_are_never_slower_than_by_memory() -> None:
    assert uniform_step(paired().device.id) < uniform_step(PAIR)


def test_more_layers_on_the_faster_card_take_less_time() -> None:
    steps = [uniform_step(f"rtx-5090:{n}+rtx-3090:{81 - n}", "Q2_K") for n in (20, 40, 60)]
    assert steps[0] > steps[1] > steps[2]


def test_two_equal_cards_take_what_one_with_their_memory_would() -> None:
    """Cards that take turns are no faster than one of them, but for the copy between them."""
    pair = uniform_step("rtx-3090:40+rtx-3090:41", "Q2_K")
    stages = uniform_step("rtx-3090", "Q2_K", devices=2, pp=2, batch=None, concurrency=1)
    assert pair == pytest.approx(stages, rel=0.02)


def test_the_fastest_card_serves_alone_what_it_holds() -> None:
    plan = planner.plan("qwen3-32b", PAIR, **ASKED)
    alone = planner.plan("qwen3-32b", "rtx-5090", devices=1, **ASKED)
    assert plan.device.id == "rtx-5090"
    assert plan.performance == alone.performance
    assert any(note.key == "cards" for note in plan.assumptions)


def test_engines_that_want_equal_cards_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="equal cards"):
        planner.plan(MODEL, PAIR, engine="vllm", **ASKED)


def test_a_number_of_hosts_is_refused() -> None:
    with pytest.raises(InputError, match="2 cards already"):
        planner.plan(MODEL, PAIR, devices=2, **ASKED)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=3), st.integers(3, 9), st.integers(1, 60))
def test_the_first_cards_are_as_full_as_can_be(rooms: list[int], count: int, needed: int) -> None:
    """Of every split that fits by the mean of a layer, the one with most on the first cards."""
    fitting = [
        layers
        for layers in product(range(1, count + 1), repeat=len(rooms))
        if sum(layers) == count
        and all(n * needed <= room * count for n, room in zip(layers, rooms, strict=True))
    ]
    assert filled(rooms, count, needed) == max(fitting, default=None)
