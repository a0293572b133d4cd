"""Factors on steps and prompts scale the law: passes, hops, and what the host does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.planning.inspect.priced_input import price_uniform
from planner.planning.price.served import serving_policy
from planner.planning.price.step import Assignment, Serving, step_times
from planner.planning.question.corrections import PROMPT, STEP, Correction
from planner.planning.question.input import QuestionInput
from planner.planning.search.grid_search import SearchResult


def corrections(steps: float, prompts: float) -> tuple[Correction, ...]:
    pairs = ((STEP, steps), (PROMPT, prompts))
    return tuple(Correction(name, factor, 0.1, (), 0, ()) for name, factor in pairs)


def priced(pp: int, made: tuple[Correction, ...]) -> SearchResult:
    inputs = QuestionInput(
        model="llama-3.2-1b",
        device="h100-sxm",
        engine="vllm@0.11",
        devices=pp,
        pp=pp,
        tp=1,
        batch=8,
        isl=512,
        osl=64,
        no_learned=True,
        corrections=made,
    )
    return price_uniform(inputs, "bf16")


def assignment(result: SearchResult) -> Assignment:
    layout = int(result.space.pts.layout[result.candidate])
    return Assignment(result.space.model, result.space.tables, layout, result.segments)


@pytest.mark.parametrize("pp", [1, 2])
@pytest.mark.parametrize(("steps", "prompts"), [(2.0, 0.5), (0.5, 2.0), (1.7, 1.7)])
@pytest.mark.parametrize("chunk", [4096, 128])
def test_steps_and_what_prompts_add_scale_apart(
    pp: int, steps: float, prompts: float, chunk: int
) -> None:
    work = Serving(512, 64, 16.0, chunk)
    plain = step_times(assignment(priced(pp, ())), work)
    scaled = step_times(assignment(priced(pp, corrections(steps, prompts))), work)
    assert scaled.decode == pytest.approx(steps * plain.decode, rel=1e-9)
    added = np.asarray(plain.mixed - plain.decode)
    assert scaled.mixed - scaled.decode == pytest.approx(prompts * added, rel=1e-6, abs=1e-12)


@given(st.floats(0.2, 5.0))
def test_the_same_factor_on_both_is_a_slower_machine(factor: float) -> None:
    from planner.planning.price.served import served_loop

    plain, slow = (
        served_loop(assignment(priced(1, made)), 8.0) for made in ((), corrections(factor, factor))
    )
    assert slow.state.tpot == pytest.approx(factor * plain.state.tpot, rel=1e-6)
    assert slow.state.ttft == pytest.approx(factor * plain.state.ttft, rel=1e-6)
    assert slow.rate == pytest.approx(plain.rate / factor, rel=1e-6)


def test_the_host_is_slower_too() -> None:
    question = priced(1, ()).space.model.question
    plain = serving_policy(question)
    slow = serving_policy(replace(question, corrections=corrections(2.0, 3.0)))
    assert slow.host_seconds == 2 * plain.host_seconds > 0
    assert slow.host_seconds_per_sequence == 2 * plain.host_seconds_per_sequence
    assert slow.handling_seconds == 3 * plain.handling_seconds > 0
    assert slow.prompt_floor_seconds == 3 * plain.prompt_floor_seconds
    assert slow.reading_factor == plain.reading_factor
