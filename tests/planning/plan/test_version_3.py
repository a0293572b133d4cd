"""Plan files of version 3 from before a loss had a meaning: one anchor becomes a list of one."""

from typing import Any

import pytest

from planner.base.errors import DataError
from planner.planning.plan.schema import parse_plan
from planner.planning.plan.version_3 import MEANING, lifted
from tests.support import theory

ANCHOR = {"text": "fp8-block on Qwen3-8B: MMLU −0.23 ± 0.5 pt", "source": "intel/auto-round docs@1"}


def as_before(data: dict[str, Any], anchor: Any = None, **quality: Any) -> dict[str, Any]:
    """What version 3 wrote at first."""
    kept = {key: value for key, value in data["quality"].items() if key not in MEANING}
    return {**data, "quality": {**kept, "measured_anchor": anchor, **quality}}


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    plan = theory.estimate("qwen3-8b", "h100-sxm", scheme="fp8-block", batch=1, context=1024)
    return plan.to_dict()


def test_one_anchor_is_a_list_of_one_without_a_kind(data: dict[str, Any]) -> None:
    old = as_before(data, dict(ANCHOR))
    read = parse_plan(old).to_dict()
    assert read["quality"]["measured_anchor"] == [{**ANCHOR, "kind": None}]
    assert {read["quality"][key] for key in MEANING} == {None}
    assert {k: v for k, v in read.items() if k != "quality"} == {
        k: v for k, v in data.items() if k != "quality"
    }
    assert old == as_before(data, dict(ANCHOR)), "the given data stay as they are"
    assert parse_plan(read).to_dict() == read


def test_no_anchor_is_an_empty_list(data: dict[str, Any]) -> None:
    assert parse_plan(as_before(data)).quality.measured_anchor == ()


def test_flips_that_a_profile_measured_are_agreement(data: dict[str, Any]) -> None:
    assert parse_plan(as_before(data, flips=0.03)).quality.top1 == pytest.approx(0.97)


def test_a_step_of_loss_and_its_mix_are_lifted_too() -> None:
    mix = {"name": "a mix", "measured_anchor": None, "mix": None}
    step = {"name": "uniform nvfp4", "measured_anchor": ANCHOR, "mix": mix}
    said = lifted({"quality": {"measured_anchor": None}, "recommendation": {"lossier": step}})
    found = said["recommendation"]["lossier"]
    assert found["measured_anchor"] == [{**ANCHOR, "kind": None}]
    assert found["mix"]["measured_anchor"] == []


def test_files_of_now_are_given_back(data: dict[str, Any]) -> None:
    assert lifted(data) is data
    assert lifted({"quality": 3}) == {"quality": 3}


def test_a_file_of_now_must_tell_what_its_loss_means(data: dict[str, Any]) -> None:
    for key in MEANING:
        quality = {k: v for k, v in data["quality"].items() if k != key}
        with pytest.raises(DataError, match=key):
            parse_plan({**data, "quality": quality})


@pytest.mark.parametrize(("key", "value"), [("word", "fine"), ("top1", 1.5), ("top1", -0.1)])
def test_what_no_meaning_is_is_refused(data: dict[str, Any], key: str, value: Any) -> None:
    with pytest.raises(DataError, match=key):
        parse_plan({**data, "quality": {**data["quality"], key: value}})
