"""Corrections of kept runs: their mean, how sure it is, and of which models."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import floats, lists

from benchmarks.correction_spread import entries
from planner.hardware.learned_runs import LearnedRun, MeasuredFactor
from planner.planning.price.evidence import served_residuals
from planner.planning.question.corrections import (
    FILE,
    PROMPT,
    STEP,
    correction_spread,
    corrections_of,
    runs_for,
)
from tests.hardware.test_learned_runs import RUN

MINE = RUN.structure


def run_of(factor: float, *, error: float = 0.01, structure: str = MINE) -> LearnedRun:
    return replace(
        RUN,
        structure=structure,
        load=f"at {factor}",
        steps=MeasuredFactor(factor, error, factor, 1.0),
        prompts=None,
    )


def test_the_widths_are_those_of_the_served_rows() -> None:
    assert FILE.read_text(encoding="utf-8") == entries(served_residuals())


def test_one_run_is_its_factor_and_no_surer_than_points_of_a_deployment() -> None:
    (only,) = corrections_of([run_of(1.3, error=0.0)], MINE)
    assert only.operator == STEP
    assert only.factor == pytest.approx(1.3)
    assert only.sigma == pytest.approx(correction_spread("tpot").points * math.sqrt(2))
    assert [kind.in_flight for kind in only.kinds] == ["9-32"]


@given(lists(floats(0.5, 2.0), min_size=1, max_size=6), floats(0.0, 0.1))
def test_the_factor_lies_among_the_runs(factors: list[float], error: float) -> None:
    runs = [run_of(factor, error=error) for factor in factors]
    (found,) = corrections_of(runs, MINE)
    assert min(factors) * (1 - 1e-9) <= found.factor <= max(factors) * (1 + 1e-9)
    assert len(found.runs) == len(factors)
    noisier = corrections_of([run_of(f, error=error + 0.1) for f in factors], MINE)
    assert noisier[0].sigma > found.sigma


@given(st.integers(1, 5))
def test_more_runs_that_agree_are_surer_and_those_that_do_not_are_less(n: int) -> None:
    def sigma(*factors: float) -> float:
        return corrections_of([run_of(f) for f in factors], MINE)[0].sigma

    assert sigma(*[1.2] * (n + 1)) < sigma(*[1.2] * n)
    assert sigma(*[1.2] * n, 2.4) > sigma(*[1.2] * (n + 1))


def test_another_model_of_the_class_shares_what_such_models_have_in_common() -> None:
    mine = corrections_of([run_of(1.5)], MINE)[0]
    other = corrections_of([run_of(1.5)], "another")[0]
    spread = correction_spread("tpot")
    assert 0 <= spread.share < 1
    assert math.log(other.factor) == pytest.approx(spread.share * math.log(1.5))
    assert other.sigma > mine.sigma
    assert (other.kinds, other.others) == ((), ("llama-3.1-8b",))
    both = corrections_of([run_of(1.5, structure="another"), run_of(0.9)], MINE)
    assert both[0].factor == pytest.approx(0.9)


def test_prompts_are_corrected_apart() -> None:
    steps, prompts = corrections_of([RUN], MINE)
    assert (steps.operator, prompts.operator) == (STEP, PROMPT)
    assert (steps.factor, prompts.factor) == (pytest.approx(1.25), pytest.approx(0.8))


@pytest.mark.parametrize(
    ("asked", "counts"),
    [
        ({}, True),
        ({"device": "h200-sxm"}, False),
        ({"engine": "sglang"}, False),
        ({"model_class": "moe"}, False),
        ({"version": "0.11.2"}, True),
        ({"version": "0.12"}, False),
        ({"version": ""}, True),
    ],
)
def test_a_run_counts_for_its_device_engine_release_and_class(
    asked: dict[str, str], counts: bool
) -> None:
    given_values = {
        "device": "h100-sxm",
        "engine": "vllm",
        "version": "0.11",
        "model_class": "dense",
    } | asked
    assert (runs_for([RUN], **given_values) == (RUN,)) is counts
