"""Under the objective quality the least loss is taken; within a stated slack of it what exists and
is fastest, which the plan says."""

import pytest

import planner
from planner.planning.choose.rule import LOSS_SLACK
from planner.planning.plan.record import Plan
from planner.planning.search.engine_search import best_result
from planner.planning.search.question_search import solve_questions
from tests.support import theory

ASK = ("qwen2.5-0.5b", "jetson-orin-nano-8gb")
TIGHT = {"devices": 1, "memory_bytes": 1_400_000_000, "max_loss": "int4-w4a16"}


def quality(**more: object) -> Plan:
    return theory.plan(*ASK, objective="quality", **{**TIGHT, **more})  # type: ignore[arg-type]


def test_the_search_gives_the_least_loss() -> None:
    questions = theory.ask(*ASK, objective="quality", **TIGHT).questions()  # type: ignore[arg-type]
    least, taken = solve_questions(questions), best_result(questions)
    assert least is not None
    assert taken is not None
    assert taken.value <= least.value * (1 + 1e-9)


def test_what_is_given_up_is_said_with_its_chance() -> None:
    exact, plan = quality(exact=True), quality()
    assert plan.quality.loss <= exact.quality.loss * (1 + LOSS_SLACK)
    assert exact.quality.loss <= plan.quality.loss * (1 + 1e-9)
    notes = {a.key: a for a in plan.assumptions}
    within = plan.quality.loss > exact.quality.loss * (1 + 1e-9)
    assert ("indistinguishable" in notes) == within
    if within:
        assert "at the least" in notes["indistinguishable"].value
        assert "%" in notes["indistinguishable"].reason
    assert "indistinguishable" not in {a.key for a in exact.assumptions}


def test_no_loss_is_not_given_away() -> None:
    plan = theory.plan(*ASK, objective="quality", devices=1)
    assert plan.quality.loss == 0
    assert "indistinguishable" not in {a.key for a in plan.assumptions}


def test_a_limit_on_loss_holds() -> None:
    scheme = "fp8-w8a16"
    limit = theory.estimate(*ASK, scheme=scheme, devices=1, batch=1).quality.loss
    bound = quality(max_loss=scheme, memory_bytes=2_000_000_000)
    assert bound.quality.loss <= limit * (1 + 1e-9)
    assert quality().quality.loss > 0


def test_five_and_a_half_bits_lose_no_more_than_they_must() -> None:
    """It gave twice the least loss, and called it proved."""
    question = {"devices": 1, "memory_bytes": 1_500_000_000}
    exact = planner.plan(*ASK, objective="quality", exact=True, **question)  # type: ignore[arg-type]
    found = planner.plan(*ASK, objective="quality", **question)  # type: ignore[arg-type]
    assert found.quality.loss <= exact.quality.loss * (1 + LOSS_SLACK)


@pytest.mark.parametrize("room", [1_280_000_000, 1_450_000_000])
def test_the_default_limit_on_loss_refuses_nothing(room: int) -> None:
    """It refused what the other objectives answered, and the proof is of the printed loss."""
    plan = quality(max_loss=None, memory_bytes=room, devices=1)
    assert plan.solver.bound <= plan.quality.loss * (1 + 1e-9)
    assert plan.solver.bound >= plan.quality.loss * (1 - 2 * LOSS_SLACK)
