"""What engines that are Python packages share, asked of a task without an engine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planner.base.errors import UnknownNameError
from planner.export import torchao
from planner.lab.verifying.python_trials import folder_of, steps_before, trials
from planner.lab.verifying.records import ALSO, DEFAULT, PLAN, StepResult, Trial
from planner.lab.verifying.run import adapter
from planner.lookup import load_model

FILE = "configuration.json"


def task(tmp_path: Path, *also: str, checkpoint: str = "") -> Any:
    """A task of a folder, or of a file."""
    return SimpleNamespace(
        spec=load_model("smollm2-135m"),
        also=also,
        folder=tmp_path / "out",
        files={FILE: "{}"},
        checkpoint=tmp_path / checkpoint,
    )


def test_the_plan_then_the_checkpoint_then_what_was_asked_for(tmp_path: Path) -> None:
    found = trials(task(tmp_path, "INT8-W8A8", "bf16", "int8-w8a8"), torchao.SCHEMES)
    assert found == (Trial("plan", PLAN), Trial("bf16", DEFAULT), Trial("int8-w8a8", ALSO))
    with pytest.raises(UnknownNameError):
        trials(task(tmp_path, "nvfp4"), ("int8-w8a8",))


def test_none_runs_the_plan_alone(tmp_path: Path) -> None:
    assert trials(task(tmp_path, "none"), ()) == (Trial("plan", PLAN),)
    assert adapter("pytorch").subjects(task(tmp_path, "none")) == (Trial("plan", PLAN),)


def test_what_quantises_nothing_is_the_checkpoint_itself(tmp_path: Path) -> None:
    asked = task(tmp_path)
    plan, released, other = Trial("plan", PLAN), Trial("bf16", DEFAULT), Trial("x", ALSO)
    assert folder_of(asked, plan, FILE) == tmp_path / "out" / "plan"
    assert folder_of(asked, plan, "other.json") == asked.checkpoint
    assert folder_of(asked, released, FILE) == asked.checkpoint
    assert folder_of(asked, other, "other.json") == tmp_path / "out" / "x"


@pytest.mark.parametrize(
    ("checkpoint", "names"),
    [("", ["token ids", "its answers"]), ("model.gguf", ["token ids", "folder", "its answers"])],
)
def test_a_file_becomes_a_folder_first(tmp_path: Path, checkpoint: str, names: list[str]) -> None:
    steps = steps_before(task(tmp_path, checkpoint=checkpoint), lambda _: StepResult({}, {}))
    assert [step.name for step in steps] == names
    assert steps[-1].run() == StepResult({}, {})
