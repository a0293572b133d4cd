"""Commands ended at random moments by SIGINT, SIGTERM and SIGHUP, again and again.

    python benchmarks/interrupts_random.py [--signals 40] [--seed 1] [--only NAME]

A signal goes to the process alone or to its whole group. Wanted of each run: 128 + the number of
the signal as the exit code (the signal itself while Python is being loaded or ends), no traceback,
no process left, no file but journals and whole outputs. After the last signal the same command is
run to its end, and its outputs are those of a run that nothing disturbed. A line a command; exit
status 1 where anything else was seen.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MARK = "PLAN_INTERRUPTED_RUN"
"""A variable of the environment that names the run a process belongs to."""
_RUNS: dict[int, str] = {}
"""Mark of each run by its process."""
UNWANTED = re.compile("Traceback|Warning|^error:|^Exception", re.MULTILINE)
GONE_SECONDS = 10.0
LEAST, MOST = 0.05, 8.0
"""Moments of the first and of the last signal [s]; a command may take longer than the last."""
SWEEP = """
[[grid]]
model = ["qwen2.5-0.5b", "llama-3.2-1b"]
device = ["l40s", "h100-sxm"]
devices = 1
batch = [2, 8]
context = [2048, 4096]
"""
FLEET = """
title = "Two models"
engines = ["vllm"]
[[device]]
name = "h100-sxm"
count = 8
price = 2.5
[[device]]
name = "l40s"
count = 8
price = 0.9
[[model]]
model = "llama-3.2-1b"
rate = 4
tpot_ms = 50
workload = "chat"
[[model]]
model = "qwen2.5-0.5b"
rate = 8
tpot_ms = 50
workload = "chat"
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A command to be ended: its ``words``, the ``outputs`` it writes whole or not at all, and
    whether they are the ``same`` in every run (no times of this machine in them)."""

    name: str
    words: tuple[str, ...]
    outputs: tuple[str, ...]
    same: bool = True


COMMANDS = (
    Ended(
        "fleet",
        ("fleet", "f.toml", "--csv", "f.csv", "--report", "f.html", "--workers", "1"),
        ("f.csv", "f.html"),
    ),
    Ended(
        "fleet, 2 processes",
        ("fleet", "f.toml", "--csv", "f.csv", "--report", "f.html", "--workers", "2"),
        ("f.csv", "f.html"),
    ),
    Ended(
        "measure",
        ("measure", "--quick", "--only", "bandwidth,gemm", "-o", "m", "--force"),
        ("m",),
        same=False,
    ),
    Ended(
        "verify",
        (
            "verify",
            "plan.json",
            "small.gguf",
            "--engine-dir",
            "bin",
            "--device",
            "xeon-platinum-8480",
            "--threads",
            "1",
            "--prompt-tokens",
            "192",
            "--output-tokens",
            "64",
            "-o",
            "v",
        ),
        ("v",),
        same=False,
    ),
    Ended("profile", ("profile", "./model", "-o", "p.json", "--workers", "1"), ("p.json",)),
    Ended(
        "profile, 2 processes",
        ("profile", "./model", "-o", "p.json", "--workers", "2"),
        ("p.json",),
    ),
    Ended(
        "capacity",
        (
            "capacity",
            "llama-3.2-1b",
            "l40s",
            "--rate",
            "20",
            "--isl",
            "512",
            "--osl",
            "128",
            "--tpot-ms",
            "30",
            "--simulate",
            "2000",
            "--csv",
            "c.csv",
        ),
        ("c.csv",),
    ),
    Ended("sweep", ("sweep", "s.toml", "-o", "s.csv", "--report", "s.html"), ("s.csv", "s.html")),
    Ended("sweep, 2 processes", ("sweep", "s.toml", "-o", "s.csv", "--workers", "2"), ("s.csv",)),
    Ended(
        "sweep, Dask",
        ("sweep", "s.toml", "-o", "s.csv", "--workers", "2", "--cluster", "local"),
        ("s.csv",),
    ),
    Ended(
        "plan --interactive",
        (
            "llama-3.2-1b",
            "l40s",
            "--devices",
            "1",
            "--report",
            "r.html",
            "--interactive",
            "--grid",
            "devices=1",
            "--grid",
            "engine=vllm",
        ),
        ("r.html",),
    ),
)


def prepare(folder: Path) -> None:
    """Write what the commands read: questions, a checkpoint, a plan and an engine that sleeps."""
    from support.checkpoints import write_llama
    from support.fake_llama import BENCH, PERPLEXITY, RECORDED, VERSION, fake_llama
    from support.small_gguf import small_gguf

    import planner

    (folder / "s.toml").write_text(SWEEP, encoding="utf-8")
    (folder / "f.toml").write_text(FLEET, encoding="utf-8")
    write_llama(
        folder / "model", num_hidden_layers=6, hidden_size=256, head_dim=64, intermediate_size=512
    )
    (folder / "small.gguf").write_bytes(small_gguf())
    (folder / "made.gguf").write_bytes(
        small_gguf(
            lambda name: "BF16" if name in ("token_embd.weight", "output.weight") else "Q8_0"
        )
    )
    plan = planner.estimate(
        str(folder / "small.gguf"),
        "xeon-platinum-8480",
        scheme="ggml-q8_0",
        engine="llama.cpp",
        batch=1,
        isl=128,
        osl=32,
    )
    (folder / "plan.json").write_text(json.dumps(plan.to_dict()), encoding="utf-8")
    slow = {
        name: "sleep 0.3\n" + text.format(recorded=RECORDED, version=VERSION)
        for name, text in (("bench", BENCH), ("perplexity", PERPLEXITY))
    }
    fake_llama(folder / "bin", folder / "made.gguf", **slow)


def main() -> int:
    """Every command in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signals", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="commands whose name begins so")
    given = parser.parse_args()
    rng, problems = random.Random(given.seed), 0
    with tempfile.TemporaryDirectory(prefix="signals-") as name:
        folder = Path(name)
        prepare(folder)
        for one in COMMANDS:
            if one.name.startswith(given.only):
                problems += soak(one, folder, given.signals, rng)
    return int(problems > 0)


def soak(one: Ended, folder: Path, signals: int, rng: random.Random) -> int:
    """End ``one`` so many times; the number of problems seen, each printed."""
    inputs = set(os.listdir(folder))
    begun = time.monotonic()
    whole = _start(one, folder)
    said = whole.communicate()[1]
    lasts = min(MOST, time.monotonic() - begun)
    if whole.returncode != 0:
        print(f"{one.name}: undisturbed it ends with {whole.returncode}: {said.decode()[-300:]}")
        return 1
    expected, seen, problems = _contents(one, folder), Counter[str](), []
    _clear(folder, inputs)
    for _ in range(signals):
        process = _start(one, folder)
        number, group = rng.choice(SIGNALS), rng.random() < 0.5
        told = f"{number.name} to {'its group' if group else 'it alone'}"
        try:
            process.wait(after := rng.uniform(LEAST, lasts))
        except subprocess.TimeoutExpired:
            (os.killpg if group else os.kill)(process.pid, number)
        said = process.communicate()[1].decode()
        seen[_ending(process.returncode)] += 1
        found = _wrong(one, folder, inputs, expected, process.returncode, number, said) + _left(
            process
        )
        problems += [f"{told} after {after:.2f} s: {what}" for what in found]
        if not process.returncode:
            _clear(folder, inputs)
    last = _start(one, folder)
    said = last.communicate()[1].decode()
    if last.returncode or (one.same and _contents(one, folder) != expected) or _journals(folder):
        problems.append(f"the last run ends with {last.returncode} or otherwise: {said[-300:]}")
    _clear(folder, inputs)
    endings = ", ".join(f"{count} × {what}" for what, count in sorted(seen.items()))
    print(
        f"{one.name}: {signals} signals in {lasts:.1f} s: {endings}; {len(problems)} problems",
        flush=True,
    )
    for what in problems:
        print(f"  {what}", flush=True)
    return len(problems)


def _start(one: Ended, folder: Path) -> subprocess.Popen[bytes]:
    """The command as a shell starts it: with every signal as it is by default."""
    run = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-m", "planner", *one.words],
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), MARK: run},
        preexec_fn=_heard,
    )
    _RUNS[process.pid] = run
    return process


def _heard() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _ending(code: int) -> str:
    return "done" if code == 0 else f"exit {code}" if code > 0 else signal.Signals(-code).name


def _wrong(
    one: Ended,
    folder: Path,
    inputs: set[str],
    expected: dict[str, bytes],
    code: int,
    number: signal.Signals,
    said: str,
) -> list[str]:
    """What is not as it should be after a signal."""
    found = []
    if code not in (0, 128 + number, -number):
        found.append(f"exit code {code}: {said[-200:]!r}")
    told = [line for line in said.splitlines() if line]
    word = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    silent = code == 130 and not told  # it was being loaded
    if (code > 0 and not silent and told[-1:] != [word]) or UNWANTED.search(said):
        found.append(f"it said {said[-300:]!r}")
    names = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] not in inputs
    }
    for name in sorted(names):
        top = name.split(os.sep)[0]
        journal = name.endswith(".journal")
        if not (top in one.outputs or journal) or Path(name).name.startswith("."):
            found.append(f"left {name}")
    if one.same:
        for name, content in _contents(one, folder).items():
            if content != expected[name]:
                found.append(f"{name} is not whole")
    return found


def _left(process: subprocess.Popen[bytes]) -> list[str]:
    """Processes of the run that are still there after a while; they are killed."""
    mark = f"{MARK}={_RUNS[process.pid]}".encode()
    ends = time.monotonic() + GONE_SECONDS
    while (left := _marked(mark)) and time.monotonic() < ends:
        time.sleep(0.05)
    words = []
    for pid, line in left.items():
        words.append(f"left process {line[:120]}")
        os.kill(pid, signal.SIGKILL)
    return words


def _marked(mark: bytes) -> dict[int, str]:
    """{process: its command line} of those whose environment has ``mark``."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (place / "environ").read_bytes():
                found[int(place.name)] = (
                    (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
        except OSError:
            continue
    return found


def _contents(one: Ended, folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in one.outputs if (folder / name).is_file()}


def _journals(folder: Path) -> list[Path]:
    return list(folder.glob("*.journal"))


def _clear(folder: Path, inputs: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in inputs:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    sys.exit(main())
