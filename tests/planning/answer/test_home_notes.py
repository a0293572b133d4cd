"""What one request alone sees of a plan: its prompt, its decode, its context."""

from __future__ import annotations

import pytest

import planner
from planner.planning.answer.choice_notes import ONE_REQUEST_KEY
from planner.planning.plan.record import Plan
from planner.report.render.plan_text import MOST_LINES, plan_text

PLACE = ("gpt-oss-20b", "rtx-5060-ti-16gb")


def figures(plan: Plan) -> dict[str, float]:
    """The figures of the note by the names of its holes."""
    (said,) = [n.value for n in plan.assumptions if n.key == ONE_REQUEST_KEY]
    values = dict(said.values)
    if "speeds" in values:
        values |= dict(values.pop("speeds").values)
    return {name: float(str(value).replace(",", "")) for name, value in values.items()}


@pytest.fixture(scope="module")
def many() -> Plan:
    return planner.plan(*PLACE, engine="llama.cpp")


def test_one_request_of_several_is_that_of_a_plan_for_one(many: Plan) -> None:
    assert many.workload.batch > 1
    alone = planner.plan(*PLACE, engine="llama.cpp", batch=1, tpot_seconds="none")
    mine, own = figures(many), figures(alone)
    assert {u.scheme for u in many.units} == {u.scheme for u in alone.units}
    for name in ("prompt", "decode", "low", "high"):
        assert mine[name] == own[name], name
    assert mine["window"] == alone.capacity.max_context_at_batch
    assert "window" not in own


def test_one_request_is_faster_than_each_of_several(many: Plan) -> None:
    mine, perf = figures(many), many.performance
    assert mine["decode"] > 1 / perf.tpot_seconds.value
    assert mine["prompt"] >= 0.99 * many.workload.isl / perf.ttft_seconds.value
    assert mine["low"] < mine["decode"] < mine["high"]
    assert mine["decode"] < perf.output_tokens_per_second.value


def test_it_stands_in_the_answer(many: Plan) -> None:
    text = plan_text(many)
    assert f"decode {figures(many)['decode']:.3g} tokens/s" in " ".join(text.split())
    assert text.count("\n") <= MOST_LINES
    assert "单个请求" in plan_text(many, "zh")


def test_engines_for_servers_say_nothing_of_it() -> None:
    plan = planner.plan("qwen3-8b", "h100-sxm", engine="vllm", devices=1)
    assert not [n for n in plan.assumptions if n.key == ONE_REQUEST_KEY]


def test_mlx_says_what_the_first_token_waits_for_after_a_pause() -> None:
    given = {"batch": 1, "devices": 1}
    mlx, ggml = (
        planner.plan("qwen3-8b", "m4-pro-24gb", engine=name, **given)  # type: ignore[arg-type]
        for name in ("mlx", "llama.cpp")
    )
    (said,) = [n.value for n in mlx.assumptions if n.key == "pause"]
    seconds = float(dict(said.values)["seconds"])
    assert seconds == pytest.approx(mlx.memory_per_device.weights_bytes * 1.94e-11, rel=0.1)
    assert not [n for n in ggml.assumptions if n.key == "pause"]
