"""The whole explanation: a best plan, a given one that differs, and what they are compared by."""

from dataclasses import replace

import pytest
from support.questions import found_of, plan_of, question_of

from planner.planning.explain.explain import explain_result
from planner.planning.explain.given_plan import plan_as_answer


def test_the_best_answer_differs_from_nothing() -> None:
    found = found_of()
    told = explain_result([question_of()], found, plan_of(), given=None, solves=0)
    assert (told.best, told.better_by, told.differs, told.breaks) == (True, 0.0, (), "")
    assert told.metric == "tokens/s a device"
    assert told.value == plan_of().performance.output_tokens_per_second_per_device.value
    assert {t.status for t in told.tipping} == {"not tried"}


def test_a_given_plan_is_told_what_the_best_has_otherwise() -> None:
    wide = plan_of(schemes=("bf16",))
    found, question = found_of(), question_of()
    given, broken = plan_as_answer([question], wide)
    told = explain_result([question], found, wide, given=given, breaks=broken, solves=0)
    assert not told.best
    assert told.better_by == pytest.approx(given.value / found.value - 1, rel=1e-5)
    assert told.better_by > 0.02
    assert any("bf16 → " in line for line in told.differs)


def test_the_best_plan_that_breaks_a_limit_is_not_the_best() -> None:
    given, _ = plan_as_answer([question_of()], plan_of())
    told = explain_result(
        [question_of()], found_of(), plan_of(), given=given, breaks="tpot", solves=0
    )
    assert (told.best, told.breaks, told.differs) == (False, "tpot", ())
    late = replace(plan_of(), objective="latency")
    seconds = explain_result([question_of()], found_of(), late, given=None, solves=0).value
    assert seconds == late.performance.tpot_seconds.value
