"""``python -m benchmarks.intervals DIR…``: how 80 % intervals cover the served rows of the folders:
all rows by metric with the median width, groups (engine, device, class of model, class of layout)
of LEAST rows or more against the binomial 95 % range of 80 %, and classes one by one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import comb, hypot, log
from pathlib import Path
from statistics import median

from planner.lab.validation.records import Outcome
from planner.lab.validation.run import validate
from planner.planning.price.evidence import METRICS
from planner.planning.price.kinds import ServedKind
from planner.planning.price.measured_errors import common_sigmas, unmeasured_sigmas
from planner.planning.price.served_sigmas import interval

LEAST = 40
ONE_USER = "one user"
REGIMES = ("aggregated", "disaggregated", "published", ONE_USER, "window")
"""Steady loads: no runs of all requests at once, and no excluded rows."""
RATES = {"output_tokens_per_second", "total_tokens_per_second", "requests_per_second"}
OF_A_STEP = {"decode_tokens_per_second"}
"""Rates whose error is that of TPOT."""
OF_A_PROMPT = {"prefill_tokens_per_second"}
"""Rates whose error is that of TTFT where there is one user, and so no queue."""
INSIDE = 0.80
SPLITS: dict[str, Callable[[ServedKind], tuple[str, ...]]] = {
    "engine": lambda k: (k.engine,),
    "class of model": lambda k: (k.model,),
    "class of layout": lambda k: (k.layout,),
    "requests": lambda k: (k.requests,),
}


def metric_of(one: Outcome) -> str:
    """What plans call the row's metric; empty for what they do not tell."""
    if one.metric in RATES:
        return "throughput"
    if one.metric in OF_A_STEP:
        return "tpot"
    if one.metric in OF_A_PROMPT:
        return "ttft" if one.regime == ONE_USER else ""
    return one.metric if one.metric in METRICS else ""


def group_of(kind: ServedKind) -> tuple[str, ...]:
    """Engine, device, class of model and class of layout."""
    return kind.engine, kind.device, kind.model, kind.layout


def binomial_range(n: int) -> tuple[int, int]:
    """(fewest, most) of ``n`` rows that lie inside with INSIDE each, 2.5 % beyond either end."""
    below, low, high = 0.0, 0, n
    for k in range(n + 1):
        before, below = below, below + comb(n, k) * INSIDE**k * (1 - INSIDE) ** (n - k)
        if before <= 0.025 < below:
            low = k
        if before < 0.975 <= below:
            high = k
    return low, high


def with_widths(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Outcomes of a kind with the intervals that the data files give them now; others as they
    are."""
    out = []
    for one in outcomes:
        metric = metric_of(one)
        if one.predicted is not None and one.kind is not None and metric:
            off = common_sigmas(one.kind, one.model).plus(unmeasured_sigmas(one.kind))
            low, high = interval(one.predicted, hypot(one.operators, getattr(off, metric)))
            one = replace(one, low=low, high=high)
        out.append(one)
    return out


def scored(outcomes: Iterable[Outcome]) -> list[tuple[Outcome, ServedKind]]:
    """Rows of steady loads with a prediction of a kind, without the excluded ones."""
    return [
        (o, o.kind)
        for o in outcomes
        if o.predicted is not None and o.kind is not None and o.regime in REGIMES
    ]


def report(outcomes: Iterable[Outcome]) -> str:
    """What is said of them, in lines."""
    lines = []
    for metric in METRICS:
        rows = [(o, k) for o, k in scored(outcomes) if metric_of(o) == metric]
        if not rows:
            continue
        lines.append(f"{metric}: {_line([o for o, _ in rows])}")
        good, groups = 0, _split(rows, group_of)
        for key, some in groups.items():
            if len(some) < LEAST:
                continue
            low, high = binomial_range(len(some))
            fits = low <= sum(o.inside for o in some) <= high
            good += fits
            lines.append(f"  {' '.join(key)}: {_line(some)}{'' if fits else '  outside'}")
        large = sum(len(some) >= LEAST for some in groups.values())
        lines.append(f"  groups inside the range: {good} of {large}")
        for name, key_of in SPLITS.items():
            lines += [
                f"  by {name}, {' '.join(key)}: {_line(some)}"
                for key, some in _split(rows, key_of).items()
            ]
    return "\n".join(lines)


def _split(
    rows: Sequence[tuple[Outcome, ServedKind]], key_of: Callable[[ServedKind], tuple[str, ...]]
) -> dict[tuple[str, ...], list[Outcome]]:
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome, kind in sorted(rows, key=lambda row: key_of(row[1])):
        groups.setdefault(key_of(kind), []).append(outcome)
    return groups


def _line(rows: Sequence[Outcome]) -> str:
    """Rows, coverage, median error, and the median of high ÷ predicted."""
    inside = sum(o.inside for o in rows) / len(rows)
    off = median(abs(o.error_percent) for o in rows)
    signed = median(o.error_percent for o in rows)
    width = median(log(o.high / o.predicted) for o in rows if o.predicted)
    return (
        f"n {len(rows)}, inside {inside:.0%}, median {off:.1f} % off ({signed:+.1f}), "
        f"width {width:.3f}"
    )


def main(folders: Sequence[str]) -> None:
    """Print the report."""
    from benchmarks.evidence import served_tables

    outcomes: list[Outcome] = []
    for folder in map(Path, folders):
        outcomes += validate(folder, only=served_tables(folder)).outcomes
    print(report(outcomes))


if __name__ == "__main__":
    main(sys.argv[1:])
