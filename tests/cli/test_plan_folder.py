"""``plan MODEL DEVICE --out DIR``: everything of an answer in one folder, or nothing."""

import json
import os
from pathlib import Path

import pytest
from support.small_gguf import small_gguf

import planner
from planner.cli.main import run
from planner.planning.plan.file import read_plan

QUESTION = ("llama-3.2-1b", "l40s", "--devices", "1", "--isl", "512", "--osl", "64")
VLLM = (*QUESTION, "--engine", "vllm")


def test_the_folder_has_the_plan_its_engine_files_the_script_and_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run([*VLLM, "--out", str(out), "--json"]) == 0
    told = capsys.readouterr()
    names = {path.name for path in out.iterdir()}
    assert {"plan.json", "report.html", "serve-vllm.sh", "README.md", "deployment.json"} <= names
    assert json.loads(told.out) == json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert os.access(out / "serve-vllm.sh", os.X_OK)
    assert "start it with" in told.err
    plan = read_plan(out / "plan.json")
    assert planner.export_plan(plan).files["serve-vllm.sh"] == (out / "serve-vllm.sh").read_text()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "llama-3.2-1b" in page
    assert "--out" not in page


def test_a_folder_that_is_not_empty_is_refused_before_the_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    assert run([*QUESTION, "--out", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "is not empty" in told.err
    assert "--force" in told.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_forced_files_are_written_beside_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.json").write_text("old", encoding="utf-8")
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    assert run([*VLLM, "--quiet", "--out", str(tmp_path), "--force"]) == 0
    assert capsys.readouterr().err == ""
    assert read_plan(tmp_path / "plan.json").model.id == "llama-3.2-1b"
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"


def test_a_plan_for_no_engine_tells_what_is_absent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run([*QUESTION, "--engine", "any", "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"plan.json", "report.html"}
    assert "no engine's files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--force",), "--force belongs to --out"),
        (("--out", "missing/out"), "does not exist"),
        (("--out", "file"), "is no folder"),
    ],
)
def test_places_that_cannot_be_written_are_refused(
    more: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert run([*QUESTION, *more]) == 2
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_plan_leaves_no_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(["llama-3.1-405b", "rtx-4090", "--devices", "1", "--out", str(out)]) == 1
    assert not out.exists()


def test_the_line_that_starts_it_names_what_the_script_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "small.gguf"
    base.write_bytes(small_gguf())
    question = [str(base), "rtx-4090", "--engine", "llama.cpp", "--context", "512"]
    assert run([*question, "--out", str(tmp_path / "out")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    script = tmp_path / "out" / "serve-llama.cpp.sh"
    assert "${1:?checkpoint}" in script.read_text(encoding="utf-8")
    served = not (tmp_path / "out" / "quantise.sh").exists()
    given = str(base) if served else "CHECKPOINT"
    assert f"{script} {given}" in said
