"""What a plan file says can be read again, whatever characters the names of files have."""

import json
import os
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.questions import plan_of

import planner
from planner.planning.plan.bounds import CONTROL, escape_control_characters
from planner.planning.plan.record import Assumption

NAMES = ["mo\x1b[31mdel", "mo\u202edel", "mo\udcffdel", "mo\u200bdel", "mo\tdel"]


@pytest.mark.skipif(os.name == "nt", reason="such names are not of that system")
@pytest.mark.parametrize("name", NAMES)
def test_a_plan_of_a_folder_with_such_a_name_is_read_again(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    config = files("planner.models") / "configs/qwen2.5-0.5b.json"
    (folder / "config.json").write_bytes(config.read_bytes())
    plan = planner.plan(
        str(folder), "h100-sxm", devices=1, batch=8, context=2048, schemes=["bf16"], engine="vllm"
    )
    written = json.dumps(plan.to_dict(), ensure_ascii=False).encode()
    assert planner.read_plan(json.loads(written)) == plan
    assert plan.model.source == str(folder / "config.json").replace(name[2], ascii(name[2])[1:-1])
    again = planner.estimate(str(folder), plan=plan)
    assert planner.read_plan(json.loads(json.dumps(again.to_dict()))) == again


@given(st.text())
def test_only_such_characters_change(text: str) -> None:
    plan = plan_of()
    found = escape_control_characters(
        replace(plan, assumptions=(Assumption("key", text, "reason"),))
    )
    told = found.assumptions[0].value
    json.dumps(told, ensure_ascii=False).encode()
    assert not CONTROL.search(told)
    if told != text:
        assert not text.isprintable()
    assert replace(found, assumptions=plan.assumptions) == plan


def test_a_plan_without_them_is_the_same_record() -> None:
    plan = plan_of()
    assert escape_control_characters(plan) is plan
    chinese = replace(plan, model=replace(plan.model, source="模型/config.jsoné"))
    assert escape_control_characters(chinese) is chinese
