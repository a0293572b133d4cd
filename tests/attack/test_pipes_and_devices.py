"""Inputs and outputs that are there and are no files: refused at once, where reading would wait for
ever and writing would put a file in the place of a device."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support.checkpoints import write_llama
from support.entrances import plan_sample
from support.laws import command
from support.tape import json_bytes

from planner.base.errors import DataError
from planner.jobs.journal import Journal

PRICED = ["--devices", "1", "--context", "512", "--batch", "2", "--quiet"]


@pytest.mark.parametrize("target", ["pipe", "/dev/zero"])
def test_an_importance_matrix_that_never_ends(target: str, tmp_path: Path) -> None:
    if target == "pipe":
        os.mkfifo(tmp_path / "i.gguf")
    else:
        (tmp_path / "i.gguf").symlink_to(target)
    ended = command(["estimate", "qwen2.5-0.5b", "l40s", *PRICED, "--imatrix", "i.gguf"], tmp_path)
    assert ended.code == 2
    assert "not a regular file" in ended.err


SWEEP = """[[grid]]
model = "qwen2.5-0.5b"
device = "l40s"
devices = 1
batch = [1]
"""
OUTPUTS = {
    "report": ["report", "p.json", "-o", "out.html"],
    "text": ["report", "p.json", "-o", "out.md"],
    "plan": ["estimate", "qwen2.5-0.5b", "l40s", *PRICED, "--report", "out.html"],
    "sweep": ["sweep", "q.toml", "-o", "out.csv"],
    "chart": ["sweep", "q.toml", "--report", "out.svg"],
    "import": ["import", "c.json", "qwen2.5-0.5b", "--device", "l40s", "-o", "out.json", "--force"],
    "rows": ["validate", "--only", "op_comm", "--rows", "out.csv"],
    "profile": ["profile", "./checkpoint", "-o", "out"],
}


@pytest.mark.parametrize("words", OUTPUTS.values(), ids=OUTPUTS)
def test_an_output_that_is_a_pipe_stays_one(words: list[str], tmp_path: Path) -> None:
    """As root, a report to a link on /dev/null left a file where the device was."""
    (tmp_path / "p.json").write_bytes(json_bytes(plan_sample()))
    (tmp_path / "c.json").write_bytes(json_bytes({"quant_method": "fp8"}))
    (tmp_path / "q.toml").write_text(SWEEP, encoding="utf-8")
    write_llama(tmp_path / "checkpoint")
    os.mkfifo(tmp_path / "pipe")
    name = next(word for word in words if word.startswith("out"))
    (tmp_path / name).symlink_to("pipe")
    ended = command(words, tmp_path)
    assert ended.code == 2
    assert "not a regular file" in ended.err
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert (tmp_path / name).is_symlink()


@pytest.mark.parametrize("name", ["t.journal", ".t.journal.lock"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_a_journal_or_its_lock_that_is_no_file(name: str, kind: str, tmp_path: Path) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    elif kind == "folder":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(DataError, match="is a link" if kind == "link" else "not a regular file"):
        Journal.open(tmp_path / "t.journal", {"id": "header"})
    assert os.listdir(tmp_path) == [name]


def test_the_index_of_a_checkpoint_is_looked_at_before_it_is_read(tmp_path: Path) -> None:
    write_llama(tmp_path / "checkpoint")
    os.mkfifo(tmp_path / "checkpoint" / "model.safetensors.index.json")
    for words in (["profile", "./checkpoint"], ["inventory", "./checkpoint"]):
        ended = command(words, tmp_path)
        assert ended.code == 2
        assert "not a regular file" in ended.err
