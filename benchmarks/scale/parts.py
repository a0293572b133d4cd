"""What Dask and a profile's matrices cost, part by part, as JSON.

``python -m benchmarks.scale.parts [--only dask|matrix] [--matrices 2]`` starts a scheduler and a
worker of its own and passes empty tasks of the usual size through ``planner.jobs.cluster``: CPU
seconds of client, scheduler and worker for each, few at a time (one worker) and many (a worker of
512 threads, which asks for as many tasks as 512 workers); then it measures one expert's matrix of
DeepSeek-V3 in BF16 as ``plan profile`` does by default.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

ROOT = Path(__file__).resolve().parents[2]
TASK_BYTES, ROWS, COLUMNS = 35_000, 7168, 2048
RESULT = {"id": "chunk 0", "rows": {f"column {n}": [1.25e-3 * n] * 8 for n in range(40)}}


def empty(_: bytes) -> dict[str, Any]:
    """A task that does nothing; its result has the size of a part's."""
    return RESULT


@contextmanager
def cluster(workers: int, threads: int = 1) -> Iterator[tuple[str, list[int], float]]:
    """(address, pids of the scheduler and of workers, seconds of CPU until a worker is there)."""
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        file = Path(folder, "scheduler.json")
        started = []

        def start(*words: str) -> None:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", *words],
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    stderr=subprocess.DEVNULL,
                )
            )

        try:
            start(
                "distributed.cli.dask_scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                str(file),
            )
            while not file.exists() or not file.stat().st_size:
                time.sleep(0.05)
            address = json.loads(file.read_text(encoding="utf-8"))["address"]
            for _ in range(workers):
                start(
                    "distributed.cli.dask_worker",
                    address,
                    "--nthreads",
                    str(threads),
                    "--no-nanny",
                    "--no-dashboard",
                    "--local-directory",
                    folder,
                )
            from distributed import Client

            with Client(address) as client:  # type: ignore[no-untyped-call]
                client.wait_for_workers(workers)
            pids = [one.pid for one in started]
            yield address, pids, cpu_seconds(pids[1])
        finally:
            for process in started:
                process.kill()
                process.wait()


def cpu_seconds(pid: int) -> float:
    """Of a process so far."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """The most memory that a process had so far."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def dask(tasks: int) -> dict[str, Any]:
    """Milliseconds of CPU an empty task, by who works on it."""
    from distributed import Client

    from planner.jobs.cluster import on_cluster

    found: dict[str, Any] = {}
    for name, threads in (("few", 1), ("many", 512)):
        with (
            cluster(1, threads) as (address, (scheduler, worker), started),
            Client(address) as client,
        ):  # type: ignore[no-untyped-call]
            for _ in on_cluster(client, empty, [b""] * 20):
                pass
            begun = time.process_time(), cpu_seconds(scheduler), cpu_seconds(worker)
            for _ in on_cluster(client, empty, (os.urandom(TASK_BYTES) for _ in range(tasks))):
                pass
            ended = time.process_time(), cpu_seconds(scheduler), cpu_seconds(worker)
            found[name] = {
                who: round((b - a) / tasks * 1e3, 3)
                for who, a, b in zip(
                    ("client_ms", "scheduler_ms", "worker_ms"), begun, ended, strict=True
                )
            }
            found["worker_start_cpu_seconds"] = round(started, 2)
    return found


def matrix(count: int) -> dict[str, Any]:
    """An expert's matrix of DeepSeek-V3 through the schemes of ``plan profile``."""
    from pickle import dumps

    import numpy as np

    from planner.lab.profiling.emulate import default_schemes
    from planner.lab.profiling.jobs import MatrixJob
    from planner.lab.profiling.measure import ScanSettings, measure
    from planner.lab.profiling.run import engine_here
    from planner.lab.profiling.scan import ScanTask
    from planner.models.checkpoint_places import Place

    rng = np.random.default_rng(1)
    values = rng.standard_normal((ROWS, COLUMNS), dtype=np.float32) * np.float32(0.02)
    with tempfile.NamedTemporaryFile(prefix="matrix-") as file:
        (values.view(np.uint32) >> 16).astype("<u2").tofile(file.name)
        job = MatrixJob(
            "model.layers.30.mlp.experts.100.down_proj.weight",
            "w",
            "expert-down",
            30,
            100,
            ROWS,
            COLUMNS,
            "plain",
            "BF16",
            "bf16",
            Place(file.name, 0, "BF16", (ROWS, COLUMNS)),
        )
        settings = ScanSettings(default_schemes(), engine_here([job] * 4))
        seconds = []
        for _ in range(count + 1):
            begun = time.process_time()
            record = measure(job, settings)
            seconds.append(round(time.process_time() - begun, 3))
    return {
        "schemes": len(settings.schemes),
        "engine": settings.engine,
        "bytes": ROWS * COLUMNS * 2,
        "first_seconds": seconds[0],
        "seconds": seconds[1:],
        "task_bytes": len(dumps(ScanTask(job, settings, None, None))),
        "result_bytes": len(dumps(record)),
        "resident_bytes": resident_bytes(os.getpid()),
    }


def main() -> int:
    """Print the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("dask", "matrix"))
    parser.add_argument("--matrices", type=int, default=2)
    parser.add_argument("--tasks", type=int, default=1000)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    if given.only != "dask":
        found["matrix"] = matrix(given.matrices)
    if given.only != "matrix":
        found["dask"] = dask(given.tasks)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
