"""``plan profile`` on the command line."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.checkpoints import write_llama

from planner.cli.main import run
from planner.quality.profile_file import read_profile


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_llama(tmp_path / "tiny")


def test_a_table_of_80_columns_and_a_file(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["profile", "tiny", "--workers", "1"]) == 0
    said = capsys.readouterr()
    assert max(map(len, said.out.splitlines())) <= 80
    assert "Tier        T0 learned" in said.out
    assert "Written to  tiny.profile.json" in said.out
    assert "policy" in said.err
    assert "not modelled" in " ".join(said.err.split())
    assert "\r" not in said.err  # a bar is for terminals
    assert read_profile(Path("tiny.profile.json")).model.id == "tiny"
    assert (
        run(
            [
                "tiny/config.json".replace("/config.json", "/"),
                "h100-sxm",
                "--profile",
                "tiny.profile.json",
                "--context",
                "512",
                "--devices",
                "1",
                "--batch",
                "64",
                "--quiet",
                "--exact",
                "--engine",
                "any",
            ]
        )
        == 0
    )
    assert re.search(r"KL \S+ nats \([^)]*from other", capsys.readouterr().out)


def test_json_is_the_file(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            [
                "profile",
                "./tiny",
                "-o",
                "p.json",
                "--json",
                "--quiet",
                "--workers",
                "1",
                "--schemes",
                "nvfp4",
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out) == json.loads(
        Path("p.json").read_text(encoding="utf-8")
    )


def test_a_bar_on_a_terminal(checkpoint: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "planner", "profile", str(checkpoint), "--workers", "1"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(ours)
    assert process.wait() == 0
    assert b"/14" in seen


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "unknown model"),
        (["./nowhere"], "no such file"),
        (["tiny", "--tier", "T5"], "unknown tier"),
        (["tiny", "--schemes", "fp9"], "unknown scheme"),
        (["tiny", "--workers", "0"], "--workers"),
        (["tiny", "-o", "a/b"], "does not exist"),
        (["tiny", "--inputs", "none"], "not a folder"),
        (["llama-3.1-8b"], "neither a directory"),
        (["tiny", "--scores", "x.txt"], "csv"),
    ],
)
def test_wrong_input_is_two_lines_and_exit_code_2(
    checkpoint: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["profile", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2].startswith("error: ")
    assert lines[-1].startswith("hint: ")
    assert words in lines[-2]
