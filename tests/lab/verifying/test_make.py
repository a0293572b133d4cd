"""``plan make``: llama.cpp's command with its files in place, and a file only where it is right."""

import json
import stat
import sys
from pathlib import Path

import pytest
from support.checkpoints import write_llama
from support.small_gguf import small_gguf

import planner
from planner.base.errors import DataError, InputError
from planner.cli.main import run
from planner.lab.verifying import llama_checkpoint
from planner.lab.verifying.make import make, quantise_words


def q8(name: str) -> str:
    """The types of the plan: matrices in blocks of 32 in Q8_0, tables as they were."""
    return "Q8_0" if name.startswith("blk.") else "BF16"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    (place / "base.gguf").write_bytes(small_gguf())
    (place / "right").write_bytes(small_gguf(q8))
    (place / "wrong").write_bytes(small_gguf())
    plan = planner.estimate(
        str(place / "base.gguf"),
        "rtx-4090",
        scheme="ggml-q8_0",
        engine="llama.cpp",
        kv="fp16",
        context=1024,
    )
    (place / "plan.json").write_text(json.dumps(plan.to_dict()), encoding="utf-8")
    return place


def programs(place: Path, body: str) -> Path:
    """A folder whose llama-quantize runs ``body``; IN, OUT and the type are its last words."""
    place.mkdir(exist_ok=True)
    program = place / "llama-quantize"
    program.write_text(
        f"#!/bin/sh\nfor word; do before=$out; out=$last; last=$word; done\n{body}\n",
        encoding="utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return place


def hidden(folder: Path) -> list[Path]:
    return list(folder.glob(".*.gguf"))


def test_the_file_has_the_bytes_of_the_plan(folder: Path, tmp_path: Path) -> None:
    where = programs(tmp_path / "bin", f'cp "{folder}/right" "$out"')
    lines: list[str] = []
    made = make(
        folder / "plan.json",
        folder / "base.gguf",
        tmp_path / "mine.gguf",
        engine_dir=where,
        progress=lines.append,
    )
    assert made.file_bytes == (folder / "right").stat().st_size
    assert made.weight_bytes == made.planned_bytes
    assert made.types == {"BF16": 2, "Q8_0": 14}
    assert lines == list(made.commands)
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "said"), [('cp "{0}/wrong" "$out"', "the plan says Q8_0"), ("exit 3", "making")]
)
def test_nothing_is_left_of_another_file(
    folder: Path, tmp_path: Path, body: str, said: str
) -> None:
    where = programs(tmp_path / "bin", body.format(folder))
    with pytest.raises(DataError, match=said):
        make(
            folder / "plan.json",
            folder / "base.gguf",
            tmp_path / "mine.gguf",
            engine_dir=where,
        )
    assert list(tmp_path.glob("*.gguf")) == hidden(tmp_path) == []


def test_a_dry_run_runs_nothing(folder: Path, tmp_path: Path) -> None:
    where = programs(tmp_path / "bin", "exit 3")
    made = make(
        folder / "plan.json",
        folder / "base.gguf",
        tmp_path / "mine.gguf",
        engine_dir=where,
        dry_run=True,
    )
    assert made.file_bytes is None
    assert len(made.commands) == 1


def test_no_file_is_overwritten_unasked(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.gguf"
    target.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists"):
        make(folder / "plan.json", folder / "base.gguf", target)
    with pytest.raises(InputError, match="exists"):
        make(folder / "plan.json", folder / "base.gguf", folder / "base.gguf", force=True)
    assert target.read_bytes() == b"mine"


def test_an_importance_matrix_is_passed_on() -> None:
    script = 'set -eu\nexec llama-quantize --a b "${1:?IN.gguf}" "${2:?OUT.gguf}" Q4_0\n'
    with_own = script.replace("quantize", 'quantize --imatrix "${3:-old one}"')
    program, start, target = Path("/q"), Path("in it"), Path("out")
    words = ["/q", "--imatrix", "mine", "--a", "b", "in it", "out", "Q4_0"]
    assert quantise_words(script, program, start, target, "mine") == words
    assert quantise_words(with_own, program, start, target, "mine") == words
    assert quantise_words(with_own, program, start, target, None)[2] == "old one"
    assert "--imatrix" not in quantise_words(script, program, start, target, None)


def test_a_folder_is_converted_by_a_python_that_has_what_it_needs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_llama(tmp_path / "model")
    plan = planner.estimate(
        str(tmp_path / "model"), "rtx-4090", scheme="ggml-q8_0", engine="llama.cpp", context=1024
    )
    where = programs(tmp_path / "bin", "exit 3")
    (where / "convert_hf_to_gguf.py").write_text("", encoding="utf-8")

    def made(**more: str) -> tuple[str, ...]:
        return planner.make(
            plan,
            tmp_path / "model",
            tmp_path / "mine.gguf",
            engine_dir=where,
            dry_run=True,
            **more,
        ).commands

    monkeypatch.setattr(llama_checkpoint, "versions_in", lambda python, names: {"torch": "2.11"})
    monkeypatch.setenv("PLAN_PYTORCH_PYTHON", sys.executable)
    with pytest.raises(InputError, match="needs transformers") as caught:
        made()
    assert "--python" in caught.value.hint
    monkeypatch.setattr(
        llama_checkpoint, "versions_in", lambda python, names: dict.fromkeys(names, "2.11")
    )
    monkeypatch.setenv("PLAN_PYTORCH_PYTHON", "/none")
    convert, quantise = made(python=sys.executable)
    assert convert.startswith(f"{sys.executable} {where}/convert_hf_to_gguf.py {tmp_path}/model")
    assert convert.endswith(f"--outtype bf16 --outfile {tmp_path}/.mine.bf16.gguf")
    assert f"{tmp_path}/.mine.bf16.gguf {tmp_path}/.mine.gguf" in quantise


def test_a_checkpoint_and_a_device_are_planned_first(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = programs(tmp_path / "bin", "exit 3")
    words = ["-o", str(tmp_path / "mine.gguf"), "--engine-dir", str(where), "--dry-run"]
    base = str(folder / "base.gguf")
    limits = ["--max-loss", "none", "--file-bytes", "120k"]
    assert run(["make", base, "rtx-4090", *words, *limits, "--quiet"]) == 0
    assert "llama-quantize --output-tensor-type" in capsys.readouterr().out
    assert run(["make", str(folder / "plan.json"), base, *words, "--file-bytes", "1M"]) == 2
    assert "--file-bytes: the plan's file is made already" in capsys.readouterr().err
