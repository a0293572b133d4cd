"""The batches that llama.cpp's server forms, read from its log while requests come at a rate.

The log at full verbosity names, between the lines of two passes, each slot that decodes, each that
reads a part of its prompt and how much of it was read before. Passes take what they take here, so
arrivals are given by the pass that they came in: replayed on a clock on which each takes a second.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.schedulers.golden import Recorded, batch_of
from evaluation.schedulers.traces import UNSHARED, Trace
from planner.scheduler.rules import LLAMA_CPP

SERVER = "llama-server"
RATES = {"slow": (0.8, 24, 1), "fast": (5.0, 32, 2), "at-once": (1000.0, 24, 3)}
"""Requests a second, how many, and the seed of their lengths."""
SLOTS, BATCH, MICRO_BATCH, CONTEXT = 8, 128, 64, 1024
PORT = 18086
WAIT_SECONDS, LIMIT_SECONDS = 60.0, 900.0
BESIDE = 0.5
"""Arrivals during a pass come at its middle."""
_PASS = re.compile(r"decode: n_batch \(effective\) = \d+, off = (\d+)")
_LAUNCHED = re.compile(r"id +(\d+) \| task (\d+) \| processing task, is_child = 0")
_DEFERRED = re.compile(r"no slot is available, defer task, id_task = (\d+)")
_PROMPT = re.compile(r"id +(\d+) \| task (\d+) \| new prompt, .*task\.n_tokens = (\d+)")
_READS = re.compile(r"id +(\d+) \| task (\d+) \| main/do_checkpoint = \w+, .*pos_max = (-?\d+)")
_DECODES = re.compile(r"id +(\d+) \| task (\d+) \| slot decode token")
_ENDED = re.compile(r"id +(\d+) \| task (\d+) \| stopped by limit, n_gen = (\d+)")
_IDLE = re.compile(r"update_slots: all slots are idle")
_VERSION = re.compile(r"common_params_print_info: build (\S+ \S+)")


def read(name: str, log: str) -> Recorded:
    """What a log says; each pass lasts a second on its clock."""
    number: dict[str, int] = {}
    arrivals: list[float] = []
    lengths: dict[int, int] = {}
    answers: dict[int, int] = {}
    passes: list[list[tuple[int, int]]] = []
    reading: dict[int, tuple[int, int]] = {}  # request: (pass whose part is open, read before it)
    members: list[tuple[int, int]] = []
    begun, idle = -1.0, True  # when the last pass began

    def seen(task: str) -> None:
        if task not in number:
            number[task] = len(number)
            # While nothing runs the first to come starts a pass: a quarter later, so that no other
            # arrival falls on the end of one.
            arrivals.append(begun + 1.25 if idle else begun + BESIDE)

    def close(request: int, before: int) -> None:
        """Say how many tokens the part that was open had."""
        at, earlier = reading.pop(request)
        passes[at] = [(r, before - earlier if r == request else n) for r, n in passes[at]]

    for line in log.splitlines():
        if found := _DEFERRED.search(line):
            seen(found[1])
        elif found := _LAUNCHED.search(line):
            seen(found[2])
        elif found := _PROMPT.search(line):
            lengths[number[found[2]]] = int(found[3])
        elif found := _DECODES.search(line):
            members.append((number[found[2]], 1))
        elif found := _READS.search(line):
            request, before = number[found[2]], int(found[3]) + 1
            if request in reading:
                close(request, before)
            reading[request] = (len(passes), before)
            members.append((request, 0))
        elif found := _ENDED.search(line):
            answers[number[found[2]]] = int(found[3])
        elif _IDLE.search(line):
            idle = True
        elif (found := _PASS.search(line)) and found[1] == "0":
            begun += 1.25 if idle else 1.0
            idle = False
            passes.append(members)
            for request, tokens in members:
                if tokens and request in reading:
                    close(request, lengths[request])
            members = []
    for request in list(reading):
        close(request, lengths[request])
    order = range(len(number))
    nothing = np.zeros(len(number), dtype=np.int64)
    trace = Trace(
        name=name,
        engine=LLAMA_CPP,
        token_budget=BATCH,
        max_sequences=SLOTS,
        blocks=SLOTS * CONTEXT,
        block_tokens=1,
        context=CONTEXT,
        prefix_cache=False,
        arrival_seconds=np.array(arrivals),
        input_tokens=np.array([lengths[r] for r in order]),
        output_tokens=np.array([answers[r] for r in order]),
        prefix=nothing + UNSHARED,
        shared_blocks=nothing,
    )
    return Recorded(trace, SERVER, tuple(batch_of(each) for each in passes), 0)


def serve(server: Path, model: Path, rate: float, count: int, seed: int, log: Path) -> str:
    """Start a server, send ``count`` requests at ``rate`` [1/s], stop it; the log's text."""
    command = [
        *(str(server), "-m", str(model), "--host", "127.0.0.1", "--port", str(PORT)),
        *("-np", str(SLOTS), "-c", str(SLOTS * CONTEXT), "-b", str(BATCH), "-ub", str(MICRO_BATCH)),
        *("-t", "1", "-lv", "10", "--no-ui"),
    ]
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1 / rate, count)
    prompts = [rng.integers(100, 40_000, n).tolist() for n in rng.integers(8, 240, count)]
    answers = rng.integers(1, 28, count).tolist()
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            _ready()
            threads = []
            for gap, prompt, answer in zip(gaps.tolist(), prompts, answers, strict=True):
                time.sleep(gap)
                thread = threading.Thread(target=_ask, args=(prompt, answer))
                thread.start()
                threads.append(thread)
            for thread in threads:
                thread.join(LIMIT_SECONDS)
        finally:
            process.terminate()
    return log.read_text(errors="replace")


def version(log: str) -> str:
    """Which build wrote a log."""
    found = _VERSION.search(log)
    return found[1] if found else "unknown"


def _ready() -> None:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("llama-server does not answer")


def _ask(prompt: list[int], answer: int) -> None:
    told: dict[str, Any] = {"prompt": prompt, "n_predict": answer}
    body = json.dumps(told | {"ignore_eos": True, "cache_prompt": False})
    asked = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/completion",
        body.encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=LIMIT_SECONDS) as answered:
        answered.read()
