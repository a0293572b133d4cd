"""Percentiles of `plan capacity` against the deployment played request by request.

    python benchmarks/capacity.py [--by-hand] [--requests 2500] [--rows]

Four replicas, three routers, loads of 30, 60, 85 and 95 % of the most that they serve: ranks with
steps by hand, then (without --by-hand: minutes) of the recommended formats of models on devices, on
the layout of the best rate a device. Prints (formula − played) / played of TTFT and TPOT at the
50th, 90th and 99th percentile: the tables of docs/evidence/capacity.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import numpy as np

from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.solve import decide_or_refuse
from planner.planning.question.input import QuestionInput
from planner.scheduler.rules import ROUTERS
from planner.sizing.deployable import deployables
from planner.sizing.level import percentile_times
from planner.sizing.rank import ServedRank
from planner.sizing.replicas import saturation_rate
from planner.throughput.scheduling import Scheduling

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent)]
CASES = (
    ("llama-3.1-8b", "l40s", "vllm", "chat"),
    ("llama-3.1-70b", "h100-sxm", "vllm", "rag"),
    ("qwen3-30b-a3b", "h100-sxm", "sglang", "chat"),
    ("deepseek-v3", "h200-sxm", "sglang", "rag"),
    ("qwen3-32b", "h200-sxm", "tensorrt-llm", "chat"),
)
REPLICAS = 4
LOADS = (0.3, 0.6, 0.85, 0.95)
PERCENTILES = (50.0, 90.0, 99.0)


@dataclass(frozen=True)
class Row:
    """One percentile of one deployment: (formula, played) of TTFT and TPOT [s]."""

    case: str
    router: str
    load: float
    percentile: float
    ttft: tuple[float, float]
    tpot: tuple[float, float]


def by_hand() -> Iterator[tuple[str, ServedRank]]:
    """Ranks whose steps are a floor and a slope, with prompts of one cost."""
    from support.served_ranks import served_rank

    yield "short prompts, 64 slots", served_rank(osl=128, slots=64, together=4.0)
    yield "long prompts", served_rank(osl=96, slots=48, together=0.4, prompt=0.2)
    yield "prompts alone", served_rank(osl=128, slots=64, policy=Scheduling(exclusive=True))
    yield "two ranks in step", served_rank(osl=128, slots=48, ranks=2)
    yield "512 slots", served_rank(osl=512, slots=512, together=8.0)


def of_models() -> Iterator[tuple[str, ServedRank]]:
    """A rank of the recommended plan of every case."""
    for model, device, engine, workload in CASES:
        ask = QuestionInput(
            model=model, device=device, engine=engine, workload=workload, pp=1, tpot_seconds=0.05
        )
        decision = decide_or_refuse(ask.questions(), lambda ask=ask: unserved_case(ask))
        rival = decision.choice.option.rival
        one = deployables(rival, most=1)[0]
        yield f"{model} on {device}, {engine}, {workload}", one.rank


def rows(ranks: Iterator[tuple[str, ServedRank]], requests: int) -> Iterator[Row]:
    """Every percentile of every deployment that the formulas follow."""
    from support.played_queues import simulate

    for name, rank in ranks:
        most, servers = saturation_rate(rank), REPLICAS * rank.ranks
        for load, router in product(LOADS, ROUTERS):
            played = simulate(
                rank, load * most * servers, REPLICAS, router, requests=requests, seed=3
            )
            for percentile in PERCENTILES:
                found = percentile_times(rank, load * most, servers, router, percentile / 100)
                if found is not None:
                    ttft, tpot = played.at(percentile)
                    yield Row(
                        name, router, load, percentile, (found.ttft, ttft), (found.tpot, tpot)
                    )


def tables(found: list[Row]) -> Iterator[str]:
    """Errors by load and percentile, then of the 90th percentile by router and case."""
    yield "| load | percentile | n | TTFT: median, mean size, worst | TPOT: the same |"
    yield "|---:|---:|---:|---:|---:|"
    groups: dict[tuple[float, float], list[Row]] = defaultdict(list)
    for row in found:
        groups[row.load, row.percentile].append(row)
    for (load, percentile), some in sorted(groups.items()):
        yield (
            f"| {load:.0%} | {percentile:g} | {len(some)} | {told(some, 'ttft')} | "
            f"{told(some, 'tpot')} |"
        )
    yield ""
    yield "| 90th percentile, load up to 85 % | n | TTFT | TPOT |"
    yield "|---|---:|---:|---:|"
    for key in ("router", "case"):
        for name in dict.fromkeys(getattr(row, key) for row in found):
            some = [
                r
                for r in found
                if getattr(r, key) == name and r.percentile == 90.0 and r.load < 0.9
            ]
            yield f"| {name} | {len(some)} | {told(some, 'ttft')} | {told(some, 'tpot')} |"


def told(some: list[Row], metric: str) -> str:
    """Median, mean size and worst of (formula − played) / played."""
    off = np.array([getattr(row, metric)[0] / getattr(row, metric)[1] - 1 for row in some])
    worst = off[np.argmax(np.abs(off))]
    return f"{np.median(off):+.0%}, {np.abs(off).mean():.0%}, {worst:+.0%}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2500)
    parser.add_argument("--by-hand", action="store_true", help="ranks by hand alone")
    parser.add_argument("--rows", action="store_true", help="every row as well")
    asked = parser.parse_args()
    start = time.process_time()
    ranks = by_hand() if asked.by_hand else chain(by_hand(), of_models())
    found = list(rows(ranks, asked.requests))
    if asked.rows:
        for row in found:
            print(
                f"{row.case[:40]:40} {row.router:12} {row.load:.0%} p{row.percentile:g} "
                f"TTFT {row.ttft[0]:.3f}/{row.ttft[1]:.3f} s "
                f"TPOT {row.tpot[0] * 1e3:.2f}/{row.tpot[1] * 1e3:.2f} ms"
            )
    print("\n".join(tables(found)))
    print(f"\n{len(found)} rows, {time.process_time() - start:.0f} s CPU")


if __name__ == "__main__":
    main()
