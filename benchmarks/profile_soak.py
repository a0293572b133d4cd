"""A checkpoint far larger than memory through the scan: one shard of 512 MB under many names.

``python benchmarks/profile_soak.py [--shards 32] [--workers 1]`` writes one safetensors shard,
hard-links it, and scans an index that gives every link layers of its own. It prints GB/s and the
peak memory of the scan, and ends with 1 where that reaches 1.5 GiB. Where the disk is short it says
so and ends with 0.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

LIMIT = 1.5 * 2**30
SHARD = {"a.down_proj": (16384, 8192), "b.up_proj": (8192, 8192), "c.o_proj": (8192, 8192)}
SCHEMES = ("fp8-block", "int8-w8a8", "nvfp4")
NEEDED = 700 * 2**20


def main() -> int:
    """Write, link, scan in another process, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", default=None, help="where to write (default: the temporary)")
    parser.add_argument("--scan", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.scan is not None:
        return _scan(Path(given.scan), given.workers)
    place = given.folder or tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if free < NEEDED:
        print(f"skipped: {free / 2**20:.0f} MiB free in {place}, {NEEDED / 2**20:.0f} needed")
        return 0
    with tempfile.TemporaryDirectory(prefix="soak-", dir=place) as name:
        folder = Path(name)
        _write(folder / "shard-0000.safetensors")
        for n in range(1, given.shards):
            os.link(folder / "shard-0000.safetensors", folder / f"shard-{n:04d}.safetensors")
        index = {
            f"layers.{n}.{tensor}": f"shard-{n:04d}.safetensors"
            for n in range(given.shards)
            for tensor in SHARD
        }
        (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
        size = given.shards * (folder / "shard-0000.safetensors").stat().st_size
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--scan", name, "--workers", str(given.workers)], check=False
        )
        seconds = time.perf_counter() - start
    if done.returncode:
        return 1
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, cpu = used.ru_maxrss * 1024, used.ru_utime + used.ru_stime
    print(
        f"{size / 1e9:.1f} GB in {given.shards} shards, {', '.join(SCHEMES)}: {seconds:.0f} s "
        f"wall with {given.workers} worker(s), {cpu:.0f} s CPU, {size / cpu / 1e9:.2f} GB/s a "
        "core"
    )
    print(f"peak memory of a process {peak / 2**20:.0f} MiB (limit {LIMIT / 2**20:.0f})")
    return int(peak >= LIMIT)


def _write(path: Path) -> None:
    """One shard of BF16 weights, written row by row."""
    import numpy as np

    header, at = {}, 0
    for name, (rows, columns) in SHARD.items():
        header[name] = {
            "dtype": "BF16",
            "shape": [rows, columns],
            "data_offsets": [at, at + rows * columns * 2],
        }
        at += rows * columns * 2
    text = json.dumps(header).encode()
    rng = np.random.default_rng(1)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for rows, columns in SHARD.values():
            for _ in range(0, rows, 1024):
                part = rng.standard_normal((1024, columns), dtype=np.float32) * np.float32(0.02)
                file.write((part.view(np.uint32) >> 16).astype("<u2").tobytes())


def _scan(folder: Path, workers: int) -> int:
    from planner.jobs.journal import Journal
    from planner.jobs.workers import Where
    from planner.lab.profiling.jobs import MatrixJob
    from planner.lab.profiling.measure import ScanSettings
    from planner.lab.profiling.run import engine_here
    from planner.lab.profiling.scan import scan
    from planner.models.checkpoint_places import Place
    from planner.models.headers import read_extents

    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    extents, _ = read_extents(folder / "shard-0000.safetensors")
    found = {e.tensor.name: e for e in extents}
    jobs = []
    for name, file in index.items():
        _, layer, tensor = name.split(".", 2)
        extent = found[tensor]
        rows, columns = extent.tensor.shape
        job = MatrixJob(
            name,
            tensor,
            "mlp-down",
            int(layer),
            -1,
            rows,
            columns,
            "plain",
            "BF16",
            "bf16",
            Place(str(folder / file), extent.begin, "BF16", (rows, columns)),
        )
        jobs.append(replace(job, group=tensor))
    journal = Journal.open(folder / "journal", {"id": "header", "soak": True})
    scan(
        jobs,
        ScanSettings(SCHEMES, engine_here(jobs)),
        journal,
        where=Where(workers),
        inputs=None,
        landed=lambda job: None,
    )
    skipped = [r for r in journal.done.values() if "skipped" in r]
    same = {
        json.dumps({k: v for k, v in r.items() if k != "id"}, sort_keys=True)
        for r in journal.done.values()
    }
    if skipped or len(journal.done) != len(index) or len(same) != len(SHARD):
        print(
            f"{len(skipped)} skipped, {len(journal.done)} of {len(index)} measured, {len(same)} "
            f"different records where {len(SHARD)} tensors differ"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
