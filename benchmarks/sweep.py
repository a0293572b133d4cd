"""What sweeps cost: many estimates, many plans, two Dask workers against one, and cost curves.

``python benchmarks/sweep.py [--part estimates,plans,dask,curves] [--plans 5000]`` prints wall and
CPU seconds (of this process and its children) beside the targets. CPU over cores is about the wall
time of a machine that nobody else uses; on a busy one it is the figure to read.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from planner.sweeping.sweep import answers

CORES = 2
SMALL = ("qwen2.5-0.5b", "llama-3.2-1b", "llama-3.1-8b", "qwen3-8b")
DEEPSEEK = ("deepseek-v3",)
LARGE = ("deepseek-v3", "qwen3-235b-a22b")
DEVICES = ("h100-sxm", "h200-sxm", "b200-sxm", "a100-sxm", "l40s")
PARTS = ("estimates", "plans", "dask", "curves")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a run."""

    wall: float
    cpu: float

    def told(self, count: int) -> str:
        """For people, with the time of one question."""
        return (
            f"{self.wall:.1f} s wall, {self.cpu:.1f} s CPU ({self.cpu / CORES:.1f} s on "
            f"{CORES} cores of its own); {self.cpu / count * 1e3:.3g} ms CPU a question"
        )


def measured(run: Callable[[], object]) -> Cost:
    """Wall and CPU seconds, processes that it starts included."""
    wall, cpu = time.perf_counter(), _cpu()
    run()
    return Cost(time.perf_counter() - wall, _cpu() - cpu)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def estimate_questions(count: int) -> list[dict[str, Any]]:
    """Estimates on given layouts: four models, five devices, two caches, two workloads, two layouts
    of tensor parallelism, and as many batches as make ``count``."""
    shapes = [
        (m, d, kv, isl, tp)
        for m in SMALL
        for d in DEVICES
        for kv in ("bf16", "int8-token")
        for isl in (1024, 4096)
        for tp in (1, 2)
    ]
    each = -(-count // len(shapes))
    return [
        {
            "verb": "estimate",
            "model": m,
            "device": d,
            "scheme": "bf16",
            "kv": kv,
            "isl": isl,
            "osl": 256,
            "devices": tp,
            "tp": tp,
            "dp": 1,
            "pp": 1,
            "ep": 1,
            "batch": batch,
        }
        for m, d, kv, isl, tp in shapes
        for batch in range(1, each + 1)
    ][:count]


def plan_questions(models: tuple[str, ...], count: int) -> list[dict[str, Any]]:
    """Plans with layouts and batch searched: models, devices, contexts and service levels in
    turn, ``count`` of them, all different."""
    levels = [{}, {"tpot_seconds": 0.05}, {"tpot_seconds": 0.03}, {"ttft_seconds": 1.0}]
    out = [
        {"model": m, "device": d, "context": context, **level}
        for context in range(2048, 2048 + 64 * (1 + count // 4), 64)
        for m in models
        for d in DEVICES
        for level in levels
    ]
    return out[:count]


def estimates(_: argparse.Namespace) -> None:
    """100,000 estimates in 5 s on two cores."""
    asked = estimate_questions(100_000)
    cost = measured(lambda: answers(asked, workers=CORES))
    print(f"100,000 estimates, {CORES} processes: {cost.told(100_000)} (wanted 5 s)", flush=True)


def plans(given: argparse.Namespace) -> None:
    """5,000 plans of small models in 5 minutes on two cores and of DeepSeek-V3 in 10, linear in
    questions."""
    for name, models, wanted in (
        ("small models", SMALL, 300),
        ("DeepSeek-V3", DEEPSEEK, 600),
        ("large models", LARGE, 600),
    ):
        for count in (given.plans // 4, given.plans // 2, given.plans):
            asked = plan_questions(models, count)
            cost = measured(lambda asked=asked: answers(asked, workers=CORES))
            print(
                f"{count} plans of {name}, {CORES} processes: {cost.told(count)}; 5,000 of "
                f"them {cost.cpu / count * 5000 / CORES:.0f} s (wanted {wanted} s)",
                flush=True,
            )


def dask(given: argparse.Namespace) -> None:
    """Two local Dask workers against one."""
    asked = plan_questions(SMALL, given.plans // 2)
    costs = [measured(lambda n=n: answers(asked, cluster="local", workers=n)) for n in (1, 2)]
    for n, cost in enumerate(costs, start=1):
        print(f"Dask, {n} local worker(s), {len(asked)} plans: {cost.told(len(asked))}")
    print(
        f"two against one: {costs[0].wall / costs[1].wall:.2f} in wall time (wanted 1.6), CPU "
        f"{costs[1].cpu / costs[0].cpu:.2f} × (1.00: nothing is lost to the second)",
        flush=True,
    )


def curves(_: argparse.Namespace) -> None:
    """Time against layers, schemes and questions, in this process."""
    layers = {"qwen2.5-0.5b": 24, "llama-3.1-8b": 32, "llama-3.1-70b": 80, "llama-3.1-405b": 126}
    print("plans against layers (one device, batch 8):")
    for model, count in layers.items():
        asked = [
            {
                "model": model,
                "device": "b300-sxm",
                "devices": 8,
                "tp": 8,
                "batch": 8,
                "context": 2048 + 64 * n,
            }
            for n in range(16)
        ]
        print(f"  {count:4d} layers: {_each(asked):7.1f} ms")
    print("plans against schemes (llama-3.1-8b, h100-sxm, layouts searched):")
    names = (
        "bf16",
        "fp8-tensor",
        "fp8-block",
        "int8-w8a8",
        "fp8-w8a16",
        "int4-w4a16",
        "fp16",
        "fp8-channel",
    )
    for count in (1, 2, 4, 8):
        asked = [
            {
                "model": "llama-3.1-8b",
                "device": "h100-sxm",
                "schemes": names[:count],
                "context": 2048 + 64 * n,
            }
            for n in range(16)
        ]
        print(f"  {count:4d} schemes: {_each(asked):6.1f} ms")
    print("estimates against questions (llama-3.1-8b, h100-sxm, one workload, batches):")
    for count in (1, 10, 100, 1000, 10_000):
        asked = [
            {
                "verb": "estimate",
                "model": "llama-3.1-8b",
                "device": "h100-sxm",
                "scheme": "fp8-tensor",
                "devices": 1,
                "tp": 1,
                "dp": 1,
                "pp": 1,
                "ep": 1,
                "isl": 1024,
                "osl": 256,
                "batch": n + 1,
            }
            for n in range(count)
        ]
        print(f"  {count:6,d} questions: {_each(asked):8.4f} ms each")


def _each(asked: list[dict[str, Any]]) -> float:
    """Milliseconds of CPU of a question, the least of three runs; the first fills caches."""
    answers(asked[:1])
    return min(measured(lambda: answers(asked)).cpu for _ in range(3)) / len(asked) * 1e3


def main() -> int:
    """The parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default=",".join(PARTS))
    parser.add_argument("--plans", type=int, default=5000)
    given = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    for part in given.part.split(","):
        {"estimates": estimates, "plans": plans, "dask": dask, "curves": curves}[part](given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
