"""Which other plans stand in the table: none twice, and the one that the verdict names."""

from dataclasses import replace
from functools import cache

from support.recommended import LOSSIER, other, recommended

import planner
from planner.planning.plan.recommendation import GainRange, OtherPlan
from planner.planning.plan.record import Plan
from planner.report.phrases import phrases
from planner.report.view.alternatives import alternatives_table, next_step_text
from planner.report.view.shown_plans import (
    is_beaten_with_more_loss,
    is_same_plan,
    nearest_rival,
    shown_others,
)

LIKELY = GainRange(0.3, 0.1, 0.5)


@cache
def served() -> Plan:
    return planner.estimate("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm", batch=8)


def beside(*others: OtherPlan, text: str = "Serve it.") -> Plan:
    return recommended(served(), text=text, alternatives=others)


def rows(plan: Plan, most: int = 6) -> list[str]:
    return [one.name for one in shown_others(plan, most)]


def named(plan: Plan) -> list[str]:
    (table,) = alternatives_table(phrases("en"), plan, 6)
    return [row[0] for row in table.rows]


def test_the_plan_that_comes_nearest_to_displacing_is_in_the_shortest_table() -> None:
    small = other("uniform fp8-tensor", probability_better=0.7, gain=GainRange(0.02, -0.3, 0.4))
    large = other("uniform fp8-channel", probability_better=0.6, gain=LIKELY)
    plan = beside(small, large)
    assert nearest_rival(plan) is large
    assert rows(plan, 1) == ["uniform fp8-channel"]
    assert nearest_rival(beside(replace(large, probability_better=0.4))) is None


def test_an_optimum_that_has_a_name_stands_there_once() -> None:
    uniform = other("uniform fp8-block", devices=1)
    optimum = replace(uniform, name="optimum")
    assert is_same_plan(optimum, uniform)
    plan = beside(uniform, optimum)
    assert rows(plan) == ["uniform fp8-block"]
    assert named(plan) == ["uniform fp8-block (exact optimum)"]
    apart = beside(uniform, replace(optimum, layout="tp2"))
    assert rows(apart) == ["uniform fp8-block", "optimum"]
    assert named(apart) == ["uniform fp8-block", "optimum"]
    faster = replace(uniform, name="x", loss=0.04, output_tokens_per_second=9999.0)
    assert named(beside(uniform, optimum, faster)) == ["uniform fp8-block", "x"]
    damaged = replace(faster, loss=1.0)
    assert named(beside(uniform, optimum, damaged)) == ["uniform fp8-block"]


def test_an_optimum_slower_than_its_table_says_at_which_loss() -> None:
    optimum = other("optimum", loss=0.0016, output_tokens_per_second=1000.0)
    faster = other("uniform fp8-block", loss=0.0018, output_tokens_per_second=1100.0)
    own = served().performance.output_tokens_per_second_per_device.value
    few = replace(optimum, devices=1, output_tokens_per_second=2 * own, engine="vllm")
    above = replace(faster, devices=1, output_tokens_per_second=2.1 * own, engine="vllm")
    assert is_beaten_with_more_loss(beside(few, above), few)
    assert "exact optimum at KL ≤" in " ".join(str(beside(few, above)).split())
    for fair in (
        replace(above, loss=0.0016),
        replace(above, engine="sglang"),
        replace(above, output_tokens_per_second=1.9 * own),
    ):
        assert not is_beaten_with_more_loss(beside(few, fair), few)
        assert "optimum at KL" not in str(beside(few, fair))


def test_a_step_of_loss_speaks_of_4_bit_weights_alone() -> None:
    """It said that more loss was no faster while INT8, which lost more, was 30 % faster."""

    def step(gain: float, mix: float | None = None) -> str:
        own = served().performance.output_tokens_per_second_per_device.value
        slow = replace(LOSSIER, devices=1, output_tokens_per_second=own * (1 + gain))
        if mix is not None:
            mixed = replace(slow, name="mix with 4-bit", output_tokens_per_second=own * (1 + mix))
            slow = replace(slow, mix=mixed)
        return next_step_text(phrases("en"), served(), slow)

    for gain in (-0.3, 0.001):
        assert step(gain) == "4-bit weights (no faster)"
    assert step(0.3).startswith("uniform nvfp4, KV fp8 +30% at KL ")
    assert step(-0.02, 0.1).startswith("mix with 4-bit +10% at KL ")
