"""Percentiles of `plan capacity` against the deployment played request by request.

    python benchmarks/capacity.py [--requests 4000] [--rows]

For models, devices, engines and workloads: the recommended formats on the layout of the best rate a
device, 1 and 8 replicas, three routers, loads of 30, 60, 85 and 95 % of the most that they serve.
Prints (formula − played) / played of TTFT and TPOT at the 50th, 90th and 99th percentile: the
tables of docs/evidence/capacity.md.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from planner.api.ask import Ask, best_found
from planner.planning.weigh.choose import choose
from planner.sizing.deployable import Deployable, deployables
from planner.sizing.level import ROUTERS, times
from planner.sizing.replicas import largest_rate
from planner.sizing.simulation import play

CASES = (
    ("llama-3.1-8b", "l40s", "vllm", "chat"), ("llama-3.1-70b", "h100-sxm", "vllm", "rag"),
    ("qwen3-30b-a3b", "h100-sxm", "sglang", "chat"),
    ("deepseek-v3", "h200-sxm", "sglang", "rag"),
    ("qwen3-32b", "h200-sxm", "tensorrt-llm", "chat"),
)
REPLICAS = (1, 8)
LOADS = (0.3, 0.6, 0.85, 0.95)
PERCENTILES = (50.0, 90.0, 99.0)


@dataclass(frozen=True)
class Row:
    """One percentile of one deployment: (formula, played) of TTFT and TPOT [s]."""

    case: str
    router: str
    replicas: int
    load: float
    percentile: float
    ttft: tuple[float, float]
    tpot: tuple[float, float]


def kinds() -> Iterator[tuple[str, Deployable]]:
    """The replica of every case."""
    for model, device, engine, workload in CASES:
        ask = Ask(model=model, device=device, engine=engine, workload=workload, pp=1,
                  tpot_seconds=0.05)
        found, others = best_found(ask.questions(), ask.case)
        rival = choose((found.grid, *others), found).option.rival
        one = deployables(rival, most=1)[0]
        rank = one.rank
        yield (f"{model} on {device}, {engine}, {workload} (tp{one.layout.tp} dp{one.layout.dp}, "
               f"{rank.slots} slots a rank)"), one


def rows(requests: int) -> Iterator[Row]:
    """Every percentile of every deployment."""
    for name, one in kinds():
        rank, most = one.rank, largest_rate(one.rank)
        for replicas in REPLICAS:
            servers = replicas * rank.ranks
            for load in LOADS:
                for router in ROUTERS:
                    if router != ROUTERS[0] and servers == 1:
                        continue
                    played = play(rank, load * most * servers, replicas, router,
                                  requests=requests, seed=11)
                    for percentile in PERCENTILES:
                        found = times(rank, load * most, servers, router, percentile / 100)
                        if found is None:
                            continue
                        ttft, tpot = played.at(percentile)
                        yield Row(name, router, replicas, load, percentile, (found.ttft, ttft),
                                  (found.tpot, tpot))


def errors(found: list[Row], metric: str) -> np.ndarray:
    """(formula − played) / played [N]."""
    return np.array([getattr(row, metric)[0] / getattr(row, metric)[1] - 1 for row in found])


def tables(found: list[Row]) -> Iterator[str]:
    """Errors by load and percentile, by router, by case."""
    yield "| load | percentile | n | TTFT: median, mean of sizes, worst | TPOT: the same |"
    yield "|---:|---:|---:|---:|---:|"
    groups: dict[tuple[float, float], list[Row]] = defaultdict(list)
    for row in found:
        groups[row.load, row.percentile].append(row)
    for (load, percentile), some in sorted(groups.items()):
        yield f"| {load:.0%} | {percentile:g} | {len(some)} | {told(some, 'ttft')} | " \
              f"{told(some, 'tpot')} |"
    yield ""
    yield "| at the 90th percentile | n | TTFT | TPOT |"
    yield "|---|---:|---:|---:|"
    for key in ("router", "replicas", "case"):
        names = dict.fromkeys(getattr(row, key) for row in found)
        for name in names:
            some = [r for r in found if getattr(r, key) == name and r.percentile == 90.0]
            label = f"{name} replica{'s' * (name > 1)}" if key == "replicas" else name
            yield f"| {label} | {len(some)} | {told(some, 'ttft')} | {told(some, 'tpot')} |"


def told(some: list[Row], metric: str) -> str:
    off = errors(some, metric)
    worst = off[np.argmax(np.abs(off))]
    return f"{np.median(off):+.1%}, {np.abs(off).mean():.1%}, {worst:+.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rows", action="store_true", help="every row as well")
    given = parser.parse_args()
    start = time.process_time()
    found = list(rows(given.requests))
    if given.rows:
        for row in found:
            print(f"{row.case[:40]:40} {row.router:12} x{row.replicas} {row.load:.0%} "
                  f"p{row.percentile:g} TTFT {row.ttft[0]:.3f}/{row.ttft[1]:.3f} "
                  f"TPOT {row.tpot[0] * 1e3:.2f}/{row.tpot[1] * 1e3:.2f}")
    print("\n".join(tables(found)))
    print(f"\n{len(found)} rows, {time.process_time() - start:.0f} s CPU")


if __name__ == "__main__":
    main()
