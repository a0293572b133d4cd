"""``python -m evaluation.replay``: formulas beside the scheduler, pass by pass, where both speak.

A deployment in a closed loop (``planner.serve``) at a low, a middle and a high load, the open
arrivals of its rate by ``planner.capacity`` and by its formulas alone, and the same rate replayed
(``planner.replay``): means, and the 90th percentile, which a closed loop does not tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import planner
from evaluation.pages import moved, publish
from evaluation.report import table
from planner.base.errors import PlannerError
from planner.sizing.service_level import TPOT, TTFT

PAGE = Path("docs/evidence/replay.md")
COUNT = 3000
BEYOND = 0.05
"""From which on a formula is told to be off."""
LOADS = {"low": 2, "middle": 16, "high": 64}
"""Requests in flight a rank."""
DEPLOYMENTS: dict[str, dict[str, Any]] = {
    "dense": {"model": "llama-3.1-8b", "device": "h100-sxm", "tp": 1, "scheme": "bf16"},
    "experts": {"model": "qwen3-30b-a3b", "device": "h200-sxm", "tp": 1, "scheme": "bf16"},
    "attention ranks": {
        "model": "qwen3-30b-a3b",
        "device": "h200-sxm",
        "tp": 1,
        "dp": 4,
        "ep": 4,
        "scheme": "bf16",
    },
}
WORK: dict[str, Any] = {"isl": 1000, "osl": 250, "context": 1250, "kv": "bf16", "engine": "vllm"}


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure [s] by a formula (None: it has none, and why) and by the replay."""

    deployment: str
    load: str
    rate: float
    figure: str
    formula: str
    predicted: float | None
    replayed: float

    @property
    def off(self) -> float | None:
        """Formula ÷ replay − 1."""
        return None if self.predicted is None else self.predicted / self.replayed - 1


def compared() -> Iterator[Compared]:
    """Every deployment at every load."""
    for name, given in DEPLOYMENTS.items():
        ranks = given["tp"] * given.get("dp", 1)
        asked = {**WORK, **given, "devices": ranks}
        for load, each in LOADS.items():
            point = planner.serve(**asked, concurrency=each * ranks).point
            assert point is not None
            rate = round(point.output_tokens_per_second / WORK["osl"], 4)
            times = planner.replay(**asked, rate=rate, count=COUNT).replay.percentiles
            tpot, ttft = times.tpot_seconds, times.ttft_seconds
            yield Compared(
                name, load, rate, "TPOT mean", "serve", point.tpot_seconds, tpot.mean.value
            )
            yield Compared(
                name, load, rate, "TTFT mean", "serve", point.ttft_seconds, ttft.mean.value
            )
            sized = _sized(asked, rate)
            for figure, of, value in (
                ("TPOT mean", "mean_tpot_seconds", tpot.mean.value),
                ("TTFT mean", "mean_ttft_seconds", ttft.mean.value),
                ("TPOT p90", "tpot_seconds", tpot.p90.value),
                ("TTFT p90", "ttft_seconds", ttft.p90.value),
            ):
                predicted = getattr(sized, of, None)
                if predicted is not None and not isinstance(predicted, float):
                    predicted = predicted.value
                yield Compared(name, load, rate, figure, "capacity", predicted, value)
                check = getattr(sized, "replay", None)
                what = {"tpot_seconds": TPOT, "ttft_seconds": TTFT}.get(of)
                if what is not None and check is not None:
                    # What the formulas alone said, before the replay took their place.
                    off = 1.0 + (check.off[what] if check.replaced else 0.0)
                    yield Compared(
                        name, load, rate, figure, "capacity's formulas", predicted * off, value
                    )


def _sized(asked: dict[str, Any], rate: float) -> Any:
    """What ``planner.capacity`` says of one replica at ``rate``; None where it wants more."""
    given = {k: v for k, v in asked.items() if k not in ("scheme", "devices")}
    try:
        answer = planner.capacity(
            **given, schemes=[asked["scheme"]], rate=rate, ttft_seconds=300.0, tpot_seconds="none"
        )
    except PlannerError:
        return None
    return answer if answer.devices == asked["devices"] else None


def page(rows: list[Compared]) -> str:
    """The page: medians by formula and figure, every row as data."""
    told: list[tuple[Any, ...]] = []
    for formula, figure in dict.fromkeys((r.formula, r.figure) for r in rows):
        mine = [r for r in rows if (r.formula, r.figure) == (formula, figure)]
        known = [r.off for r in mine if r.off is not None]
        beyond = [r for r in mine if r.off is not None and abs(r.off) > BEYOND]
        where = ", ".join(f"{r.deployment} {r.load} ({r.off:+.0%})" for r in beyond) or "nowhere"
        told.append((f"{formula}, {figure}", len(known), where))
    every: list[tuple[Any, ...]] = [
        (
            r.deployment,
            r.load,
            f"{r.rate:g}",
            f"{r.formula}, {r.figure}",
            "–" if r.predicted is None else f"{r.predicted * 1e3:.2f}",
            f"{r.replayed * 1e3:.2f}",
            "–" if r.off is None else f"{r.off:+.1%}",
        )
        for r in rows
    ]
    head = ("deployment", "load", "requests/s", "figure", "formula [ms]", "replay [ms]", "off")
    return "\n".join(
        [
            "# Formulas beside the replay",
            "",
            "`planner.serve` (a closed loop) and `planner.capacity` (Poisson arrivals) beside "
            "`planner.replay` with vLLM's scheduler. Capacity searches by formulas and replays "
            "what it chooses; where they are more than 5 % off, its times are the replay's. "
            f"{COUNT:,} requests of {WORK['isl']:,} and {WORK['osl']} tokens at the rate of the "
            f"closed loop with {', '.join(map(str, LOADS.values()))} requests in flight a rank. A "
            "closed loop has no arrivals: its TTFT is that of requests that follow each other. "
            "Made by `python -m evaluation.replay`.",
            "",
            *table(("formula", "figures", f"more than {BEYOND:.0%} off"), told),
            "",
            moved("replay-formulas", "Every figure", table(head, every)),
            "",
        ]
    )


def main() -> None:
    """Write the page."""
    publish(PAGE, page(list(compared())))


if __name__ == "__main__":
    main()
