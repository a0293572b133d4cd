"""The simulation beside Dask: tasks that sleep as long as parts of a sample took; a killed worker.

``python -m benchmarks.scale.replay SAMPLE.jsonl [--scale 0.2]`` prints JSON. The tasks sleep, so
that workers do not need cores of their own; scheduler, client, messages and results are those of a
sweep. What an empty task takes with one worker is measured first: it is all that the prediction
knows of this machine. Without a sample plans are answered instead, and CPU seconds are told.
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
        with cluster(workers) as (address, pids, _), \
                Client(address) as client:  # type: ignore[no-untyped-call]
            list(on_cluster(client, asleep, [(-1, 0.0, begun, b"")] * 4 * workers))
            items = ((n, one, begun, os.urandom(TASK_BYTES)) for n, one in enumerate(seconds))
            start = time.perf_counter()
            for result in on_cluster(client, asleep, items):
                landed.append(result["number"])
                if len(landed) == kill_after:
                    os.kill(pids[1], signal.SIGKILL)
            wall = time.perf_counter() - start
        starts = [int(n) for n in Path(begun).read_text(encoding="ascii").split() if int(n) >= 0]
    return {"wall": round(wall, 2), "once_each": sorted(landed) == list(range(len(seconds))),
            "begun_again": len(starts) - len(landed)}


def answered(workers: int) -> dict[str, Any]:
    """Plans that are really answered by so many workers: CPU seconds of all of them, from before
    the first to after the last, and a digest of the table."""
    import hashlib

    from planner.api.sweep import answers

    asked = [{"model": model, "device": device, "context": context, "devices": 1, "engine": "vllm"}
             for context in (4096, 8192)
             for model in ("llama-3.2-1b", "qwen3-0.6b") for device in ("l40s", "a10", "h100-sxm")]
    with cluster(workers) as (address, pids, _):
        before = sum(map(cpu_seconds, pids[1:]))
        begun, start = cpu_seconds(pids[0]), time.perf_counter()
        columns = answers(asked, cluster=address, workers=None).columns
        wall = time.perf_counter() - start
        return {"plans": len(asked), "workers_cpu": round(sum(map(cpu_seconds, pids[1:])) - before,
                                                          2),
                "scheduler_cpu": round(cpu_seconds(pids[0]) - begun, 2), "wall": round(wall, 1),
                "resident_bytes": max(map(resident_bytes, pids[1:])),
                "digest": hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]}


def main() -> int:
    """Print what was measured beside what was predicted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sample", type=Path, nargs="?", help="absent: plans are answered")
    parser.add_argument("--scale", type=float, default=0.2)
    given = parser.parse_args()
    if given.sample is None:
        print(json.dumps({str(workers): answered(workers) for workers in WORKERS}, indent=1))
        return 0
    seconds = [one * given.scale for one in seconds_of(given.sample)]
    empty = replayed([0.0] * 100, 1)["wall"] / 100
    costs = Costs(worker_seconds=empty)
    found: dict[str, Any] = {"tasks": len(seconds), "seconds": round(sum(seconds), 2),
                             "longest": round(max(seconds), 2), "empty": round(empty, 4)}
    for workers in WORKERS:
        told = simulate([Task(one) for one in seconds], workers, costs).wall_seconds
        was = replayed(seconds, workers)
        found[str(workers)] = {**was, "predicted": round(float(told), 2),
                               "error": round(float(told) / was["wall"] - 1, 3)}
    found["killed"] = replayed(seconds, 2, kill_after=len(seconds) // 2)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
