"""Plans whose losses cannot be told apart: the faster is taken, and the plan says so."""

from dataclasses import replace

from support.questions import found_of

from planner.planning.plan.record import Plan
from planner.planning.search.engine_search import (
    SLACK,
    best_result,
    device_seconds,
    equal_note,
)
from planner.planning.search.question_search import solve_questions
from planner.planning.space.losses import band_factor
from tests.support import theory

ASK = ("qwen2.5-0.5b", "jetson-orin-nano-8gb")
TIGHT = {"devices": 1, "memory_bytes": 1_400_000_000, "max_loss": "int4-w4a16"}


def quality(**more: object) -> Plan:
    return theory.plan(*ASK, objective="quality", **{**TIGHT, **more})  # type: ignore[arg-type]


def test_the_faster_of_equals_is_taken_within_the_band() -> None:
    questions = theory.ask(*ASK, objective="quality", **TIGHT).questions()  # type: ignore[arg-type]
    least, taken = solve_questions(questions), best_result(questions)
    assert least is not None
    assert taken is not None
    band = band_factor(taken.space.model)
    assert least.value <= taken.value <= least.value * band * (1 + 1e-9)
    assert device_seconds(taken) < device_seconds(least) * (1 - SLACK)
    # Nothing inside the band is faster by more than the slack.
    fastest = theory.plan(*ASK, objective="throughput", **TIGHT)  # type: ignore[arg-type]
    assert fastest.quality.loss > least.value * band or fastest.solver.bound >= device_seconds(
        taken
    ) / (1 + SLACK) * (1 - 1e-6)


def test_the_plan_says_what_it_gave_up() -> None:
    plan = quality()
    notes = {a.key: a for a in plan.assumptions}
    assert "at the least" in notes["indistinguishable"].value
    assert plan.objective == "quality"
    assert plan.solver.proved
    assert plan.solver.bound < plan.quality.loss
    assert any(u.reason.startswith("pace: ") for u in plan.units)


def test_no_loss_is_not_given_away() -> None:
    plan = theory.plan(*ASK, objective="quality", devices=1)
    assert plan.quality.loss == 0
    assert "indistinguishable" not in {a.key for a in plan.assumptions}


def test_a_limit_on_loss_inside_the_band_holds() -> None:
    free = quality()
    scheme = "fp8-w8a16"
    limit = theory.estimate(*ASK, scheme=scheme, devices=1, batch=1).quality.loss
    bound = quality(max_loss=scheme, memory_bytes=2_000_000_000)
    assert bound.quality.loss <= limit * (1 + 1e-9)
    assert free.quality.loss > 0


def test_the_uniform_rival_is_compared_by_pace_too() -> None:
    plan = theory.plan(
        "llama-3.1-8b",
        "h100-sxm",
        devices=1,
        objective="quality",
        memory_bytes=12 << 30,
        max_loss="int4-w4a16",
    )
    assert plan.comparison.text.startswith("indistinguishable in loss from uniform ")
    assert "more tokens/s per device" in plan.comparison.text


def test_only_a_loss_above_the_least_is_said_to_be_given_up() -> None:
    found = found_of(objective="quality")
    for above, told in ((0.0, False), (1e-9, False), (1e-3, True)):
        worth = replace(found.solution, value=0.02 * (1 + above))
        assert bool(equal_note(replace(found, solution=worth, bound=0.02))) == told
    fast = found_of()
    assert fast.value > 0
    assert not equal_note(replace(fast, bound=fast.value / 2))
