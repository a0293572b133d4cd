"""``plan engine`` on the command line: 80 columns, both languages, JSON, unknown names."""

import json
from pathlib import Path

import pytest
from support.fake_llama import fake_llama

from planner.cli.main import run
from planner.lab.installed.known_engines import known_engines
from planner.report.phrases import phrases
from planner.report.view.verb_words import FOLDER


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", known_engines())
def test_a_page_fits_and_names_its_sources(
    capsys: pytest.CaptureFixture[str], name: str, lang: str
) -> None:
    assert run(["engine", name, "--lang", lang]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    said = " ".join(out.split())
    assert ("(read 2026-" in said) if lang == "en" else ("查阅" in said)
    assert err == ""


def test_all_engines_are_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fake_llama(tmp_path / "bin", tmp_path / "none", bench='echo "version: 7 (abc)" >&2')
    assert run(["engine", "--engine-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "llama.cpp    yes   7 (abc)" in out
    assert all(name in out for name in known_engines())


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engine", "ollama", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["id"] == "ollama"
    assert data["commands"][0]["source"]["title"].startswith("ollama/ollama")
    assert run(["engine", "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == list(known_engines())


def test_an_unknown_name_lists_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engine", "ollma"]) == 2
    err = capsys.readouterr().err
    assert "unknown engine 'ollma'" in err
    assert "ollama" in err.partition("hint:")[2]


def test_every_need_has_its_words() -> None:
    from planner.lab.installed.known_engines import install_commands

    for lang in ("en", "zh"):
        texts = phrases(lang, FOLDER / "engine").texts
        for name in known_engines():
            for row in install_commands(name, "linux", ()):
                assert not row.needs or f"needs.{row.needs}" in texts
                assert f"system.{row.system}" in texts
                assert f"device.{row.device}" in texts
