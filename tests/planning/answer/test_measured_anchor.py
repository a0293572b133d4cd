"""The anchor in a plan: the format that loses most decides, the plan file holds it."""

from dataclasses import replace

import pytest

import planner
from planner.messages.stored import stored
from planner.planning.plan.recommendation import MeasuredAnchor
from planner.planning.plan.record import Plan
from planner.planning.plan.schema import parse_plan, plan_json_schema
from planner.quality.anchor import RELEASED, UNCHANGED, WIDENED
from tests.support import theory

DEEPSEEK_8 = {"devices": 8, "context": 8192, "tpot_seconds": "none"}


def anchored(plan: Plan) -> MeasuredAnchor:
    """The nearest measurement of the weights."""
    return plan.quality.measured_anchor[0]


def priced(model: str, device: str = "h100-sxm", **asked: object) -> Plan:
    return theory.estimate(model, device, context=1024, batch=1, **asked)


def test_uniform_formats_have_their_own_rows() -> None:
    assert (
        anchored(priced("qwen3-8b", scheme="fp8-block", kv="bf16")).text
        == "fp8-block on Qwen3-8B: MMLU −0.23 ± 0.5 pt"
    )
    both = priced("qwen3-8b", scheme="fp8-block", kv="fp8")
    weights, cache, *further = both.quality.measured_anchor
    assert weights.text.startswith("fp8-block on Qwen3-8B: MMLU")
    assert cache.text.startswith("KV fp8 on Qwen3-8B: RULER-128K")
    assert {part.kind for part in further} == {"reasoning", "code"}


def test_as_released_is_no_change() -> None:
    unchanged = MeasuredAnchor(UNCHANGED, "", None)
    plain = priced("qwen3-8b", scheme="bf16", kv="bf16")
    assert plain.quality.measured_anchor == (unchanged,)
    stored = priced("qwen3-30b-a3b-fp8", scheme="fp8-block", kv="bf16")
    assert stored.quality.loss == 0, "its activations are rounded as the release has them"
    assert stored.quality.measured_anchor == (unchanged,)
    for plan in (plain, stored):
        assert (plan.quality.word, plan.quality.top1, plan.quality.p99) == ("no change", 1, 0)
    made = priced("qwen3-30b-a3b", scheme="fp8-block", kv="bf16")
    assert made.quality.loss > 0, "the same format, made of a plain release"
    assert anchored(made) != unchanged
    assert made.quality.word != "no change"


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
    assert data["quality"]["measured_anchor"][0] == {
        "text": stored(anchored(plan).text),
        "source": anchored(plan).source,
        "kind": "short",
    }
    assert parse_plan(data) == plan


def test_files_without_it_are_read_and_other_keys_are_refused() -> None:
    plan = priced("qwen3-8b", scheme="bf16")
    bare = replace(plan, quality=replace(plan.quality, measured_anchor=()))
    assert bare.to_dict()["quality"]["measured_anchor"] == []
    assert parse_plan(bare.to_dict()) == bare
    data = plan.to_dict()
    data["quality"]["measured_anchor"][0]["points"] = -0.2
    with pytest.raises(planner.base.errors.DataError, match="measured_anchor"):
        parse_plan(data)


def test_the_schema_knows_it() -> None:
    schema = plan_json_schema()
    anchor = schema["$defs"]["MeasuredAnchor"]
    assert set(anchor["properties"]) == {"text", "source", "kind"}
    assert "measured_anchor" in schema["$defs"]["QualityInfo"]["properties"]


def test_modules_in_16_bits_are_told() -> None:
    asked = {**DEEPSEEK_8, "engine": "tensorrt-llm", "tpot_seconds": None}
    found = planner.plan("deepseek-v3", "h200-sxm", exact=True, **asked)
    assert {"bf16", "fp8-block"} <= {
        u.scheme for u in found.units if u.kind.startswith("mla") or u.kind == "attention-out"
    }
    kept, cache, *_ = found.quality.measured_anchor
    assert kept.text == WIDENED
    assert cache.text.startswith("KV fp8 on")


def test_weights_as_released_are_called_so() -> None:
    found = planner.estimate("deepseek-v3", "h200-sxm", kv="fp8", **DEEPSEEK_8)
    kept, cache, *_ = found.quality.measured_anchor
    assert kept.text == RELEASED
    assert cache.text.startswith("KV fp8 on")
