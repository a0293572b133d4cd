"""``plan report`` and ``--report``: files written whole, formats by ending, refusals."""

import json
from functools import cache
from pathlib import Path

import pytest

import planner
from planner import __version__
from planner.api.report import report_extras
from planner.cli.main import run
from planner.planning.plan.record import Plan
from planner.report.render.html import page
from planner.report.render.markdown import escape, markdown

OK = ["llama-3.1-8b", "h100-sxm", "--devices", "1", "--context", "4096"]


@cache
def plan() -> Plan:
    return planner.plan("llama-3.1-8b", "h100-sxm", devices=1, context=4096)


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan().to_dict()), encoding="utf-8")
    return path


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[str, str]:
    assert run(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    error, hint = err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    return error, hint


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["out.html", "out.htm", "out.md"])
def test_a_plan_file_becomes_a_report(
    name: str, plan_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    assert run(["report", str(plan_file), "-o", str(out)]) == 0
    assert capfd.readouterr().out == f"{out}\n"
    first = out.read_bytes()
    assert run(["report", str(plan_file), "-o", str(out), "--quiet"]) == 0
    assert capfd.readouterr().out == ""
    assert out.read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "plan.json"])
    assert first.startswith(b"# llama" if name.endswith(".md") else b"<!DOCTYPE html>")


@pytest.mark.exhaustive
def test_without_a_file_markdown_goes_to_stdout(
    plan_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(plan_file), "--lang", "zh"]) == 0
    assert capfd.readouterr().out == markdown(
        plan(), "zh", report_extras(plan(), version=__version__)
    )


@pytest.mark.exhaustive
def test_the_flag_writes_markdown_too_and_keeps_the_question(tmp_path: Path) -> None:
    out = tmp_path / "out.md"
    assert run([*OK, "--tpot-ms", "20.5", "--untie", "--report", str(out), "--quiet"]) == 0
    assert (
        "    plan llama-3.1-8b h100-sxm --devices 1 --context 4096 --tpot-ms 20.5 --untie\n"
        in out.read_text(encoding="utf-8")
    )


def test_the_printed_command_prices_the_plan_again(
    plan_file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import shlex

    text = markdown(plan())
    command = next(line for line in text.splitlines() if line.startswith("    plan estimate"))
    monkeypatch.chdir(plan_file.parent)
    assert run([*shlex.split(command)[1:], "--json", "--quiet"]) == 0
    again = json.loads(capfd.readouterr().out)
    assert again["performance"] == plan().to_dict()["performance"]
    assert again["memory_per_device"] == plan().to_dict()["memory_per_device"]


@pytest.mark.parametrize(
    "extra",
    [
        ["-o", "x.pdf"],
        ["-o", "noending"],
        ["-o", "/no/such/folder/x.html"],
        ["--lang", "fr"],
        ["--lang", ""],
    ],
)
def test_a_report_that_cannot_be_made(
    extra: list[str], plan_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(["report", str(plan_file), *extra], capfd)


def test_a_folder_in_the_way_is_refused(
    plan_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.html").mkdir()
    refused(["report", str(plan_file), "-o", str(tmp_path / "x.html")], capfd)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan.json", "x.html"]


def test_a_failed_write_leaves_the_old_file(
    plan_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "x.html"
    out.write_text("old", encoding="utf-8")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", full)
    error, hint = refused(["report", str(plan_file), "-o", str(out)], capfd)
    assert "No space left" in error
    assert hint == "hint: make room there, or name another place"
    assert out.read_text(encoding="utf-8") == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan.json", "x.html"]


@pytest.mark.parametrize("content", ["", "[]", "{}", "nul", '{"schema_version": "9"}'])
def test_a_file_that_is_no_plan(
    content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content, encoding="utf-8")
    refused(["report", str(path), "-o", str(tmp_path / "x.html")], capfd)
    assert not (tmp_path / "x.html").exists()


def test_a_missing_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused(["report", str(tmp_path / "none.json")], capfd)


def test_markdown_escapes_every_mark() -> None:
    assert escape("a|b<script>`*_[x](y)\n# z") == r"a\|b\<script\>\`\*\_\[x\](y) \# z"
    assert escape("see https://x.test/a_b*c now_") == r"see https://x.test/a_b*c now\_"


def test_the_page_is_small_enough() -> None:
    assert len(page(plan()).encode()) < 400_000
