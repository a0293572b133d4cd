"""A limit on loss that nothing is below counts as kept inside its band; the optimum keeps it."""

import pytest

import planner
from planner.base.errors import InfeasibleError
from planner.planning.question.input import QuestionInput
from planner.planning.search.engine_search import BAND_KEY, solve_with_relaxations, with_loss_band
from planner.planning.search.formulate import loss_limit
from planner.planning.space.losses import band_factor

ASKED = ("llama-3.1-8b", "h100-sxm")
NARROW = {"devices": 1, "engine": "vllm", "schemes": ["fp8-block"], "kv": "fp8"}


def test_what_lies_inside_the_band_is_an_answer() -> None:
    found = planner.plan(*ASKED, **NARROW)
    note = next(a for a in found.assumptions if a.key == BAND_KEY)
    assert "--exact" in note.reason
    # The same plan is recommended where something is below the limit.
    free = planner.plan(*ASKED, **{**NARROW, "schemes": ["fp8-block", "bf16"]})
    assert found.performance == free.performance
    assert any(a.key == BAND_KEY for a in free.assumptions)


def test_exact_keeps_the_limit_itself() -> None:
    with pytest.raises(InfeasibleError, match="max-loss"):
        planner.plan(*ASKED, exact=True, **NARROW)


def test_what_lies_outside_the_band_is_none() -> None:
    with pytest.raises(InfeasibleError, match="max-loss"):
        planner.plan(*ASKED, devices=1, engine="vllm", schemes=["int4-w4a16"])


def test_the_limit_is_widened_once() -> None:
    questions = QuestionInput(*ASKED, **NARROW).questions()
    assert solve_with_relaxations(questions, exact=True)[0] is None
    found, _, asked = solve_with_relaxations(questions)
    assert found is not None
    model = found.space.model
    limit = loss_limit(model)
    wide = with_loss_band(questions)
    assert [q.loss_limit for q in asked] == [q.loss_limit for q in wide]
    assert all(q.loss_widened for q in asked)
    strict = planner.estimate(*ASKED, devices=1, engine="vllm", scheme="fp8-block").quality.loss
    assert limit == pytest.approx(strict * band_factor(model), rel=1e-3)


def test_under_quality_and_without_a_limit_nothing_is_widened() -> None:
    assert with_loss_band(QuestionInput(*ASKED, objective="quality", **NARROW).questions()) == ()
