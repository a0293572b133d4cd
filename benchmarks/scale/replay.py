"""The simulation beside Dask: tasks that sleep as long as parts of a sample took; a killed worker.

``python -m benchmarks.scale.replay SAMPLE.jsonl [--scale 0.2]`` prints JSON. The tasks sleep, so
that workers do not need cores of their own; scheduler, client, messages and results are those of a
sweep. What an empty task takes with one worker is measured first: it is all that the prediction
knows of this machine. Without a sample plans are answered and a checkpoint is profiled instead, and
CPU seconds are told; then plans once more on workers that write every result to disk.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.scale.parts import RESULT, TASK_BYTES, cluster, cpu_seconds, resident_bytes
from benchmarks.scale.simulation import Costs, Task, simulate
from planner.jobs.cluster import on_cluster

WORKERS = (1, 2, 4)
SPILL = {
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.000001",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "0.000002",
}
"""Shares of a worker's limit from which on Dask writes what is kept to disk: some kilobytes."""


def asleep(item: tuple[int, float, str, bytes]) -> dict[str, Any]:
    """Sleep as long as a part took; that it has begun is kept in a file."""
    number, seconds, begun, _ = item
    with open(begun, "a", encoding="ascii") as file:
        file.write(f"{number}\n")
    time.sleep(seconds)
    return {**RESULT, "number": number}


def seconds_of(sample: Path) -> list[float]:
    """CPU seconds of the parts of a sample."""
    lines = sample.read_text(encoding="utf-8").splitlines()[1:]
    return [json.loads(line)["seconds"] for line in lines]


def replayed(seconds: Sequence[float], workers: int, kill_after: int = 0) -> dict[str, Any]:
    """Wall seconds of the tasks on so many workers, from the first that is sent to the last result;
    after ``kill_after`` results a worker is killed."""
    from distributed import Client

    landed: list[int] = []
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        begun = str(Path(folder, "begun"))
        with cluster(workers) as (address, pids, _), Client(address) as client:  # type: ignore[no-untyped-call]
            list(on_cluster(client, asleep, [(-1, 0.0, begun, b"")] * 4 * workers))
            items = ((n, one, begun, os.urandom(TASK_BYTES)) for n, one in enumerate(seconds))
            start = time.perf_counter()
            for result in on_cluster(client, asleep, items):
                landed.append(result["number"])
                if len(landed) == kill_after:
                    os.kill(pids[1], signal.SIGKILL)
            wall = time.perf_counter() - start
        starts = [int(n) for n in Path(begun).read_text(encoding="ascii").split() if int(n) >= 0]
    return {
        "wall": round(wall, 2),
        "once_each": sorted(landed) == list(range(len(seconds))),
        "begun_again": len(starts) - len(landed),
    }


def answered(workers: int, *, spill: bool = False) -> dict[str, Any]:
    """Plans that are really answered by so many workers: CPU seconds of all of them, from before
    the first to after the last, a digest of the table, and with ``spill`` how many results of
    100 kB each came back from disk beside."""
    import hashlib

    from planner.sweeping.sweep import answers

    asked = [
        {"model": model, "device": device, "context": context, "devices": 1, "engine": "vllm"}
        for context in (4096, 8192)
        for model in ("llama-3.2-1b", "qwen3-0.6b")
        for device in ("l40s", "a10", "h100-sxm")
    ]
    with cluster(workers) as (address, pids, _):
        before = sum(map(cpu_seconds, pids[1:]))
        begun, start = cpu_seconds(pids[0]), time.perf_counter()
        columns = answers(asked, cluster=address, workers=None).columns
        wall = time.perf_counter() - start
        spent = sum(map(cpu_seconds, pids[1:])) - before
        more = _from_disk(address) if spill else {}
        return more | {
            "plans": len(asked),
            "workers_cpu": round(spent, 2),
            "scheduler_cpu": round(cpu_seconds(pids[0]) - begun, 2),
            "wall": round(wall, 1),
            "resident_bytes": max(map(resident_bytes, pids[1:])),
            "digest": hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16],
        }


def large(number: int) -> bytes:
    """A result of 100 kB."""
    return number.to_bytes(4, "little") * 25_000


def _from_disk(address: str) -> dict[str, Any]:
    """Large results that nobody fetches for a second, and whether each comes back once and whole;
    how many of them the workers had on disk."""
    from distributed import Client

    with Client(address) as client:  # type: ignore[no-untyped-call]
        most, back = 0, []
        for result in on_cluster(client, large, range(64)):
            if not back:
                time.sleep(1.0)
            most = max(most, sum(client.run(on_disk).values()) if len(back) % 16 == 0 else 0)
            back.append(result)
    return {
        "large": len(back),
        "whole": sorted(back) == sorted(map(large, range(64))),
        "most_on_disk": most,
    }


def on_disk(dask_worker: Any) -> int:
    """Results that a worker has written to disk (Dask passes the worker by this name)."""
    return len(getattr(dask_worker.data, "disk", ()))


def profiled(folder: Path, workers: int) -> dict[str, Any]:
    """A profile of a small checkpoint on so many workers, and a digest of its file."""
    import hashlib

    import planner

    with cluster(workers) as (address, pids, _):
        before, begun = sum(map(cpu_seconds, pids[1:])), time.perf_counter()
        out = folder / f"on-{workers}.json"
        made = planner.profile(folder / "model", output=out, cluster=address)
        wall = time.perf_counter() - begun
        return {
            "matrices": len(made.tensors),
            "wall": round(wall, 1),
            "workers_cpu": round(sum(map(cpu_seconds, pids[1:])) - before, 2),
            "scheduler_cpu": round(cpu_seconds(pids[0]), 2),
            "resident_bytes": max(map(resident_bytes, pids[1:])),
            "digest": hashlib.sha256(out.read_bytes()).hexdigest()[:16],
        }


def checkpoint(folder: Path) -> None:
    """A made-up decoder of eight layers, width 1024, in BF16."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    from support.checkpoints import write_llama

    write_llama(
        folder,
        hidden_size=1024,
        num_hidden_layers=8,
        num_attention_heads=16,
        num_key_value_heads=4,
        head_dim=64,
        intermediate_size=3072,
        vocab_size=4096,
    )


def spilled() -> dict[str, Any]:
    """Plans on two workers that write what they keep to disk at once."""
    os.environ.update(SPILL)
    try:
        return answered(2, spill=True)
    finally:
        for name in SPILL:
            del os.environ[name]


def real_runs() -> dict[str, Any]:
    """Plans and a profile on each number of workers, and plans where all is written to disk."""
    found: dict[str, Any] = {"real": {str(n): answered(n) for n in WORKERS}}
    with tempfile.TemporaryDirectory(prefix="replay-") as name:
        folder = Path(name)
        checkpoint(folder / "model")
        found["profile"] = {str(n): profiled(folder, n) for n in WORKERS}
    return found | {"spilled": spilled()}


def main() -> int:
    """Print what was measured beside what was predicted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sample", type=Path, nargs="?", help="absent: plans are answered")
    parser.add_argument("--scale", type=float, default=0.2)
    given = parser.parse_args()
    if given.sample is None:
        print(json.dumps(real_runs(), indent=1))
        return 0
    seconds = [one * given.scale for one in seconds_of(given.sample)]
    empty = replayed([0.0] * 100, 1)["wall"] / 100
    costs = Costs(worker_seconds=empty)
    found: dict[str, Any] = {
        "tasks": len(seconds),
        "seconds": round(sum(seconds), 2),
        "longest": round(max(seconds), 2),
        "empty": round(empty, 4),
    }
    for workers in WORKERS:
        told = simulate([Task(one) for one in seconds], workers, costs).wall_seconds
        was = replayed(seconds, workers)
        found[str(workers)] = {
            **was,
            "predicted": round(float(told), 2),
            "error": round(float(told) / was["wall"] - 1, 3),
        }
    found["killed"] = replayed(seconds, 2, kill_after=len(seconds) // 2)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
