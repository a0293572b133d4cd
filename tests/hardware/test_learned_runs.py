"""Kept runs: written in one step, read strictly, forgotten by id; what is damaged is told."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.hardware.learned_runs import (
    LearnedRun,
    MeasuredFactor,
    forget,
    keep,
    kept_runs,
    learned_folder,
)

RUN = LearnedRun(
    device="h100-sxm",
    engine="vllm",
    version="0.11",
    model="llama-3.1-8b",
    structure="0123456789abcdef",
    model_class="dense",
    layout="tp",
    precision="bf16",
    cache="bf16",
    in_flight="9-32",
    load="1024 + 256 tokens, 32 in flight",
    isl=1024,
    osl=256,
    requests=320,
    source="vllm bench serve: result.json",
    date="2026-03-01",
    steps=MeasuredFactor(1.25, 0.01, 0.025, 0.02),
    prompts=MeasuredFactor(0.8, 0.02, 0.2, 0.25),
)


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert learned_folder() == tmp_path / "precision-planner" / "learned"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert learned_folder() == tmp_path / ".local" / "share" / "precision-planner" / "learned"


def test_what_is_kept_is_read(tmp_path: Path) -> None:
    other = replace(RUN, load="512 + 64 tokens, 1 in flight", prompts=None)
    for run in (RUN, other, RUN):
        keep(run, tmp_path)
    found = kept_runs(tmp_path)
    assert set(found.runs) == {RUN, other}
    assert found.damaged == ()
    assert kept_runs(tmp_path / "none").runs == ()


def test_a_run_has_one_id_whatever_was_predicted() -> None:
    assert RUN.steps is not None
    again = replace(RUN, steps=replace(RUN.steps, factor=1.3, predicted=0.0192))
    assert again.id == RUN.id
    assert replace(RUN, steps=replace(RUN.steps, measured=0.026)).id != RUN.id


def test_one_is_forgotten_by_the_start_of_its_id(tmp_path: Path) -> None:
    keep(RUN, tmp_path)
    keep(replace(RUN, prompts=None), tmp_path)
    assert [path.stem for path in forget(RUN.id[:6], tmp_path)] == [RUN.id]
    assert [run.prompts for run in kept_runs(tmp_path).runs] == [None]
    for name in ("", "zz", RUN.id):
        with pytest.raises(InputError, match="no kept run"):
            forget(name, tmp_path)
    assert len(forget("all", tmp_path)) == 1
    assert kept_runs(tmp_path).runs == ()


def test_two_writers_leave_whole_files(tmp_path: Path) -> None:
    runs = [replace(RUN, load=f"{i % 4} in flight") for i in range(32)]
    writers = [threading.Thread(target=keep, args=(run, tmp_path)) for run in runs]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = kept_runs(tmp_path)
    assert len(found.runs) == 4
    assert found.damaged == ()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file"):
        keep(RUN, tmp_path / "file")


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": "2"},
        {"steps": None, "prompts": None},
        {"steps": {"factor": 0.0, "error": 0.0, "measured": 1.0, "predicted": 1.0}},
        {"steps": {"factor": 1e9, "error": 0.0, "measured": 1.0, "predicted": 1.0}},
        {"steps": {"factor": 1.0}},
        {"steps": [1.0]},
        {"requests": True},
        {"requests": -1},
        {"device": 3},
        {"model": "a\x1b[31mb"},
        {"more": 1},
    ],
)
def test_a_damaged_file_counts_for_nothing_and_is_told(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = keep(RUN, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    found = kept_runs(tmp_path)
    assert found.runs == ()
    assert [path.name in text for text in found.damaged] == [True]


@given(st.binary(max_size=200))
def test_no_bytes_are_fatal(text: bytes) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        (Path(name) / "aaaaaaaaaa.json").write_bytes(text)
        found = kept_runs(Path(name))
    assert found.runs == ()
    assert len(found.damaged) == 1
