"""Which other plans stand in the table: none twice, and the one that the verdict names."""

from dataclasses import replace
from functools import cache

from support.recommended import LOSSIER, other, recommended

import planner
from planner.planning.plan.recommendation import GainRange, OtherPlan
from planner.planning.plan.record import Plan
from planner.report.view.shown_plans import (
    is_beaten_with_more_loss,
    is_same_plan,
    named_in_verdict,
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


def test_the_plan_that_the_verdict_names_is_in_the_shortest_table() -> None:
    named = other("uniform fp8-tensor", probability_better=0.6, gain=LIKELY)
    likelier = other("uniform fp8-channel", probability_better=0.7, gain=LIKELY)
    text = "Serve it. Uniform fp8-tensor would give about 30 % more."
    plan = beside(likelier, named, text=text)
    assert named_in_verdict(plan) is named
    assert rows(plan, 1) == ["uniform fp8-tensor"]
    assert rows(beside(likelier, named), 1) == ["uniform fp8-channel"]


def test_a_mix_is_named_by_its_number_of_formats() -> None:
    two = other("2 formats", schemes=("fp8-block", "bf16"), probability_better=0.6, gain=LIKELY)
    three = replace(two, name="3 formats", schemes=("fp8-block", "bf16", "nvfp4"))
    text = "Serve it. Another mix of 3 formats would give about 9 % more."
    plan = beside(two, three, text=text)
    assert named_in_verdict(plan) is three


def test_an_optimum_that_has_a_name_stands_there_once() -> None:
    uniform = other("uniform fp8-block")
    optimum = replace(uniform, name="optimum")
    assert is_same_plan(optimum, uniform)
    plan = beside(uniform, optimum)
    assert rows(plan) == ["uniform fp8-block"]
    assert "uniform fp8-block (optimum)" in str(plan)
    apart = beside(uniform, replace(optimum, layout="tp2"))
    assert rows(apart) == ["uniform fp8-block", "optimum"]
    assert "(optimum)" not in str(apart)
    beaten = beside(uniform, optimum, replace(uniform, name="x", loss=1.0, devices=1))
    assert "uniform fp8-block " in str(beaten)
    assert "(optimum)" not in str(beaten)


def test_an_optimum_slower_than_its_table_says_at_which_loss() -> None:
    optimum = other("optimum", loss=0.0016, output_tokens_per_second=1000.0)
    faster = other("uniform fp8-block", loss=0.0018, output_tokens_per_second=1100.0)
    own = served().performance.output_tokens_per_second_per_device.value
    few = replace(optimum, devices=1, output_tokens_per_second=2 * own, engine="vllm")
    above = replace(faster, devices=1, output_tokens_per_second=2.1 * own, engine="vllm")
    assert is_beaten_with_more_loss(beside(few, above), few)
    assert "optimum at loss ≤ 0.0016" in str(beside(few, above))
    for fair in (
        replace(above, loss=0.0016),
        replace(above, engine="sglang"),
        replace(above, output_tokens_per_second=1.9 * own),
    ):
        assert not is_beaten_with_more_loss(beside(few, fair), few)
        assert "optimum at loss" not in str(beside(few, fair))


def test_a_step_of_loss_speaks_of_4_bit_weights_alone() -> None:
    """It said that more loss was no faster while INT8, which lost more, was 30 % faster."""

    def step(gain: float, mix: float | None = None) -> str:
        own = served().performance.output_tokens_per_second_per_device.value
        slow = replace(LOSSIER, devices=1, output_tokens_per_second=own * (1 + gain))
        if mix is not None:
            mixed = replace(slow, name="mix with 4-bit", output_tokens_per_second=own * (1 + mix))
            slow = replace(slow, mix=mixed)
        return str(recommended(served(), lossier=slow))

    assert "\n4-bit weights are no faster: uniform nvfp4, KV fp8: " in step(-0.3)
    assert "\n4-bit weights are about as fast: uniform nvfp4, KV fp8: " in step(0.001)
    assert "\nmore loss: uniform nvfp4, KV fp8: " in step(0.3)
    assert "\nmore loss: uniform nvfp4, KV fp8: " in step(-0.02, 0.1)
    assert "more loss is no faster" not in step(-0.3)
