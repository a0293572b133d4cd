"""A what-if grid around a plan file repeats what was asked for: limits, layout and formats."""

from dataclasses import replace

import pytest

import planner
from planner.api.what_if import around_file
from planner.errors import InputError


def test_limits_of_time_come_back_from_the_file() -> None:
    made = planner.plan("qwen2.5-0.5b", "h100-sxm", devices=1, context=2048, ttft_seconds=0.5,
                        tpot_seconds=0.004, schemes=["bf16", "fp8-block"], max_loss="fp8-block")
    told = around_file(planner.read_plan(made.to_dict()))
    assert (told["ttft_seconds"], told["tpot_seconds"]) == pytest.approx((0.5, 0.004))
    assert told["schemes"] == ("bf16", "fp8-block")
    assert (told["devices"], told["max_loss"]) == (1, "fp8-block")
    again = planner.plan(**told)
    assert again == made
    free = planner.plan("qwen2.5-0.5b", "h100-sxm", devices=1, context=2048)
    assert free.performance.tpot_seconds.value > 0.004


def test_what_a_file_does_not_repeat_is_said() -> None:
    made = planner.plan("qwen2.5-0.5b", "jetson-agx-orin-64gb", devices=1, context=2048, batch=1)
    assert around_file(made)["batch"] == 1
    slow = replace(made, assumptions=tuple(
        replace(a, value="15w") if a.key == "power mode" else a for a in made.assumptions))
    with pytest.raises(InputError, match="power-mode of a scenario"):
        around_file(slow)
