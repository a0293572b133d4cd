"""A question asked again: the same answer unchanged, and gains that have the right sign."""

from dataclasses import replace

import pytest
from support.questions import found_of

from planner.planning.explain.limit_prices import Change, SolvedQuestions
from planner.planning.price.price import price
from planner.planning.question.question import Question


def bandwidth(factor: float) -> Change:
    def change(question: Question) -> Question:
        old = question.device.bandwidth_bytes_per_s
        return replace(
            question,
            device=replace(
                question.device, bandwidth_bytes_per_s=replace(old, value=old.value * factor)
            ),
        )

    return change


def test_unchanged_it_gains_nothing() -> None:
    found = found_of()
    answered = SolvedQuestions((found.space.model.question,), found)
    again = answered.best_after(lambda question: question)
    assert again is not None
    assert again.segments == found.segments
    assert answered.gain(again) == pytest.approx(0.0, abs=1e-9)
    assert answered.gain(None) == 0.0
    assert answered.objective == found.space.model.question.objective


def test_more_bandwidth_gains_and_less_loses() -> None:
    found = found_of()
    answered = SolvedQuestions((found.space.model.question,), found)
    faster, slower = answered.best_after(bandwidth(2.0)), answered.best_after(bandwidth(0.5))
    assert answered.gain(faster) > 0.05
    assert answered.gain(slower) < -0.05
    assert faster is not None
    now, then = (price(r.space, r.candidate, r.segments).rate for r in (found, faster))
    assert answered.gain(faster) == pytest.approx(then / now - 1)


def test_a_question_that_nothing_answers_has_no_gain() -> None:
    found = found_of()
    answered = SolvedQuestions((found.space.model.question,), found)
    none = answered.best_after(lambda question: replace(question, memory_bytes=1))
    assert none is None
    assert answered.gain(none) == 0.0
