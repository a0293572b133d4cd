"""Empty words, as an unset variable of a script leaves them: refused, where they meant the folder
that one is in, a file that is not written, or the default."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.entrances import plan_sample
from support.laws import command
from support.tape import json_bytes

PRICED = ["qwen2.5-0.5b", "l40s", "--devices", "1", "--context", "512", "--batch", "2"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export", "p.json", ""], "DIR"),
        (["export", "p.json", "out", "--to", ""], "--to"),
        (["export", "p.json", "out", "--deploy", ""], "--deploy"),
        (["estimate", *PRICED, "--report", ""], "--report"),
        (["estimate", "--plan", ""], "--plan"),
        (["estimate", *PRICED, "--scheme", ""], "--scheme"),
        (["plan", *PRICED, "--objective", ""], "--objective"),
        (["plan", *PRICED, "--kv", ""], "--kv"),
        (["plan", *PRICED, "--hardware-dir", ""], "--hardware-dir"),
        (["plan", "", "l40s"], "MODEL"),
        (["measure", "-o", ""], "--output"),
        (["validate", "--data", ""], "--data"),
        (["sweep", "q.toml", "-o", ""], "--output"),
        (["sweep", ""], "FILE.toml"),
    ],
)
def test_an_empty_word_is_refused_by_its_name(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(json_bytes(plan_sample()))
    ended = command(words, tmp_path)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {told} is empty\n")
