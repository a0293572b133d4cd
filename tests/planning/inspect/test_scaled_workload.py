"""A prompt, its answer and the slot, made longer and shorter together."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.planning.inspect.sensitivity import _scaled
from planner.planning.question.question import Question
from planner.planning.question.workload import Workload
from tests.support import theory


@pytest.fixture(scope="module")
def question() -> Question:
    return theory.ask("qwen2.5-0.5b", "h100-sxm", devices=1).questions()[0]


@settings(max_examples=examples(100, 1000))
@given(st.integers(1, 16000), st.integers(1, 16000), st.floats(0.01, 100))
def test_lengths_grow_alike_within_the_models_positions(
    question: Question, isl: int, osl: int, factor: float
) -> None:
    most = question.spec.max_context
    work = replace(question.workload, isl=isl, osl=osl, context=isl + osl)
    new = _scaled(replace(question, workload=work), factor)
    assert min(new.isl, new.osl) >= 1
    assert new.isl + new.osl <= new.context <= most
    together = min(factor, most / (isl + osl))
    for length, before in ((new.isl, isl), (new.osl, osl)):
        assert abs(length - max(1.0, before * together)) <= 2


def test_by_hand(question: Question) -> None:
    """Twice 3,000 and 1,000 tokens in a slot of 5,000; ten times as many do not fit 32,768."""
    assert question.spec.max_context == 32768
    asked = replace(question, workload=Workload(5000, 3000, 1000, "told"))
    found = [_scaled(asked, factor) for factor in (2.0, 10.0)]
    assert [(w.context, w.isl, w.osl, w.assumed) for w in found] == [
        (10000, 6000, 2000, ""),
        (32768, 24576, 8192, ""),
    ]
