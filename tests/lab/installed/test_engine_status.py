"""``planner.engine``: what is here of an engine, and the commands for a machine, in order."""

import os
import re
import sys
from pathlib import Path

import pytest
from support.fake_llama import fake_llama

import planner
from planner.base.errors import InputError, UnknownNameError
from planner.lab.installed import look
from planner.lab.installed.known_engines import (
    DEVICES,
    SYSTEMS,
    engine_named,
    install_commands,
    known_engines,
)
from planner.lab.verifying.llama_programs import devices_listed

LISTED = """Available devices:
  CUDA0: NVIDIA GeForce RTX 4090 (24080 MiB, 23650 MiB free)
  Vulkan0: AMD Radeon (RADV NAVI31) (24560 MiB, 24500 MiB free)
"""


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without engines: an empty PATH and no variables."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    for name in ("PLAN_LLAMA_CPP", "PLAN_VLLM_PYTHON", "PLAN_PYTORCH_PYTHON"):
        monkeypatch.delenv(name, raising=False)


def program(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    (folder / name).chmod(0o755)
    return folder


def test_programs_of_a_folder_with_version_and_devices(tmp_path: Path) -> None:
    bench = (
        'case "$1" in --version) echo "version: 7 (abc)" >&2;; '
        f"--list-devices) printf '%s' '{LISTED}';; esac"
    )
    folder = fake_llama(tmp_path / "bin", tmp_path / "none", bench=bench)
    status = planner.engine("llama.cpp", engine_dir=tmp_path)
    assert status.installed
    assert {p.name for p in status.programs} == {
        "llama-bench",
        "llama-quantize",
        "llama-perplexity",
    }
    assert {p.version for p in status.programs} == {"7 (abc)"}
    assert {Path(p.path).parent for p in status.programs} == {folder}
    assert status.devices == devices_listed(LISTED)
    assert status.devices[0].startswith("CUDA0: NVIDIA GeForce RTX 4090 (24080 MiB")
    assert status.problems == ()


def test_the_variable_counts_where_no_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", "llama-server", "echo 'version: 9 (def)' >&2")
    monkeypatch.setenv("PLAN_LLAMA_CPP", str(tmp_path))
    assert planner.engine("llama-cpp").programs[0].version == "9 (def)"
    assert planner.engine("llama-cpp", engine_dir=tmp_path / "bin" / "..").installed


def test_a_program_that_does_not_run_is_a_problem_and_no_error(tmp_path: Path) -> None:
    program(tmp_path, "llama-bench", "exit 7")
    status = planner.engine("llama.cpp", engine_dir=tmp_path)
    assert status.installed
    assert status.programs[0].version == ""
    assert "ended with 7" in status.problems[0]


def test_nothing_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "find_ggml", lambda named: None)
    monkeypatch.setattr(look, "versions_in", lambda python, packages: {})
    for status in planner.engines():
        assert not status.installed, status.id
        assert status.commands, status.id


def test_torch_alone_is_no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "versions_in", lambda python, packages: {"torch": "2.13.0"})
    assert not planner.engine("vllm").installed
    assert planner.engine("pytorch").installed
    assert planner.engine("vllm").packages[0].python == sys.executable


@pytest.mark.parametrize(
    ("name", "body", "version"),
    [
        ("ollama", "echo 'Warning: client version is 0.33.0'", "0.33.0"),
        ("ollama", "echo 'ollama version is 0.33.1'", "0.33.1"),
        ("lms", 'echo \'{"version":"07b7252"}\'', "07b7252"),
    ],
)
def test_what_programs_say_of_their_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str, version: str
) -> None:
    folder = program(tmp_path / "programs", name, body)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin:/bin")
    assert planner.engine(name).programs[0].version == version


def test_names() -> None:
    for name in ("llama.cpp", "LLAMA CPP", "llama-cpp", "llamacpp", "ggml"):
        assert engine_named(name).id == "llama.cpp"
    assert engine_named("LM Studio").id == engine_named("lms").id == "lm-studio"
    with pytest.raises(UnknownNameError) as caught:
        planner.engine("vlm")
    assert "vllm" in caught.value.hint


def test_a_folder_is_llama_cpps(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="vLLM has no folder"):
        planner.engine("vllm", engine_dir=tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        planner.engines(engine_dir=tmp_path / "none")


def test_commands_of_this_machine_come_first() -> None:
    on_cuda = install_commands("llama.cpp", "linux", ("cuda",))
    first = on_cuda[0]
    assert (first.system, first.device, first.fits_here) == ("linux", "cuda", True)
    assert "-DGGML_CUDA=ON" in " ".join(first.run)
    fits = [row.fits_here for row in on_cuda]
    assert fits == sorted(fits, reverse=True)
    here = {(row.system, row.device) for row in on_cuda if row.fits_here}
    assert ("docker", "cuda") in here
    assert ("linux", "cpu") not in here
    assert ("linux", "rocm") not in here
    assert ("linux", "vulkan") in here
    on_mac = install_commands("llama.cpp", "macos", ("metal",))
    assert on_mac[0].run == ("brew install llama.cpp",)
    assert ("docker", "cuda") not in {(r.system, r.device) for r in on_mac if r.fits_here}
    on_cpu = {(r.system, r.device) for r in install_commands("vllm", "linux", ()) if r.fits_here}
    assert on_cpu == {("linux", "cpu")}


@pytest.mark.parametrize("id", known_engines())
def test_rows_are_of_known_words_and_fit_a_terminal(id: str) -> None:
    rows = install_commands(id, "linux", ())
    assert rows
    for row in rows:
        assert row.system in SYSTEMS
        assert row.device in DEVICES
        assert max((len(line) for line in row.run), default=0) <= 78
        assert row.run or row.needs
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row.source.read)
        assert row.source.version
