"""Mixes of requests, sized as a stream of one length, against the mix played request by request.

    python benchmarks/mixes.py [--requests 2500] [--rows]

Four replicas of four kinds of rank with steps by hand, three mixes, two routers, loads of 30, 60
and 85 % of the most that they serve. Prints (told − played) / played of TTFT and TPOT at the 90th
percentile, of all requests and of the kind with the longest prompts: the table of
docs/evidence/capacity.md, Mixes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from planner.sizing.level import percentile_times
from planner.sizing.mix import RequestKind, RequestMix, equivalent_request, tpot_variance
from planner.sizing.rank import ServedRank
from planner.sizing.replicas import saturation_rate
from planner.throughput.scheduling import Scheduling

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent)]
REPLICAS, PERCENTILE = 4, 90.0
LOADS = (0.3, 0.6, 0.85)
ROUTERS = ("least-loaded", "random")
MIXES = {
    "chat, a fifth RAG": ((0.8, 0.125, 160), (0.2, 1.0, 160)),
    "many short, few long": ((0.9, 0.1, 60), (0.1, 1.0, 300)),
    "long prompts, short answers": ((0.5, 0.2, 200), (0.5, 1.0, 50)),
}
"""(share, prompt of the longest, tokens of the answer) of two kinds, that of long prompts last."""


@dataclass(frozen=True)
class MixedRow:
    """Errors of one deployment: of all requests and of the longest kind, (TTFT, TPOT) each."""

    rank: str
    mix: str
    router: str
    load: float
    every: tuple[float, float]
    longest: tuple[float, float]


def ranks() -> Iterator[tuple[str, ServedRank]]:
    """Ranks whose steps are a floor and a slope; the prompts of one are the longest of a mix."""
    from support.served_ranks import served_rank

    yield "short prompts", served_rank(osl=128, slots=64, together=4.0)
    yield "long prompts", served_rank(osl=96, slots=48, together=0.4, prompt=0.2)
    yield "prompts alone", served_rank(osl=128, slots=64, policy=Scheduling(exclusive=True))
    yield "two ranks in step", served_rank(osl=128, slots=48, ranks=2)


def rows(requests: int) -> Iterator[MixedRow]:
    """Every deployment."""
    from support.played_queues import SimulatedKind, simulate

    for (rank_name, rank), (mix_name, kinds) in product(ranks(), MIXES.items()):
        mix = RequestMix(tuple(RequestKind("", share, 1, osl, 1) for share, _, osl in kinds))
        costs = [size for _, size, _ in kinds]
        osl, each = equivalent_request(mix, costs, len(kinds) - 1)
        stream = replace(rank, osl=osl, uneven=tpot_variance(mix, costs))
        for router, load in product(ROUTERS, LOADS):
            rate, servers = load * saturation_rate(stream), REPLICAS * rank.ranks
            told = percentile_times(stream, rate, servers, router, PERCENTILE / 100)
            played = simulate(
                stream,
                rate * each * servers,
                REPLICAS,
                router,
                requests=requests,
                seed=3,
                kinds=[SimulatedKind(*kind) for kind in kinds],
            )
            if told is not None:
                off = [
                    tuple(
                        value / float(np.percentile(found[where], PERCENTILE)) - 1
                        for value, found in ((told.ttft, played.ttft), (told.tpot, played.tpot))
                    )
                    for where in (slice(None), played.kind == len(kinds) - 1)
                ]
                yield MixedRow(
                    rank_name,
                    mix_name,
                    router,
                    load,
                    (off[0][0], off[0][1]),
                    (off[1][0], off[1][1]),
                )


def tables(found: Sequence[MixedRow]) -> Iterator[str]:
    """Errors by rank, by mix, by router and by load."""
    yield "| | n | TTFT, all | TTFT, longest kind | TPOT, all | TPOT, longest kind |"
    yield "|---|---:|---:|---:|---:|---:|"
    for key in ("rank", "mix", "router", "load"):
        for name in dict.fromkeys(getattr(row, key) for row in found):
            some = [row for row in found if getattr(row, key) == name]
            cells = [
                told([getattr(row, which)[i] for row in some])
                for i in (0, 1)
                for which in ("every", "longest")
            ]
            label = f"{name:.0%} load" if key == "load" else name
            yield f"| {label} | {len(some)} | " + " | ".join(cells) + " |"


def told(off: Sequence[float]) -> str:
    """Median, lowest and highest."""
    return f"{np.median(off):+.0%} ({min(off):+.0%} to {max(off):+.0%})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2500)
    parser.add_argument("--rows", action="store_true", help="every row as well")
    asked = parser.parse_args()
    start = time.process_time()
    found = list(rows(asked.requests))
    if asked.rows:
        for row in found:
            print(
                f"{row.rank:18} {row.mix:28} {row.router:12} {row.load:.0%} "
                f"all {row.every[0]:+.0%} {row.every[1]:+.0%} "
                f"longest {row.longest[0]:+.0%} {row.longest[1]:+.0%}"
            )
    print("\n".join(tables(found)))
    print(f"\n{len(found)} rows, {time.process_time() - start:.0f} s CPU")


if __name__ == "__main__":
    main()
