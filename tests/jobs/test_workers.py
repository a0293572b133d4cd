"""Worker processes: a line's items are one process's, and no process runs the user's script."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from planner.jobs.workers import LostWorkerError, in_processes, lines_in_processes

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
from planner.jobs.workers import in_processes
print("begins", __name__)
print(sorted(in_processes(eval, ["1 + 1", "__import__('__main__').__dict__.get('own')", "3"],
                          workers=1), key=str))
own = 5
"""


def test_a_line_is_of_one_process_in_its_order() -> None:
    lines = [[f"({line}, {at}, __import__('os').getpid())" for at in range(3)] for line in range(5)]
    found = list(lines_in_processes(eval, lines, workers=2))
    assert len(found) == 15
    pids = {pid for *_, pid in found}
    assert len(pids) == 2
    assert os.getpid() not in pids
    for line in range(5):
        own = [(at, pid) for number, at, pid in found if number == line]
        assert [at for at, _ in own] == [0, 1, 2]
        assert len({pid for _, pid in own}) == 1


def test_a_line_whose_process_is_killed_is_told() -> None:
    kill = "__import__('os').kill(__import__('os').getpid(), 9)"
    with pytest.raises(LostWorkerError, match="a worker process was killed"):
        list(lines_in_processes(eval, [["1", kill, "2"]], workers=1))


def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    """Processes that are spawned run the main script again, unless they are kept from it."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stdout.splitlines() == ["begins __main__", "[2, 3, None]"]


def test_this_process_keeps_its_script() -> None:
    main = sys.modules["__main__"]
    assert list(in_processes(eval, ["1"], workers=1)) == [1]
    assert sys.modules["__main__"] is main
