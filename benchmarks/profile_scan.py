"""Speed of the weight-error scan on one core: GB of stored weights a second, by format.

``python benchmarks/profile_scan.py [--rows 16384] [--columns 4096] [--runs 3]`` writes a BF16
tensor to a file, reads it back through the scan and prints process CPU time (least of the runs);
it ends with 1 where BF16 through fp8-block is under 0.5 GB/s with numba.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

from planner.lab.profiling.jobs import MatrixJob  # noqa: E402
from planner.lab.profiling.measure import ScanSettings, measure  # noqa: E402
from planner.models.checkpoint_places import Place  # noqa: E402
from planner.numerics.engines import ENGINES  # noqa: E402

TARGET = 0.5
SETS = {
    "fp8-block": ("fp8-block",),
    "int8-w8a8": ("int8-w8a8",),
    "int4-w4a16": ("int4-w4a16",),
    "nvfp4": ("nvfp4",),
    "mxfp4": ("mxfp4",),
    "fp8-tensor": ("fp8-tensor",),
    "statistics": (),
}


def main() -> int:
    """Print the table; exit status of the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16384)
    parser.add_argument("--columns", type=int, default=4096)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    values = rng.standard_normal((given.rows, given.columns), dtype=np.float32) * np.float32(0.02)
    stored = (values.view(np.uint32) >> 16).astype("<u2")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weights.bin")
        stored.tofile(path)
        job = MatrixJob(
            "w",
            "w",
            "mlp-down",
            0,
            -1,
            given.rows,
            given.columns,
            "plain",
            "BF16",
            "bf16",
            Place(path, 0, "BF16", (given.rows, given.columns)),
        )
        return _table(job, stored.nbytes, given.runs)


def _table(job: MatrixJob, size: int, runs: int) -> int:
    missed = False
    for engine in _engines():
        for name, schemes in SETS.items():
            settings = ScanSettings(schemes, engine)  # type: ignore[arg-type]
            record = measure(job, settings)  # compile, and fill the page cache
            if "skipped" in record:
                raise SystemExit(f"not measured: {record['skipped']}")
            least = min(_seconds(job, settings) for _ in range(runs))
            speed = size / least / 1e9
            goal = engine == "numba" and name == "fp8-block"
            missed |= goal and speed < TARGET
            print(
                f"{engine:6} {name:12} {speed:6.2f} GB/s"
                + (f"  (target {TARGET}: {'met' if speed >= TARGET else 'MISSED'})" if goal else "")
            )
    return int(missed)


def _seconds(job: MatrixJob, settings: ScanSettings) -> float:
    start = time.process_time()
    measure(job, settings)
    return time.process_time() - start


def _engines() -> tuple[str, ...]:
    try:
        import numba  # noqa: F401
    except ImportError:
        print("numba is not installed: numpy only")
        return ENGINES[:1]
    return ("numba", "numpy")


if __name__ == "__main__":
    sys.exit(main())
