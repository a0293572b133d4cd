"""docs/evidence/gains.md: what calibrated gains claim of pairs whose model was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gains_fit import Entry, GainPair, weights
from evaluation.pages import moved, narrow
from planner.planning.choose.calibrated import (
    DIFFERENCES,
    EASY,
    MEASURED,
    NONE,
    RELATED,
    SEVERAL,
    calibration,
    interval,
    probability_above,
)

BINS = ((0.9, 1.0), (0.7, 0.9), (0.5, 0.7))
WANTED = {0.9: 0.88, 0.7: 0.7, 0.5: 0.5}
"""The least right share of a bin by the least that it claims."""
HEAD = """# What a predicted gain is worth

Pairs of measured configurations of one model, device and load whose rates are predicted too: how
often is the one that is predicted to be better really better? *log measured = β × log predicted*
with a Student-t around it is fitted over families that weigh alike; each pair is judged by entries
without its own family. *measured*: both sides are served rows; *related*: a laboratory's pages and
other published tables; *none*: a side without a served row of its kind. Nothing that predicts a
rate is fitted to these rows. Made by `python -m benchmarks.gains DIR…`.
"""
RELIABILITY = """
*Right*: the share in which the first was better; *alike*: families and their pages weigh alike.
Wanted: 0.88 and more where 0.9 and more is claimed, 0.7 and more where 0.7 to 0.9 is.
"""
ENDING = """
Pairs that differ in requests in flight are nearly all right, because their gains are large; with
as many requests and devices hardly any pair is claimed at 0.9. *Measured* rests on five families
on H100, H200 and B200. Claims of level *related* are
right more often than they say, and their intervals hold too few gains. *None* stands
for what nobody measured, such as INT8 caches.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A pair with what was claimed of it by others' pairs: the probability that the first is
    better, and whether the measured gain lies in the interval."""

    pair: GainPair
    claimed: float
    inside: bool


def claims(pairs: Iterable[GainPair], level: str) -> list[Asked]:
    """Every pair at ``level``, by the entries without its model."""
    made = []
    for pair in pairs:
        worth = calibration(pair.unlike, level, min(pair.models))
        low, high = interval(pair.predicted, worth)
        made.append(
            Asked(pair, probability_above(pair.predicted, 0.0, worth), low <= pair.measured <= high)
        )
    return made


def page(pairs: Sequence[GainPair], lines: Iterable[Entry]) -> str:
    """The page; ``lines`` are the entries that leave nothing out."""
    groups = {
        "measured": claims([p for p in pairs if p.level == MEASURED], MEASURED),
        "related": claims([p for p in pairs if p.level == RELATED], RELATED),
        "none": claims([p for p in pairs if p.unserved and p.unlike - EASY], NONE),
    }
    every = [
        line
        for name, choose in SUBSETS.items()
        for line in (f"## {name}", "", *_reliability(groups, choose), "")
    ]
    text = [
        HEAD,
        *narrow(_reliability(groups, lambda pair: True), (0, 1, 2, 3, 5, 7)).splitlines(),
        RELIABILITY,
        moved("gains-claims", "All claims, also with as many requests and devices", every),
        moved("gains-calibration", "β, σ and ν by difference", _calibrations(lines)),
        moved("gains-intervals", "Inside the 80 % interval", _coverage(groups)),
        ENDING,
    ]
    return "\n".join(text).rstrip("\n") + "\n"


SUBSETS: dict[str, Callable[[GainPair], bool]] = {
    "All pairs": lambda pair: True,
    "As many requests in flight": lambda pair: "batch" not in pair.unlike,
    "As many requests in flight and devices": lambda pair: not pair.unlike & EASY,
}


def _calibrations(lines: Iterable[Entry]) -> list[str]:
    text = [
        "| difference | level | β | σ | slope | ν | pairs | models | sign right | from |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for e in lines:
        c = e.calibration
        text.append(
            f"| {e.difference} | {e.level} | {c.beta:.2f} | {c.sd:.3f} | {c.slope:.2f} | "
            f"{c.nu:g} | {c.pairs:,} | {c.models} | {e.right:.2f} | {e.source} |"
        )
    return text


def _reliability(groups: dict[str, list[Asked]], choose: Callable[[GainPair], bool]) -> list[str]:
    text = [
        "| level | claimed | pairs | families | mean claim | right | mean claim, alike | "
        "right, alike | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for name, members in groups.items():
        for low, high in BINS:
            some = [
                one
                for one in members
                if choose(one.pair) and low <= one.claimed and (one.claimed < high or high == 1.0)
            ]
            if some:
                text.append(f"| {name} | {low:g} to {high:g} | {_shares(some, low)} |")
    return text


def _shares(some: Sequence[Asked], low: float) -> str:
    weight = weights([one.pair for one in some]) / len(some)
    claimed = np.array([one.claimed for one in some])
    right = np.array([one.pair.measured > 0 for one in some], dtype=float)
    families = len({one.pair.family for one in some})
    alike = float(weight @ right)
    missed = "missed" if min(float(right.mean()), alike) < WANTED[low] else ""
    return (
        f"{len(some):,} | {families} | {claimed.mean():.2f} | {right.mean():.2f} | "
        f"{float(weight @ claimed):.2f} | {alike:.2f} | {missed}"
    )


def _coverage(groups: dict[str, list[Asked]]) -> list[str]:
    text = ["| difference | level | pairs | inside | inside, alike |", "|---|---|---:|---:|---:|"]
    for name, members in groups.items():
        for kind in ("all", *DIFFERENCES, SEVERAL):
            some = [one for one in members if kind in ("all", one.pair.kind)]
            if some:
                weight = weights([one.pair for one in some]) / len(some)
                inside = np.array([one.inside for one in some], dtype=float)
                text.append(
                    f"| {kind} | {name} | {len(some):,} | {inside.mean():.2f} | "
                    f"{float(weight @ inside):.2f} |"
                )
    return text
