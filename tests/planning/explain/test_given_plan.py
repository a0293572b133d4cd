"""A plan file as an answer: its own choices at its own price, and what does not belong to it."""

from dataclasses import replace

import pytest
from support.questions import found_of, plan_of, question_of
from support.search_sums import search_sums

from planner.base.errors import InputError
from planner.planning.explain.given_plan import plan_as_answer
from planner.planning.price.price import price


def test_the_searched_plan_is_found_again() -> None:
    found, plan = found_of(), plan_of()
    again, broken = plan_as_answer([question_of()], plan)
    assert broken == ""
    assert again.value == pytest.approx(found.value, rel=1e-9)
    assert {(s.unit, s.layers, s.choice) for s in again.segments} == {
        (s.unit, s.layers, s.choice) for s in found.segments
    }


def test_the_limit_that_it_breaks_is_named() -> None:
    plan = plan_of()
    tight = replace(question_of(), tpot_seconds=plan.performance.tpot_seconds.value / 2)
    found, broken = plan_as_answer([tight], plan)
    assert broken == "tpot"
    sums = search_sums(found.space, found.candidate, found.segments)
    assert found.value == pytest.approx(sums.score, rel=1e-9)
    # A limit moves the batch at which a search scales its sums, never what the loop says.
    asked = found_of()
    loop = price(found.space, found.candidate, found.segments)
    free = price(asked.space, asked.candidate, asked.segments)
    assert (loop.tpot, loop.ttft, loop.rate) == pytest.approx(
        (free.tpot, free.ttft, free.rate), rel=1e-9
    )


@pytest.mark.parametrize("batch", [0, -8, 1 << 62])
def test_a_batch_out_of_range_is_refused(batch: int) -> None:
    plan = plan_of()
    with pytest.raises(InputError, match="batch"):
        plan_as_answer([question_of()], replace(plan, workload=replace(plan.workload, batch=batch)))


def test_a_scheme_that_is_no_choice_is_refused() -> None:
    plan = plan_of()
    units = tuple(replace(u, scheme="ternary") if u.kind == "mlp-down" else u for u in plan.units)
    with pytest.raises(InputError, match="not possible"):
        plan_as_answer([question_of()], replace(plan, units=units))
