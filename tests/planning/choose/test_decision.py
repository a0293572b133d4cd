"""A question decided: what flags of the rule do to the plan that is taken."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner
from planner.base.errors import InfeasibleError
from planner.planning.choose.decision import PlanDecision, decide
from planner.planning.choose.option import Option
from planner.planning.question.input import QuestionInput

HUGE = 900.0
"""Percent that no plan gains."""
SMALL = ("llama-3.2-1b", "h100-sxm")
DENSE = ("llama-3.1-8b", "h100-sxm")
CHECKED = ("qwen3-8b", "h100-sxm")
PLACES = [SMALL, DENSE, CHECKED]


@cache
def decided(
    place: tuple[str, str], engine: str = "vllm", *, exact: bool = False, **more: Any
) -> PlanDecision:
    model, device = place
    ask = QuestionInput(model=model, device=device, devices=1, engine=engine, **more)
    decision = decide(ask.questions(), exact=exact)
    assert decision is not None
    return decision


def taken(place: tuple[str, str], engine: str = "vllm", **more: Any) -> Option:
    return decided(place, engine, **more).choice.option


def speed(option: Option) -> float:
    """The objective, to be maximised."""
    return 1 / option.weighed.value


@pytest.mark.parametrize("objective", ["throughput", "latency"])
@pytest.mark.parametrize("place", PLACES)
def test_a_gain_that_nothing_brings_keeps_what_is_conventional(
    place: tuple[str, str], objective: str
) -> None:
    """Or what is as well known, as simple, as fast and as little lossy."""
    more = {} if objective == "throughput" else {"objective": objective}
    choice = decided(place, min_gain=HUGE if not more else 99.0, **more).choice
    assert (choice.beaten[:, choice.conventional] < 1).all()
    mine, base = choice.standings[choice.taken], choice.standings[choice.conventional]
    assert mine.order <= base.order
    assert mine.loss <= base.loss
    assert mine.expected <= base.expected
    dominated = any(
        one.evidence <= base.evidence
        and one.simplicity <= base.simplicity
        and one.loss <= base.loss
        and one.expected <= base.expected
        and (one.loss, one.expected) != (base.loss, base.expected)
        for one in choice.standings
    )
    assert (choice.taken == choice.conventional) is not dominated
    assert not (place == DENSE and dominated)


def test_a_smaller_least_gain_lets_a_plan_displace_it() -> None:
    kept = decided(DENSE, objective="latency", min_gain=99.0).choice
    usual = decided(DENSE, objective="latency").choice
    assert kept.taken == kept.conventional
    assert usual.taken != usual.conventional
    assert usual.beaten[usual.taken, usual.conventional] >= 1
    assert speed(usual.option) > speed(kept.option) * 1.05


@pytest.mark.parametrize("more", [{}, {"objective": "latency"}, {"objective": "memory"}])
@pytest.mark.parametrize("place", PLACES)
def test_without_new_weights_none_are_needed(place: tuple[str, str], more: dict[str, Any]) -> None:
    choice = decided(place, new_weights="no", min_gain=0.0, **more).choice
    assert any(one.simple.new_weights for one in choice.options), "some would need them"
    assert not choice.option.simple.new_weights
    for i, one in enumerate(choice.options):
        if one.simple.new_weights:
            assert (choice.beaten[i] == 0).all()


def test_weights_count_as_settings_where_they_may_be_made() -> None:
    usual, free = (
        decided(SMALL, objective="memory", new_weights=a).choice for a in ("auto", "yes")
    )
    assert (usual.rule.new_weights, free.rule.new_weights) == (0.15, 0.05)
    assert free.option.weighed.value <= usual.option.weighed.value


@pytest.mark.parametrize("place", PLACES)
def test_kinds_without_evidence_that_are_allowed_make_it_no_slower(place: tuple[str, str]) -> None:
    usual, allowed = decided(place).choice, decided(place, allow_unmeasured=True).choice
    assert speed(allowed.option) >= speed(usual.option) * (1 - 1e-9)
    assert len(allowed.options) >= len(usual.options)
    assert (allowed.rule.unmeasured, allowed.rule.unmeasured_sure) == (0.05, 0.8)


@pytest.mark.parametrize("more", [{}, {"objective": "latency"}])
@pytest.mark.parametrize("place", PLACES)
def test_exact_is_the_optimum(place: tuple[str, str], more: dict[str, Any]) -> None:
    """No plan of any rule within the limit is better, nor any of its own options."""
    exact = decided(place, exact=True, **more)
    choice = exact.choice
    assert choice.taken == choice.optimum
    assert choice.exact_asked
    assert exact.result.solution.status == "optimal"
    best = speed(choice.option)
    limit = choice.option.priced.loss
    for one in choice.options:
        if one.priced.loss <= limit:
            assert speed(one) <= best * (1 + 1e-6)
    usual = decided(place, **more).choice
    assert speed(usual.option) <= best * (1 + 1e-6) or usual.option.priced.loss > limit


@settings(max_examples=5)
@given(
    st.sampled_from((0.0, 0.0008, 0.002, 0.003, 0.005, 0.02)),
    st.sampled_from(("throughput", "latency", "memory")),
    st.sampled_from((None, 0.0, HUGE / 10)),
)
def test_a_number_for_the_loss_is_never_exceeded(
    limit: float, objective: str, min_gain: float | None
) -> None:
    more: dict[str, Any] = {} if min_gain is None else {"min_gain": min_gain}
    plan = planner.plan(
        *SMALL, devices=1, engine="vllm", max_loss=limit, objective=objective, **more
    )
    assert plan.quality.loss <= limit * (1 + 1e-9) + 1e-12
    assert not {a.key for a in plan.assumptions} & {"max-loss band", "max-loss dropped"}


def test_a_larger_loss_lets_the_objective_be_no_worse() -> None:
    totals = [
        decided(SMALL, objective="memory", max_loss=limit, exact=True).choice.option.weighed.value
        for limit in (0.0, 0.002, 0.02)
    ]
    assert totals[0] > totals[1] > totals[2]


def test_a_number_that_nothing_keeps_is_refused() -> None:
    with pytest.raises(InfeasibleError, match="max-loss"):
        planner.plan(*SMALL, devices=1, engine="vllm", max_loss=0.001, schemes=["int4-w4a16"])


@pytest.mark.parametrize("place", [SMALL, CHECKED])
def test_no_engine_in_particular_is_never_pytorch(place: tuple[str, str]) -> None:
    decision = decided(place, "auto")
    engines = {one.space.model.question.engine for one in decision.choice.options}
    assert not engines & {"pytorch", "llama.cpp", "any"}
    if place == SMALL:
        assert len(engines) > 1, "what is conventional on others is compared"
    assert all(q.engine == decision.result.space.model.question.engine for q in decision.questions)
    elsewhere = [
        one
        for one in decision.choice.options
        if one.space.model.question.engine != decision.result.space.model.question.engine
    ]
    assert all(one.rival.name.endswith(one.space.model.question.engine) for one in elsewhere)
    assert all(one.rival.kind in ("recipe", "conventional") for one in elsewhere)


def test_where_nothing_keeps_a_limit_there_is_no_decision() -> None:
    ask = QuestionInput(
        model="llama-3.1-8b", device="h100-sxm", devices=1, engine="vllm", tpot_seconds=1e-6
    )
    assert decide(ask.questions()) is None
