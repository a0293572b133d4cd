"""Kill runs at random instants, again and again, until each has ended; compare bytes with a run
that nothing disturbed.

``python benchmarks/kill_soak.py [--kills 200] [--seed 1] [--only sweep]`` prints a line for each
way of running: kills that hit, runs that ended between them, and whether every table or profile was
the same. It ends with 1 where one differs, a journal holds an answer twice, or a worker outlives
its run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SWEEP = """
[[grid]]
model = ["qwen2.5-0.5b", "llama-3.2-1b", "smollm2-135m"]
device = ["l40s", "h100-sxm", "a100-sxm"]
devices = 1
batch = [2, 8, 32]
context = [2048, 4096]
[[grid]]
verb = "estimate"
model = "qwen2.5-0.5b"
device = ["l40s", "h100-sxm"]
scheme = ["bf16", "fp8-tensor"]
devices = 1
batch = [1, 2, 4, 8, 16]
context = [2048, 4096]
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of running: its share of the kills, the arguments, the file that it writes."""

    name: str
    share: float
    words: tuple[str, ...]
    output: str


WAYS = (
    Way("sweep", 0.45, ("sweep", "s.toml", "-o", "t.csv", "--quiet"), "t.csv"),
    Way(
        "sweep, 2 processes",
        0.2,
        ("sweep", "s.toml", "-o", "t.csv", "--quiet", "--workers", "2"),
        "t.csv",
    ),
    Way(
        "sweep, Dask",
        0.05,
        ("sweep", "s.toml", "-o", "t.csv", "--quiet", "--cluster", "local", "--workers", "2"),
        "t.csv",
    ),
    Way(
        "profile",
        0.2,
        ("profile", "./model", "-o", "p.json", "--quiet", "--workers", "1"),
        "p.json",
    ),
    Way(
        "profile, 2 processes",
        0.1,
        ("profile", "./model", "-o", "p.json", "--quiet", "--workers", "2"),
        "p.json",
    ),
)


def main() -> int:
    """Every way in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="a way by its name")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    from support.checkpoints import write_llama

    rng, problems = random.Random(given.seed), 0
    ways = [w for w in WAYS if given.only in ("", w.name)]
    share = sum(w.share for w in ways)
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        (folder / "s.toml").write_text(SWEEP, encoding="utf-8")
        write_llama(
            folder / "model",
            num_hidden_layers=6,
            hidden_size=256,
            head_dim=64,
            intermediate_size=512,
        )
        for way in ways:
            problems += _soak(way, folder, round(given.kills * way.share / share), rng)
    return int(problems > 0)


def _soak(way: Way, folder: Path, kills: int, rng: random.Random) -> int:
    """Kill ``kills`` runs of ``way``; the number of problems found."""
    target = folder / way.output
    start = time.monotonic()
    _clear(target)
    _start(way, folder).wait()
    lasts = time.monotonic() - start
    expected = target.read_bytes()
    _clear(target)
    seen: Counter[str] = Counter()
    while seen["kills"] < kills:
        process = _start(way, folder)
        try:
            process.wait(timeout=rng.uniform(0.0, lasts))
        except subprocess.TimeoutExpired:
            workers = _children(process.pid)
            process.kill()
            process.wait()
            seen["kills"] += 1
            seen["problems"] += _twice(target) + _outlived(workers)
            if target.exists() and not _journal(target).exists():  # all but its exit was done
                seen["problems"] += _ended(0, target, expected, seen)
            continue
        seen["problems"] += _ended(process.returncode, target, expected, seen)
    seen["problems"] += _ended(_start(way, folder).wait(), target, expected, seen)
    print(
        f"{way.name}: {seen['kills']} kills in {time.monotonic() - start:.0f} s (undisturbed "
        f"{lasts:.1f} s), {seen['ended']} runs ended, {seen['problems']} problems",
        flush=True,
    )
    return seen["problems"]


def _start(way: Way, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "planner", *way.words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore::UserWarning"},
        stdout=subprocess.DEVNULL,
    )


def _ended(code: int, target: Path, expected: bytes, seen: Counter[str]) -> int:
    """1 where a run failed, or wrote something else or left a journal."""
    seen["ended"] += 1
    same = code == 0 and target.read_bytes() == expected and not _journal(target).exists()
    if not same:
        print(f"problem: exit {code}, {target.name} {'differs' if target.exists() else 'absent'}")
    _clear(target)
    return int(not same)


def _clear(target: Path) -> None:
    target.unlink(missing_ok=True)
    _journal(target).unlink(missing_ok=True)


def _journal(target: Path) -> Path:
    return target.with_name(target.name + ".journal")


def _twice(target: Path) -> int:
    """Answers that the journal holds more than once."""
    if not _journal(target).exists():
        return 0
    lines = _journal(target).read_bytes().split(b"\n")[:-1]
    ids = Counter(json.loads(line.split(b" ", 1)[1])["id"] for line in lines)
    return sum(count - 1 for count in ids.values())


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _outlived(workers: list[int]) -> int:
    """Workers that still run 30 s after their run was killed."""
    end = time.monotonic() + 30
    while time.monotonic() < end and any(_runs(pid) for pid in workers):
        time.sleep(0.05)
    return sum(_runs(pid) for pid in workers)


def _runs(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return text.rsplit(")", 1)[1].split()[0] != "Z"


if __name__ == "__main__":
    sys.exit(main())
