"""An answer says how its weights are quantised, and what that makes of their loss."""

import pytest

from planner.planning.answer.quantiser_notes import KEY
from planner.planning.plan.record import Assumption, Plan
from planner.quality.quantisers import loss_factor
from tests.support import theory


def notes(plan: Plan) -> list[Assumption]:
    return [a for a in plan.assumptions if a.key == KEY]


def priced(model: str, scheme: str) -> Plan:
    return theory.estimate(model, "h100-sxm", context=1024, batch=1, scheme=scheme, kv="bf16")


def test_a_calibrated_release_is_named_with_its_factor_and_sources() -> None:
    (note,) = notes(priced("qwen3-4b", "int4-w4a16"))
    assert note.value == "Qwen/Qwen3-4B-AWQ in int4-w4a16 is made with AWQ"
    factor = loss_factor("AWQ", "int4-w4a16")
    assert note.reason.startswith(f"the loss is {factor:.2g} of that of rounding to nearest (")
    assert "arXiv:2306.00978" in note.reason


def test_the_factor_is_in_the_loss() -> None:
    """Two models of one structure, of which one has a release made with AWQ."""
    plain = priced("qwen3-4b-2507", "int4-w4a16")
    made = priced("qwen3-4b", "int4-w4a16")
    assert "nobody publishes these weights" in notes(plain)[0].value
    assert "AWQ" in notes(plain)[0].reason
    assert made.quality.loss < plain.quality.loss


@pytest.mark.parametrize(
    ("scheme", "value", "reason"),
    [
        ("fp8-block", "Qwen/Qwen3-8B-FP8 in fp8-block is rounded to nearest", "finegrained_fp8"),
        ("mxfp4-w4a16", "nobody publishes these weights", "no factor over rounding"),
    ],
)
def test_plain_rounding_and_what_is_not_known_are_told(
    scheme: str, value: str, reason: str
) -> None:
    (note,) = notes(priced("qwen3-8b", scheme))
    assert value in note.value
    assert reason in note.reason


def test_weights_that_lose_nothing_have_no_note() -> None:
    plan = priced("qwen3-8b", "bf16")
    assert notes(plan) == []
    assert [a for a in plan.assumptions if a.key == "loss by domain"] == []


def test_how_far_a_loss_depends_on_the_text_is_told_with_its_source() -> None:
    (note,) = [a for a in priced("qwen3-8b", "fp8-block").assumptions if a.key == "loss by domain"]
    assert note.value == "on long documents 6.8 times that on science"
    assert "localbench" in note.reason
