"""``--interactive`` and ``--grid``: one page from a question or a plan file, and refusals."""

import json
from pathlib import Path

import pytest
from support import what_if as small

import planner
from planner.cli.main import run

GRID = [
    part
    for g in (
        "context=4096",
        "batch=8",
        "devices=1",
        "max-loss=int8-w8a8",
        "schemes=auto",
        "kv=bf16",
    )
    for part in ("--grid", g)
]
ASKED = [small.MODEL, small.DEVICE, "--context", str(small.CONTEXT)]


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    plan = planner.plan(small.MODEL, small.DEVICE, context=small.CONTEXT, exact=True)
    path.write_text(json.dumps(plan.to_dict()), encoding="utf-8")
    return path


@pytest.mark.exhaustive
def test_a_question_and_its_plan_file_make_the_same_grid(
    plan_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked, read = tmp_path / "asked.html", tmp_path / "read.html"
    assert run([*ASKED, "--exact", "--report", str(asked), "--interactive", *GRID]) == 0
    told = capfd.readouterr().err
    assert "what-if page: 4 positions, " in told
    assert "\r" not in told
    assert run(["report", str(plan_file), "-o", str(read), "--interactive", *GRID, "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")
    marker = '<script type="application/json" id="what-if-data">'
    texts = [p.read_text(encoding="utf-8").partition(marker)[2] for p in (asked, read)]
    assert texts[0]
    assert texts[0] == texts[1]
    assert '"matches":true' in texts[0]


@pytest.mark.parametrize(
    "extra",
    [
        ["--interactive"],
        ["--interactive", "--report", "x.md"],
        ["--grid", "context=4096"],
        ["--interactive", "--report", "x.html", "--grid", "depth=2"],
        ["--interactive", "--report", "missing/x.html"],
        ["--interactive", "--report", "x.html", "--host", "epyc-9575f"],
        ["--interactive", "--report", "x.html", "--speculation", "mtp"],
    ],
)
def test_refusals_come_before_planning(
    extra: list[str],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("planner.api.plan.plan", None)
    assert run([*ASKED, *extra]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    error, hint = err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    assert list(tmp_path.iterdir()) == []


def test_a_grid_that_is_too_large_writes_nothing(
    plan_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.html"
    big = "batch=" + ",".join(map(str, range(1, 6000)))
    assert run(["report", str(plan_file), "-o", str(out), "--interactive", "--grid", big]) == 2
    error, hint = capfd.readouterr().err.splitlines()
    assert "at most 5,000 are embedded" in error
    assert hint.startswith("hint: ")
    assert not out.exists()
