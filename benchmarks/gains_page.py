"""docs/evidence/gains.md: what calibrated gains claim of pairs whose model was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gains_fit import Entry, GainPair, weights
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

Written by `python -m benchmarks.gains DIR…`, which takes every pair of measured configurations of
one source, model, device, load and lengths whose output tokens/s of a device are predicted too,
and fits *log measured = β × log predicted*, with a Student-t around it whose scale is √(σ² +
(slope × log predicted)²). Families of models weigh alike (models of one shape are one family),
and in each its pages. β is at most 1, spreads are widened by √(1 + 1/families), and the degrees
of freedom ν are those with the best log density of families that were left out: residuals have
fat tails, because an engine now and then runs another kernel than it is thought to. Nothing that
predicts a rate is fitted to any of these rows. The figures are data
(`planner/planning/data/gain_calibration.csv`), with an entry for each model that leaves out its
own family.

*measured*: both sides are rows of served deployments (`e2e_silicon*`); *related*: a laboratory's
pages and other published tables; *none*: pairs of the latter in which one side had no served row
of its engine, architecture, class of model and layout. Weaker levels are never surer than
stronger ones. Where no pairs differ in one thing alone, those that differ in more stand for it.
"""
RELIABILITY = """
## What claims were worth

Each pair is asked of entries without its model's family: how likely is the first, which is
predicted to be better, better at all? Right: the share in which it was; alike: the same with
families, and their pages, weighing alike. A pair is one of many of the same rows, so that the
numbers of pairs say less than those of families. Wanted: 0.88 right and more where 0.9 and more
is claimed, 0.7 and more where 0.7 to 0.9 is.
"""
ENDING = """
## What it rests on, and where it misses

- Pairs that differ in requests in flight are nearly all told right, because their gains are large;
  the tables with as many requests in flight say more of a choice of engine, format or layout. With
  as many devices too, hardly any pair is claimed at 0.9 and more.
- Level *measured* has five families of models on H100, H200 and B200. Pairs that differ in an
  engine's version, or in a format, come from two of them; a cache's layout never differs alone.
- Level *related* is too weak in its signs and too sure of its sizes: most of its pairs have the
  sign that was predicted although only 0.5 to 0.7 is claimed, and its intervals hold fewer than
  four of five gains between engines, formats and batches. What is predicted there is small beside
  what was measured, the same way on a whole page, and each kind rests on two to six families.
- Level *none* stands for every kind that nobody measured, INT8 caches and engines without rows
  among them, of which no pair says anything.
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
    text = [HEAD, *_calibrations(lines), RELIABILITY]
    for name, choose in SUBSETS.items():
        text += [f"### {name}", "", *_reliability(groups, choose), ""]
    text += ["## Inside the 80 % interval of the calibrated gain", "", *_coverage(groups), ENDING]
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
