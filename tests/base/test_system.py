"""What differs between operating systems, as it is on those that these tests do not run on."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from planner.base import system
from planner.base.errors import DataError
from planner.cli.main import run
from planner.jobs import workers
from planner.lab.verifying.runners import run_torch
from planner.lookup import load_device, load_model, load_workload
from planner.planning.question.scenarios import load_scenario
from planner.planning.solver import highs

ON_WINDOWS = ("C:\\models\\llama", "..\\llama", "folder\\x.gguf", "C:llama", "C:/models/llama")


@pytest.mark.parametrize("text", ON_WINDOWS)
def test_a_path_of_windows_is_one_there_only(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert system.is_path(text) == ("/" in text)
    assert not system.is_windows_path(text)
    monkeypatch.setattr(system, "WINDOWS", True)
    assert system.is_path(text)
    assert system.is_windows_path(text)


@pytest.mark.parametrize("text", ["deepseek-v3", "deepseek-ai/DeepSeek-V3", "h100-sxm", "", "c"])
def test_a_name_is_no_path_of_windows(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "WINDOWS", True)
    assert not system.is_windows_path(text)


def test_a_path_that_is_not_there_is_told_as_a_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not as an unknown name, with names that are near it."""
    monkeypatch.setattr(system, "WINDOWS", True)
    for load, missing in (
        (load_model, "no such file"),
        (load_device, "no such file"),
        (load_workload, "does not exist"),
    ):
        with pytest.raises(DataError, match=missing):
            load("C:\\none")
    with pytest.raises(DataError):
        load_scenario("C:\\none")
    assert run(["D:\\memory", "h100-sxm"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_file_at_such_a_path_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "WINDOWS", True)
    monkeypatch.chdir(tmp_path)
    shipped = load_model("smollm2-135m")
    text = (
        Path(shipped.source)
        if Path(shipped.source).is_file()
        else Path(system.__file__).parents[1] / "models" / "configs" / "smollm2-135m.json"
    )
    (tmp_path / "models\\x.json").write_bytes(text.read_bytes())
    assert load_model("models\\x.json").rows == shipped.rows


def test_a_pool_is_as_large_as_windows_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert system.pool_size(96) == 96
    monkeypatch.setattr(system, "WINDOWS", True)
    assert system.pool_size(96) == 61
    assert system.pool_size(8) == 8


def test_workers_start_where_no_process_watches_semaphores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows has no such process, and none of the module that starts it."""

    def absent() -> None:
        raise ModuleNotFoundError("No module named '_posixsubprocess'")

    asked = SimpleNamespace(ensure_running=absent)
    monkeypatch.setattr(workers, "resource_tracker", asked)
    with pytest.raises(ModuleNotFoundError), workers.interrupt_held():
        pass
    monkeypatch.setattr(workers, "POSIX_SIGNALS", False)
    monkeypatch.setattr(system, "POSIX_SIGNALS", False)
    assert sorted(workers.in_processes(abs, [-1, -2, -3], workers=2)) == [1, 2, 3]
    assert sorted(workers.lines_in_processes(abs, [[-1], [-2]], workers=2)) == [1, 2]


def test_children_are_killed_by_windows_own_program(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.delattr("os.killpg", raising=False)
    monkeypatch.setattr(subprocess, "run", lambda words, **_: asked.append(words))
    killed: list[int] = []
    system.end_group(SimpleNamespace(pid=4711, kill=lambda: killed.append(1)))  # type: ignore[arg-type]
    assert asked == [["taskkill", "/F", "/T", "/PID", "4711"]]
    assert killed == [1]


def test_a_program_without_a_console_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """``pythonw`` has no standard output at all."""
    monkeypatch.setattr(sys, "stdout", None)
    with highs.stdout_silenced():
        pass
    assert sys.stdout is None


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_most_memory_is_told_in_bytes(
    platform: str, unit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        run_torch,
        "resource",
        SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _who: SimpleNamespace(ru_maxrss=7)),
    )
    monkeypatch.setattr(sys, "platform", platform)
    assert run_torch.peak_bytes() == 7 * unit
