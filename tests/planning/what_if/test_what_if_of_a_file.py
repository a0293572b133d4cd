"""A what-if grid around a plan file repeats what was asked for: limits, layout and formats."""

from dataclasses import replace

import pytest

import planner
from planner.api.what_if import what_if
from planner.base.errors import InputError
from planner.planning.what_if.around_file import around_file
from planner.planning.what_if.grid import PlannedPoint


@pytest.mark.exhaustive
def test_limits_of_time_come_back_from_the_file() -> None:
    made = planner.plan(
        "qwen2.5-0.5b",
        "h100-sxm",
        devices=1,
        context=2048,
        ttft_seconds=0.5,
        tpot_seconds=0.004,
        schemes=["bf16", "fp8-block"],
        max_loss="fp8-block",
    )
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
    slow = replace(
        made,
        assumptions=tuple(
            replace(a, value="15w") if a.key == "power mode" else a for a in made.assumptions
        ),
    )
    with pytest.raises(InputError, match="power-mode of a scenario"):
        around_file(slow)


@pytest.mark.exhaustive
def test_a_workload_by_name_is_a_position_of_its_own() -> None:
    """With a hit rate that is given the requests are the plan's own; others keep theirs."""
    asked = {"devices": 1, "engine": "vllm", "workload": "batch", "prefix_hit_rate": 0.5}
    base = planner.plan("llama-3.2-1b", "h100-sxm", **asked)
    found = what_if(
        "llama-3.2-1b",
        "h100-sxm",
        base=base,
        grid=(
            "workload=own,batch,agent",
            "batch=8",
            "devices=1",
            "tpot-ms=none",
            "max-loss=fp8-block",
            "engine=vllm",
            "schemes=auto",
            "kv=auto",
        ),
        **asked,
    )
    assert "--prefix-hit" not in found.command
    assert found.axes[0].flags == (
        "--workload batch --prefix-hit 0.5",
        "--workload batch",
        "--workload agent",
    )
    planned = [p for p in found.points if isinstance(p, PlannedPoint) and p.batch == 8]
    for point, (work, rate) in zip(
        planned, (("batch", 0.5), ("batch", None), ("agent", None)), strict=True
    ):
        alone = planner.plan(
            "llama-3.2-1b",
            "h100-sxm",
            devices=1,
            engine="vllm",
            workload=work,
            batch=8,
            max_loss="fp8-block",
            exact=True,
            tpot_seconds="none",
            prefix_hit_rate=rate,
        )
        assert point.performance == alone.performance
        assert point.room == alone.capacity.max_concurrency_at_requests
