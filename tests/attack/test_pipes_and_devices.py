"""Inputs that are there and are no files: refused at once, where reading would wait for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.laws import command

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
