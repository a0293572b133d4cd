"""Threads of one process ask at once, and get the answers of one thread."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from support.wheels import ROOT, clean_environment

import planner

ASKED = {"devices": 1, "tp": 1, "batch": 4, "context": 1024, "engine": "vllm"}
SMALL = ("qwen2.5-0.5b", "l40s")
QUESTIONS = [
    ("plan", SMALL, ASKED),
    ("estimate", SMALL, ASKED | {"scheme": "fp8-tensor"}),
    ("memory_use", SMALL, {"batch": 4}),
    ("serve", SMALL, {"devices": 1, "tp": 1, "concurrency": 4, "context": 1024, "engine": "vllm"}),
    ("frontier", SMALL, ASKED | {"points": 5}),
    ("train", ("qwen2.5-0.5b", "h100-sxm"), {"devices": 1}),
    ("experts", ("olmoe-1b-7b",), {"batch": 8}),
]


def digests(order: Sequence[int]) -> dict[str, str]:
    """Every answer's, by verb, asked in ``order``."""
    found = {}
    for place in order:
        verb, names, given = QUESTIONS[place]
        text = json.dumps(getattr(planner, verb)(*names, **given).to_dict(), sort_keys=True)
        found[verb] = hashlib.sha256(text.encode()).hexdigest()
    return found


def together() -> list[dict[str, str]]:
    """Of three threads that begin with nothing computed, one of them in the opposite order."""
    sys.setswitchinterval(1e-4)
    order = range(len(QUESTIONS))
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(digests, (order, order, order[::-1])))


def test_threads_of_a_new_process_answer_as_one_does() -> None:
    folders = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "api")))
    ran = subprocess.run(
        [sys.executable, "-c", "import json, test_threads as t; print(json.dumps(t.together()))"],
        env=clean_environment() | {"PYTHONPATH": folders},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [digests(range(len(QUESTIONS)))] * 3
