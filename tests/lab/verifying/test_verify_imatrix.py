"""``--imatrix``: files are quantised with the matrix, and their losses are predicted so."""

import struct
from pathlib import Path

import numpy as np
import pytest
from support.fake_llama import fake_llama
from support.small_gguf import small_gguf

import planner
from planner.base.errors import DataError, InputError, UnsupportedError
from planner.lab.verifying import llama_cpp
from planner.lab.verifying.finished_file import is_made_with_imatrix
from planner.models.gguf_header import read_gguf
from planner.planning.plan.record import Plan

DEVICE = "xeon-platinum-8480"
IN_LAYERS = "blk."


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other program takes the cores."""
    monkeypatch.setattr(llama_cpp, "core_share", lambda _: 1.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "small.gguf"
    path.write_bytes(small_gguf())
    return path


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "made.gguf"
    plain = ("token_embd.weight", "output.weight")
    path.write_bytes(small_gguf(lambda name: "BF16" if name in plain else "Q4_0"))
    return path


@pytest.fixture(scope="module")
def plan(base: Path) -> Plan:
    return planner.estimate(
        str(base), DEVICE, scheme="ggml-q4_0", engine="llama.cpp", batch=1, isl=128, osl=32
    )


def matrix_of(base: Path, folder: Path, *, width: int = 0) -> Path:
    """Importance of every input of the layers' matrices, in the form that llama-imatrix wrote
    first; ``width`` replaces the number of inputs."""
    tensors = [
        t for t in read_gguf(base).tensors if len(t.shape) > 1 and t.name.startswith(IN_LAYERS)
    ]
    out = struct.pack("<i", len(tensors))
    for tensor in tensors:
        data = np.ones(width or tensor.shape[-1], np.float32)
        name = tensor.name.encode()
        out += struct.pack("<i", len(name)) + name + struct.pack("<ii", 1, data.size)
        out += data.tobytes()
    path = folder / "imatrix.dat"
    path.write_bytes(out + struct.pack("<i", 1))
    return path


def verified(plan: Plan, base: Path, folder: Path, engine: Path, **more: object) -> object:
    given = {"device": DEVICE, "threads": 1, "prompt_tokens": 192, "output_tokens": 64, **more}
    return planner.verify(plan, base, output=folder, engine_dir=engine, **given)  # type: ignore[arg-type]


def test_every_file_is_made_with_it_and_predicted_so(
    plan: Plan, base: Path, quantised: Path, tmp_path: Path
) -> None:
    engine, matrix = fake_llama(tmp_path / "bin", quantised), matrix_of(base, tmp_path)
    plain = verified(plan, base, tmp_path / "plain", engine)
    weighed = verified(plan, base, tmp_path / "weighed", engine, imatrix=matrix)
    made = [
        line
        for line in (engine / "calls").read_text(encoding="utf-8").splitlines()
        if line.startswith("llama-quantize") and str(tmp_path / "weighed") in line
    ]
    assert len(made) == 2  # the plan's and llama.cpp's own
    assert all(f"--imatrix {matrix}" in line for line in made)
    for subject in ("plan", "Q4_K_M"):
        less, more = weighed.row(subject, "kl"), plain.row(subject, "kl")  # type: ignore[attr-defined]
        assert less.predicted < more.predicted
        assert less.measured == more.measured
    with pytest.raises(DataError):
        verified(plan, base, tmp_path / "plain", engine, imatrix=matrix)  # another run's folder


def test_a_matrix_of_another_model_or_engine_is_refused(
    plan: Plan, base: Path, quantised: Path, tmp_path: Path
) -> None:
    engine, wrong = fake_llama(tmp_path / "bin", quantised), matrix_of(base, tmp_path, width=96)
    with pytest.raises(DataError):
        verified(plan, base, tmp_path / "out", engine, imatrix=wrong)
    with pytest.raises((UnsupportedError, InputError)) as found:
        planner.verify(plan, base, engine="vllm", imatrix=wrong, python="/none")
    assert found.value.hint


def test_types_that_need_a_matrix_are_made_with_one(
    plan: Plan, base: Path, quantised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, matrix = fake_llama(tmp_path / "bin", quantised), matrix_of(base, tmp_path)
    monkeypatch.setattr(llama_cpp, "importance_type", lambda spec, name: "iq2_xxs")
    with pytest.raises(UnsupportedError) as found:
        verified(plan, base, tmp_path / "out", engine, also=["Q8_0"])
    assert "--imatrix FILE" in found.value.hint
    run = verified(plan, base, tmp_path / "made", engine, also=["Q8_0"], imatrix=matrix)
    assert "Q8_0" in run.subjects  # type: ignore[attr-defined]


def test_a_finished_file_says_it_of_itself(quantised: Path) -> None:
    assert not is_made_with_imatrix(quantised)
