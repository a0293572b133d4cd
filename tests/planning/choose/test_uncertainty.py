"""What plans err by: seconds of TPOT by class, and errors of the whole."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.choices import choice_of, experts, llama

from planner.planning.choose.error_classes import COLLECTIVE
from planner.planning.choose.selection import Selection
from planner.planning.choose.uncertainty import score, time_parts, uncertain_objective
from planner.planning.price.intervals import plan_sigmas, prompt_spread, step_spread
from planner.planning.price.measured_errors import unmeasured_sigmas
from planner.planning.price.plan_kinds import kind_of


@pytest.mark.parametrize("choice", [llama, experts], ids=["dense", "experts"])
def test_parts_add_up_to_the_time_of_a_token(choice: Callable[[], Selection]) -> None:
    for one in choice().options:
        parts = one.weighed.parts
        assert math.fsum(p.seconds for p in parts) == pytest.approx(one.priced.tpot, rel=1e-9)
        assert all(p.seconds > 0 for p in parts)
        assert len({p.errors for p in parts}) == len(parts)


def test_prompts_in_between_have_kernels_of_their_own() -> None:
    option = llama().option
    names = {error.operator for part in option.weighed.parts for error, _ in part.errors}
    assert {"attention decode", "attention prefill", "gemm"} <= names
    prompts = math.fsum(
        part.seconds
        for part in option.weighed.parts
        if any(error.operator == "attention prefill" for error, _ in part.errors)
    )
    assert 0 < prompts < option.priced.interruption


def test_ranks_that_talk_err_by_their_network() -> None:
    wide = next(one for one in experts().options if one.priced.layout.ranks > 1)
    assert any(
        error.operator == COLLECTIVE for part in wide.weighed.parts for error, _ in part.errors
    )
    alone = llama().option
    assert not any(
        error.operator == COLLECTIVE for part in alone.weighed.parts for error, _ in part.errors
    )


def test_the_spread_is_that_of_the_interval_where_nothing_cancels() -> None:
    """Of one plan alone the classes' errors make about the σ that its interval is made of."""
    option = llama().option
    found: dict[str, float] = {}
    for part in option.weighed.parts:
        for error, sigma in part.errors:
            found[error.key] = found.get(error.key, 0.0) + sigma * part.seconds
    common = next(
        one.weight for one in option.weighed.wholes if one.error.operator == "composition"
    )
    ours = math.hypot(*(x / option.priced.tpot for x in found.values()), common)
    model, priced = option.space.model, option.priced
    step, prompt = step_spread(model, priced), prompt_spread(model, priced)
    kind = kind_of(model, priced)
    ours = math.hypot(ours, unmeasured_sigmas(kind).tpot)
    assert ours == pytest.approx(plan_sigmas(model, priced, step, prompt).tpot, rel=0.35)


def test_what_is_common_is_one_error_of_the_engine() -> None:
    keys = {
        one.error.key
        for option in llama().options
        for one in option.weighed.wholes
        if one.error.operator == "composition"
    }
    assert len(keys) == 1
    layouts = {
        one.error.key
        for option in experts().options
        for one in option.weighed.wholes
        if one.error.operator == "layout"
    }
    assert len(layouts) == len(
        {(p.tp, p.dp, p.pp, p.ep) for p in (option.priced.layout for option in experts().options)}
    )


@pytest.mark.parametrize("objective", ["throughput", "latency", "memory", "quality", "cost"])
def test_every_objective_has_its_value(objective: str) -> None:
    option = llama().option
    space, priced = option.space, option.priced
    question = space.model.question
    value = score(replace(question, objective=objective), priced)  # type: ignore[arg-type]
    expected = {
        "latency": priced.tpot,
        "memory": float(priced.fullest.total),
        "quality": priced.loss,
    }.get(objective, priced.layout.ranks / priced.rate)
    assert value == pytest.approx(expected)


def test_bytes_do_not_err_and_losses_do_by_their_band() -> None:
    memory = choice_of("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm", objective="memory")
    assert all(not one.weighed.parts and not one.weighed.wholes for one in memory.options)
    quality = choice_of("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm", objective="quality")
    assert all(not one.weighed.parts and len(one.weighed.wholes) == 1 for one in quality.options)
    first = quality.options[0]
    again = uncertain_objective(first.space, first.priced, first.weighed.value, "another")
    assert again.wholes[0].error != first.weighed.wholes[0].error
    assert time_parts(first.space, first.priced)
