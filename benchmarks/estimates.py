"""What estimates cost: one of many by ``planner.estimate``, a process, and 100,000 in a sweep.

    python benchmarks/estimates.py

CPU seconds, each the least of a few runs. No estimate of the first figure repeats another's: layout
given, batches all different, of two prompt lengths.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from startup import cpu_seconds
from sweep import CORES, estimate_questions, measured

from planner.api.estimate import estimate
from planner.sweeping.sweep import answers

PLAN = str(Path(sys.executable).parent / "plan")
RUNS = 5
EACH = 40


def warm(model: str, device: str, scheme: str, step: int, **layout: int) -> float:
    """CPU seconds of one estimate, model and device known."""

    def priced(n: int) -> None:
        estimate(
            model, device, scheme=scheme, batch=step * (1 + n), isl=1024 << n % 2, osl=512, **layout
        )

    priced(0)
    priced(1)
    found = []
    for run in range(RUNS):
        start = time.process_time()
        for n in range(EACH):
            priced(run + n)
        found.append((time.process_time() - start) / EACH)
    return min(found)


def process() -> float:
    """CPU seconds of ``plan estimate``, start-up included."""
    command = (
        PLAN,
        "estimate",
        "deepseek-v3",
        "h100-sxm",
        "--scheme",
        "fp8-block",
        "--devices",
        "16",
        "--context",
        "8192",
    )
    with tempfile.TemporaryDirectory() as folder:
        return min(cpu_seconds(command, Path(folder)) for _ in range(RUNS + 1))


def main() -> None:
    """Print the figures beside what is wanted."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    print(f"least of {RUNS} runs, Python {sys.version.split()[0]}")
    large = warm("deepseek-v3", "h200-sxm", "fp8-block", 8, devices=8, tp=1, dp=8, pp=1, ep=8)
    small = warm("llama-3.1-8b", "h100-sxm", "fp8-tensor", 1, devices=1, tp=1, dp=1, pp=1, ep=1)
    print(f"one warm estimate, deepseek-v3 on 8 × h200-sxm: {large * 1e3:.1f} ms CPU (wanted 2)")
    print(f"one warm estimate, llama-3.1-8b on h100-sxm: {small * 1e3:.1f} ms CPU (wanted 2)")
    print(f"plan estimate, whole process: {process() * 1e3:.0f} ms CPU (wanted 250)", flush=True)
    asked = estimate_questions(100_000)
    cost = measured(lambda: answers(asked, workers=CORES))
    print(f"100,000 estimates, {CORES} processes: {cost.told(100_000)} (wanted 5 s)")


if __name__ == "__main__":
    main()
