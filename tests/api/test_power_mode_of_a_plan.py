"""A plan file keeps the power mode of the scenario that it was made in."""

from pathlib import Path

import pytest

import planner
from planner.planning.plan.record import Plan
from tests.support import theory

SCENARIO = """title = "An Orin at {mode}"
question = "How slow is it?"
model = "qwen2.5-0.5b"
device = "jetson-agx-orin-64gb"
context = 2048
[host]
power_mode = "{mode}"
"""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    path = tmp_path_factory.mktemp("scenario") / "slow.toml"
    path.write_text(SCENARIO.format(mode="15w"), encoding="utf-8")
    return theory.plan(scenario=str(path), devices=1, batch=4)


def notes(assumptions: object) -> list[tuple[str, str]]:
    return [(a.value, a.reason) for a in assumptions if a.key == "power mode"]  # type: ignore[attr-defined]


def test_estimate_serve_and_explain_stay_in_it(slow: Plan) -> None:
    again = theory.estimate(plan=planner.read_plan(slow.to_dict()))
    assert again.performance.tpot_seconds.value == pytest.approx(
        slow.performance.tpot_seconds.value, rel=1e-9
    )
    assert notes(again.assumptions) == [("15w", "of the plan file")]
    free = theory.estimate(
        "qwen2.5-0.5b", "jetson-agx-orin-64gb", scheme="int8-w8a8", devices=1, batch=4, context=2048
    )
    assert notes(free.assumptions)[0][0] == "maxn"
    served = planner.serve(plan=slow, concurrency=4)
    fast = planner.serve(plan=slow_at_maxn(slow), concurrency=4)
    assert served.point is not None
    assert fast.point is not None
    assert served.point.tpot_seconds > 1.5 * fast.point.tpot_seconds
    explained = theory.explain(plan=slow, solves=0)
    assert explained.plan.power_mode == "15w"


def slow_at_maxn(plan: Plan) -> Plan:
    data = plan.to_dict()
    for line in data["assumptions"]:  # type: ignore[attr-defined]
        if line["key"] == "power mode":
            line["value"] = "maxn"
    return planner.read_plan(data)


def test_a_scenario_of_another_mode_wins_and_says_so(slow: Plan, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(SCENARIO.format(mode="50w"), encoding="utf-8")
    again = theory.estimate(plan=slow, scenario=str(path))
    assert notes(again.assumptions) == [("50w", "set by the scenario")]
    assert again.performance.tpot_seconds.value < slow.performance.tpot_seconds.value


def test_a_device_without_modes_takes_none(slow: Plan) -> None:
    moved = theory.estimate("qwen2.5-0.5b", "h100-sxm", plan=slow)
    assert notes(moved.assumptions) == []
