"""Commands that end or wait at a point of their work, never of the clock: after so many records.

A test that looks for the moment from outside misses it on a busy machine.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_AT_RECORD = """
import os, signal, sys
from planner.jobs.journal import Journal

left, append = int(sys.argv[2]), Journal.append

def counted(journal, record):
    global left
    append(journal, record)
    left -= 1
    if not left and sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if not left:
        print("waiting", flush=True)
        while True:
            signal.pause()

Journal.append = counted
from planner.cli.main import run

sys.exit(run(sys.argv[3:]))
"""


def killed_after(records: int, *words: str, folder: Path) -> int:
    """The status of ``plan WORDS``, killed in ``folder`` after ``records`` of its journal."""
    return subprocess.run(
        [sys.executable, "-c", _AT_RECORD, "kill", str(records), *words],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        check=False,
    ).returncode


def waiting_after(records: int, *words: str, folder: Path) -> subprocess.Popen[bytes]:
    """``plan WORDS`` that runs in ``folder``, returned when it stands still after ``records``."""
    process = subprocess.Popen(
        [sys.executable, "-c", _AT_RECORD, "wait", str(records), *words],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as said:
        told = said.readline()
    assert told == b"waiting\n", f"it ended with status {process.wait()} before {records} records"
    return process


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
