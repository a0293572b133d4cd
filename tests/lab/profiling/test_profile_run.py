"""Whole runs: the same bytes again, on several workers, after a kill; bad checkpoints."""

import json
import os
import signal
import subprocess
import sys
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import as_bf16, llama_config, llama_tensors, write_llama, write_safetensors
from support.killed import killed_after

from planner.base.errors import (
    DataError,
    InputError,
    PlannerError,
    UnknownNameError,
    UnsupportedError,
)
from planner.lab.profiling import run as run_module
from planner.lab.profiling.profile import profile
from planner.models.headers import INDEX_NAME
from planner.quality.profile_file import read_profile

FEW = ["fp8-block", "int8-w8a8", "nvfp4"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "tiny")


def test_two_runs_and_two_workers_give_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 1), ("c", 2)):
        profile(checkpoint, output=tmp_path / name, schemes=FEW, workers=workers)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b == c
    assert not list(tmp_path.glob("*.journal"))


def test_a_run_goes_on_where_it_was(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = profile(checkpoint, output=tmp_path / "whole", schemes=FEW, workers=1)

    class KilledError(Exception):
        pass

    def stop(done: int, total: int, job: object) -> None:
        if done == 5:
            raise KilledError

    with pytest.raises(KilledError):
        profile(checkpoint, output=tmp_path / "p", schemes=FEW, workers=1, progress=stop)
    measured: list[str] = []
    original = run_module.scan.__globals__["measure"]

    def watched(job: object, *rest: object) -> object:
        measured.append(job.id)  # type: ignore[attr-defined]
        return original(job, *rest)

    monkeypatch.setitem(run_module.scan.__globals__, "measure", watched)
    lines: list[str] = []
    again = profile(checkpoint, output=tmp_path / "p", schemes=FEW, workers=1, notify=lines.append)
    assert len(measured) == 14 - 5
    assert "going on after 5 of 14" in lines[0]
    assert again == whole
    assert (tmp_path / "p").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.exhaustive
def test_a_killed_worker_is_an_error_and_the_next_run_goes_on(tmp_path: Path) -> None:
    big = write_llama(tmp_path / "big", hidden_size=512, head_dim=128, intermediate_size=1024)
    output = tmp_path / "p"

    def kill(done: int, total: int, job: object) -> None:
        if done == 1:
            child = active_children()[0]
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(DataError, match="a worker process was killed") as caught:
        profile(big, output=output, workers=2, progress=kill)
    assert "run the same command again" in caught.value.hint
    assert output.with_name("p.journal").exists()
    found = profile(big, output=output, workers=1, schemes=None)
    assert len(found.units) == 2 * 4 + 2 * 2


@pytest.mark.exhaustive
def test_the_command_killed_from_outside_goes_on(tmp_path: Path) -> None:
    big = write_llama(
        tmp_path / "big", hidden_size=256, head_dim=64, intermediate_size=768, num_hidden_layers=4
    )
    words = ("profile", str(big), "-o", "p", "--workers", "1")
    journal = tmp_path / "p.journal"
    assert killed_after(3, *words, "--quiet", folder=tmp_path) == -signal.SIGKILL
    assert journal.exists()
    done = subprocess.run(
        [sys.executable, "-m", "planner", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "going on after" in done.stderr
    assert not journal.exists()
    assert len(read_profile(tmp_path / "p").tensors) == 4 * 7


def test_nan_and_zero_tensors_are_skipped_and_named(tmp_path: Path) -> None:
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors["model.layers.1.mlp.down_proj.weight"][3, 3] = np.nan
        tensors["model.layers.0.self_attn.k_proj.weight"][:] = 0

    found = profile(write_llama(tmp_path / "odd", change), schemes=FEW, workers=1)
    assert {(s.tensor, s.reason) for s in found.skipped} == {
        ("model.layers.1.mlp.down_proj.weight", "holds NaN or infinities"),
        ("model.layers.0.self_attn.k_proj.weight", "all zero"),
    }
    assert ("mlp-down", 1) not in found.by_unit  # nothing is known of it
    assert ("attention-qkv", 0) in found.by_unit  # the others of the group count


@pytest.mark.parametrize("how", ["cut", "gone", "dtype", "config"])
def test_bad_checkpoints_are_clear_errors(checkpoint: Path, tmp_path: Path, how: str) -> None:
    file = checkpoint / "model.safetensors"
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-100])
        expected = "truncated"
    elif how == "gone":
        file.unlink()
        expected = "neither a directory|no safetensors"
    elif how == "dtype":
        file.write_bytes(file.read_bytes().replace(b'"BF16"', b'"BF17"', 1))
        expected = "unknown dtype"
    else:
        text = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        (checkpoint / "config.json").write_text(
            json.dumps({**text, "hidden_size": 128}), encoding="utf-8"
        )
        expected = "differs from its config.json"
    with pytest.raises(PlannerError, match=expected):
        profile(checkpoint, output=tmp_path / "p", workers=1)
    assert not (tmp_path / "p").exists()


def test_a_full_disk_at_the_end_keeps_the_journal(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    original = os.fsync
    calls = 0

    def counted(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 15:  # the header, then every tensor
            full(file)
        original(file)

    monkeypatch.setattr(os, "fsync", counted)
    with pytest.raises(DataError, match="No space left"):
        profile(checkpoint, output=tmp_path / "p", schemes=FEW, workers=1)
    assert not (tmp_path / "p").exists()
    assert (tmp_path / "p.journal").read_bytes().count(b"\n") == 15
    monkeypatch.setattr(os, "fsync", original)
    profile(checkpoint, output=tmp_path / "p", schemes=FEW, workers=1)
    assert (tmp_path / "p").exists()


def test_shards_with_an_index(tmp_path: Path) -> None:
    config = llama_config()
    whole = write_llama(tmp_path / "whole")
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "config.json").write_text(json.dumps(config), encoding="utf-8")
    names = sorted(llama_tensors(config))
    tensors = llama_tensors(config)
    index = {name: f"model-{n % 2 + 1}.safetensors" for n, name in enumerate(names)}
    for file in sorted(set(index.values())):
        write_safetensors(
            parts / file, {n: ("BF16", as_bf16(tensors[n])) for n in names if index[n] == file}
        )
    (parts / INDEX_NAME).write_text(json.dumps({"weight_map": index}), encoding="utf-8")
    a, b = (profile(f, schemes=FEW, workers=1) for f in (whole, parts))
    assert a.units == b.units
    assert a.checkpoint.sha256 != b.checkpoint.sha256


def test_wrong_requests(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tier"):
        profile(checkpoint, tier="T9")
    with pytest.raises(InputError, match="workers"):
        profile(checkpoint, workers=0)
    with pytest.raises(UnknownNameError, match="ggml-q7_k"):
        profile(checkpoint, schemes=["ggml-q7_k"])
    with pytest.raises(InputError, match="does not exist"):
        profile(checkpoint, output=tmp_path / "no" / "p")
    with pytest.raises(InputError, match="reads no text"):
        profile(checkpoint, text=tmp_path / "t.txt")
    with pytest.raises((UnsupportedError, DataError)):
        profile(checkpoint, tier="T2", workers=1)  # no tokeniser here
