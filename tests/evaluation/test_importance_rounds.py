"""Rounds of the closed loop whose files an importance matrix wrote: the matrix is made once, and
plans stand beside the engine's types that were written with it."""

import stat
from pathlib import Path
from typing import Any

import pytest

from evaluation.closed_loop.install import Weights, released
from evaluation.closed_loop.llama import MATRIX_TEXT, WEIGHED, Loop, importance
from evaluation.closed_loop.page import page
from evaluation.closed_loop.parts import Clock
from evaluation.closed_loop.tables import figures, names, rivals
from planner.base.errors import DataError

Row = dict[str, Any]


def loop(place: Path, body: str) -> Loop:
    """A loop whose llama-imatrix is a shell script."""
    programs = place / "bin"
    programs.mkdir()
    program = programs / "llama-imatrix"
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    base = place / "base.gguf"
    return Loop("m", base, programs, place, 1, 1, (WEIGHED,), place, Clock(1.0))


def test_a_matrix_is_made_once_of_a_text_that_no_loss_is_measured_on(tmp_path: Path) -> None:
    count = tmp_path / "runs"
    one = loop(tmp_path, f'echo run >> "{count}"; echo matrix > "$6"; echo "$@" > "{count}.words"')
    first, again = importance(one), importance(one)
    assert first == again == tmp_path / "imatrix.gguf"
    assert first.read_text(encoding="utf-8") == "matrix\n"
    assert count.read_text(encoding="utf-8") == "run\n"
    words = Path(f"{count}.words").read_text(encoding="utf-8").split()
    assert words[:2] == ["-m", str(tmp_path / "base.gguf")]
    text = Path(words[3]).read_text(encoding="utf-8")
    assert "class ArgumentParser" in text
    assert "topics" not in MATRIX_TEXT


@pytest.mark.parametrize("body", ["echo no such tensor >&2; exit 3", "exit 0"])
def test_nothing_is_kept_of_a_matrix_that_failed(tmp_path: Path, body: str) -> None:
    with pytest.raises(DataError, match="llama-imatrix"):
        importance(loop(tmp_path, body))
    assert not (tmp_path / "imatrix.gguf").exists()


def found(*rows: tuple[str, float, float, float]) -> Row:
    """A verification: subject, bytes, loss, seconds of a token."""
    of = ("file_bytes", "kl", "decode_seconds")
    return {
        "engine": {"name": "llama.cpp", "version": "1"},
        "rows": [
            {
                "subject": subject,
                "quantity": quantity,
                "predicted": value,
                "low": value,
                "high": value,
                "measured": value,
                "spread": 0.0,
            }
            for subject, *values in rows
            for quantity, value in zip(of, values, strict=True)
        ],
    }


def run(name: str, round_: str, limit: str, rows: Row) -> Row:
    return {"name": name, "round": round_, "limit": limit, "before": rows, "after": rows}


RAN = {
    "model": "m",
    "runs": [
        run("answer", "T0", "", found(("plan", 9e6, 0.1, 1.0), ("Q4_K_M", 5e6, 0.5, 0.5))),
        run("T0-Q4_K_M", "T0", "Q4_K_M", found(("plan", 5e6, 0.4, 0.5))),
        run(
            "answer, imatrix",
            WEIGHED,
            "",
            found(("plan", 9e6, 0.1, 1.0), ("Q4_K_M", 5e6, 0.2, 0.5)),
        ),
        run("T0, imatrix-Q4_K_M", WEIGHED, "Q4_K_M", found(("plan", 5e6, 0.3, 0.5))),
    ],
}


def test_plans_stand_beside_types_that_were_written_as_they_are() -> None:
    rows = list(figures(RAN, "before"))
    types = [row for row in rows if not row.name.startswith("plan")]
    assert set(names(rivals(types, "T0"))) == {"the answer", "Q4_K_M"}
    assert set(names(rivals(types, WEIGHED))) == {"the answer, imatrix", "Q4_K_M, imatrix"}


def test_a_plan_is_beaten_by_types_of_its_own_kind_alone() -> None:
    """With a matrix Q4_K_M loses less than both plans; without, more than the plan does."""
    text = page([RAN], (), {}, "a machine")
    assert "plan ≤ Q4_K_M, imatrix by Q4_K_M, imatrix" in text
    assert "plan ≤ Q4_K_M by" not in text


def test_a_release_in_parts_is_put_together_in_their_order(tmp_path: Path) -> None:
    for number in range(1, 12):
        folder = tmp_path / f"model_part{number}" / "data"
        folder.mkdir(parents=True)
        (folder / f"part{number:02d}.bin").write_bytes(bytes([number]))
    model = Weights("m", "model_part", "", "", parts=11)
    assert released(model, tmp_path, tmp_path).read_bytes() == bytes(range(1, 12))
