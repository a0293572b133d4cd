"""Where an interval is that of measured runs, and where they make it wider."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.lookup import load_device, load_model
from planner.planning.price.kinds import ServedKind
from planner.planning.price.measured_here import basis_here, carried, left_here
from planner.planning.question.corrections import STEP, Correction, KindHere
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question

KIND = ServedKind("vllm", "Hopper", "h100-sxm", "dense", "tp", "bf16", "bf16", "9-32")
HERE = KindHere("tp", "bf16", "bf16", "9-32", 1024 + 128)


def question(factor: float = 1.5, isl: int = 1024) -> Question:
    made = build_question(
        load_model("llama-3.1-8b"),
        load_device("h100-sxm"),
        GivenValues(isl=isl, osl=256, devices=1),
        None,
        uniform="bf16",
        given=None,
    )
    return replace(made, corrections=(Correction(STEP, factor, 0.12, ("a",), 100, (HERE,)),))


def test_the_very_kind_has_what_is_left() -> None:
    known = left_here(question(), KIND, STEP)
    assert known is not None
    assert known.sigma == 0.12
    assert basis_here(question(), KIND, STEP, "fitted") == "measured here"
    assert carried(question(), KIND).tpot == 0.0


@pytest.mark.parametrize(
    "other",
    [
        replace(KIND, layout="pp"),
        replace(KIND, precision="fp8-block"),
        replace(KIND, cache="fp8"),
        replace(KIND, requests=">256"),
    ],
)
def test_another_kind_keeps_its_interval_and_is_less_sure(other: ServedKind) -> None:
    assert left_here(question(), other, STEP) is None
    assert basis_here(question(), other, STEP, "fitted") == "fitted"
    assert carried(question(), other).tpot > 0.12


@pytest.mark.parametrize(("isl", "near"), [(1024, True), (2000, True), (4000, False), (200, False)])
def test_lengths_far_from_those_measured_are_another_kind(isl: int, near: bool) -> None:
    assert (left_here(question(isl=isl), KIND, STEP) is not None) is near


@given(st.floats(0.1, 10.0))
def test_what_is_carried_may_hold_in_part(factor: float) -> None:
    added = carried(question(factor), replace(KIND, cache="fp8"))
    assert added.tpot == pytest.approx(math.hypot(0.12, abs(math.log(factor)) / math.sqrt(12)))
    assert added.ttft == 0.0
    assert added.throughput == added.tpot
