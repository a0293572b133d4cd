"""What starting a command costs, counted by cause and never by time: a busy machine must not fail
a correct change."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ESTIMATE = ["estimate", "llama-3.1-8b", "h100-sxm", "--devices", "1", "--tp", "1", "--batch", "4",
            "--quiet"]
_THREADS = """
import json, os, sys
from planner.cli import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert not stop.code, stop.code
print()
print(json.dumps([len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS")]))
"""


def threads_after(folder: Path, **environment: str) -> tuple[int, str | None]:
    """Threads of the process after a command, and what numeric libraries were told."""
    inherited = {name: value for name, value in os.environ.items()
                 if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", _THREADS.format(arguments=ESTIMATE)], cwd=folder,
                          env={**inherited, **environment}, capture_output=True, text=True,
                          check=True)
    count, told = json.loads(done.stdout.splitlines()[-1])
    return count, told


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_no_thread_waits_for_products_that_do_not_come(tmp_path: Path) -> None:
    assert threads_after(tmp_path) == (1, "1")


def test_threads_that_the_user_asked_for_stay(tmp_path: Path) -> None:
    assert threads_after(tmp_path, OPENBLAS_NUM_THREADS="2")[1] == "2"
