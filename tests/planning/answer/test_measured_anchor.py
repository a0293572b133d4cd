"""The anchor in a plan: the format that loses most decides, the plan file holds it."""

from dataclasses import replace

import pytest

import planner
from planner.planning.plan.recommendation import MeasuredAnchor
from planner.planning.plan.record import Plan
from planner.planning.plan.schema import parse_plan, plan_json_schema
from planner.quality.anchor import RELEASED, UNCHANGED, WIDENED
from tests.support import theory

DEEPSEEK_8 = {"devices": 8, "context": 8192, "tpot_seconds": "none"}


def anchored(plan: Plan) -> MeasuredAnchor:
    assert plan.quality.measured_anchor is not None
    return plan.quality.measured_anchor


def priced(model: str, device: str = "h100-sxm", **asked: object) -> Plan:
    return theory.estimate(model, device, context=1024, batch=1, **asked)


def test_uniform_formats_have_their_own_rows() -> None:
    assert (
        anchored(priced("qwen3-8b", scheme="fp8-block", kv="bf16")).text
        == "fp8-block on Qwen3-8B: MMLU −0.23 ± 0.5 pt"
    )
    both = anchored(priced("qwen3-8b", scheme="fp8-block", kv="fp8"))
    assert both.text.startswith("fp8-block on Qwen3-8B: MMLU")
    assert "; KV fp8 on Qwen3-8B: RULER-128K" in both.text


def test_as_released_is_no_change() -> None:
    assert anchored(priced("qwen3-8b", scheme="bf16", kv="bf16")) == MeasuredAnchor(UNCHANGED, "")
    stored = priced("qwen3-30b-a3b-fp8", scheme="fp8-block", kv="bf16")
    assert stored.quality.loss == 0, "its activations are rounded as the release has them"
    assert anchored(stored) == MeasuredAnchor(UNCHANGED, "")
    made = priced("qwen3-30b-a3b", scheme="fp8-block", kv="bf16")
    assert made.quality.loss > 0, "the same format, made of a plain release"
    assert anchored(made) != MeasuredAnchor(UNCHANGED, "")


@pytest.mark.parametrize("limit", ["int8-w8a8", "int4-w4a16-g32"])
def test_the_format_that_loses_most_decides(limit: str) -> None:
    """Whatever fills the bytes; the others stand among the assumptions."""
    found = theory.plan(
        "qwen3-8b",
        "b200-sxm",
        devices=1,
        context=1024,
        batch=1,
        kv="bf16",
        schemes=["fp8-block", "nvfp4"],
        max_loss=limit,
        objective="memory",
    )
    lost: dict[str, float] = {}
    for unit in found.units:
        if unit.loss > 0:
            lost[unit.scheme] = lost.get(unit.scheme, 0.0) + unit.loss
    ranked = sorted(lost, key=lambda name: -lost[name])
    beside = [a.value for a in found.assumptions if a.key == "measured elsewhere"]
    assert anchored(found).text == beside[0]
    assert [text.partition(" on Qwen3-8B: ")[0] for text in beside] == ranked


def test_the_plan_file_holds_it() -> None:
    plan = priced("qwen3-8b", scheme="nvfp4", device="b200-sxm")
    data = plan.to_dict()
    assert data["quality"]["measured_anchor"] == {
        "text": anchored(plan).text,
        "source": anchored(plan).source,
    }
    assert parse_plan(data) == plan


def test_files_without_it_are_read_and_other_keys_are_refused() -> None:
    plan = priced("qwen3-8b", scheme="bf16")
    bare = replace(plan, quality=replace(plan.quality, measured_anchor=None))
    assert bare.to_dict()["quality"]["measured_anchor"] is None
    assert parse_plan(bare.to_dict()) == bare
    data = plan.to_dict()
    data["quality"]["measured_anchor"]["points"] = -0.2
    with pytest.raises(planner.base.errors.DataError, match="measured_anchor"):
        parse_plan(data)


def test_the_schema_knows_it() -> None:
    schema = plan_json_schema()
    anchor = schema["$defs"]["MeasuredAnchor"]
    assert set(anchor["required"]) == {"text", "source"} == set(anchor["properties"])
    assert "measured_anchor" in schema["$defs"]["QualityInfo"]["properties"]


def test_modules_in_16_bits_are_told() -> None:
    asked = {**DEEPSEEK_8, "engine": "tensorrt-llm", "tpot_seconds": None}
    found = planner.plan("deepseek-v3", "h200-sxm", exact=True, **asked)
    assert {"bf16", "fp8-block"} <= {
        u.scheme for u in found.units if u.kind.startswith("mla") or u.kind == "attention-out"
    }
    anchor = found.quality.measured_anchor
    assert anchor is not None
    assert anchor.text.startswith(f"{WIDENED}; KV fp8 on")


def test_weights_as_released_are_called_so() -> None:
    found = planner.estimate("deepseek-v3", "h200-sxm", kv="fp8", **DEEPSEEK_8)
    anchor = found.quality.measured_anchor
    assert anchor is not None
    assert anchor.text.startswith(f"{RELEASED}; KV fp8 on")
