"""What starting a command costs, counted by cause and never by time: a busy machine must not fail
a correct change."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ESTIMATE = [
    "estimate",
    "llama-3.1-8b",
    "h100-sxm",
    "--devices",
    "1",
    "--tp",
    "1",
    "--batch",
    "4",
    "--quiet",
]
PLAN = ["deepseek-v3", "h100-sxm", "--context", "131072", "--quiet"]
BY_IDENTITY = {"planner.planning.search.uniform.Uniform", "planner.planning.search.uniform._Draft"}
"""Compared as objects, which no record is."""

_RUN = """
import json
from planner.cli import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert not stop.code, stop.code
print()
{after}
"""
_THREADS = """
import os, time
for _ in range(500):  # a thread that was waited for is listed a moment longer; BLAS's never end
    if len(os.listdir("/proc/self/task")) == 1:
        break
    time.sleep(0.01)
print(json.dumps([len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS")]))
"""
_ASKED = """
import os
print(json.dumps(os.environ.get("OPENBLAS_NUM_THREADS")))
"""
_COMPILED = """
import dataclasses, sys
from planner import records
found = [item for name, module in list(sys.modules.items()) if name.startswith("planner.")
         for item in vars(module).values()
         if isinstance(item, type) and dataclasses.is_dataclass(item)]
print(json.dumps(sorted({f"{item.__module__}.{item.__qualname__}":
                         item.__setattr__ is records._refuse_assignment
                         for item in found}.items())))
"""


def told(arguments: list[str], after: str, folder: Path, **environment: str) -> Any:
    """What ``after`` prints as JSON in the process of a command that has ended."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")
    }
    done = subprocess.run(
        [sys.executable, "-c", _RUN.format(arguments=arguments, after=after)],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_no_thread_waits_for_products_that_do_not_come(tmp_path: Path) -> None:
    assert told(ESTIMATE, _THREADS, tmp_path) == [1, "1"]


def test_threads_that_the_user_asked_for_stay(tmp_path: Path) -> None:
    assert told(ESTIMATE, _ASKED, tmp_path, OPENBLAS_NUM_THREADS="2") == "2"


@pytest.mark.exhaustive
def test_records_of_a_plan_are_not_compiled_method_by_method(tmp_path: Path) -> None:
    records = dict(told(PLAN, _COMPILED, tmp_path))
    assert {name for name, cheap in records.items() if not cheap} == BY_IDENTITY
    assert 100 < len(records) <= 281
