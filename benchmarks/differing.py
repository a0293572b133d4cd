"""``python benchmarks/differing.py DIR``: what does not cancel between two configurations of one
served model, from the rows of ``e2e_silicon*.csv`` in DIR, as
planner/planning/data/differing_errors.toml.

Rows of one group (software, model, device, format) at the same lengths are compared in pairs:
d = the difference of their log(measured/predicted). What is common to them (the engine, the model,
the kernels of the format) is not in d. From pairs on other layouts with as many requests comes the
σ of each of the two, |d| ÷ (1.2816 √2); from pairs on one layout that of d for twice the requests,
|d| ÷ (1.2816 √octaves). Both hold 80 % of the pairs, groups weighing alike. An entry ``without`` a
model rests on the others and serves it.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log, log2, sqrt
from pathlib import Path

from planner.lab.validation.records import Outcome
from planner.lab.validation.run import validate
from planner.planning.price.evidence import CLOSED_LOOPS
from planner.planning.price.measured_errors import Z80

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "planner" / "planning" / "data" / "differing_errors.toml"
INSIDE = 0.80


@dataclass(frozen=True)
class Served:
    """One served configuration: where, at which load, and log(measured/predicted) of its TPOT."""

    group: tuple[str, ...]
    layout: str
    requests: float
    lengths: tuple[str, str]
    residual: float


def served(outcomes: Iterable[Outcome], tables: Path) -> list[Served]:
    """Headline rows of engines that read prompts and decode on the same ranks."""
    known: dict[str, list[dict[str, str]]] = {}
    found = []
    for one in outcomes:
        if one.predicted is None or one.metric != "tpot" or one.regime != "aggregated":
            continue
        if not one.table.startswith(CLOSED_LOOPS):
            continue
        if one.table not in known:
            with (tables / f"{one.table}.csv").open(encoding="utf-8", newline="") as file:
                known[one.table] = list(csv.DictReader(file))
        row = known[one.table][one.row]
        found.append(
            Served(
                (one.software, one.model, one.device, one.format),
                row["parallelism"],
                float(row["concurrency"]),
                (row["isl"], row["osl"]),
                log(one.measured / one.predicted),
            )
        )
    return found


def pairs(rows: Sequence[Served]) -> tuple[dict[tuple[str, ...], list[float]], ...]:
    """(standardised differences between layouts, between loads on a layout) by group."""
    layouts, loads = defaultdict(list), defaultdict(list)
    groups = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    for group, some in groups.items():
        for a, b in combinations(some, 2):
            if a.lengths != b.lengths:
                continue
            size = abs(a.residual - b.residual) / Z80
            octaves = abs(log2(a.requests / b.requests))
            if a.layout == b.layout and octaves > 0:
                loads[group].append(size / sqrt(octaves))
            elif a.layout != b.layout and not octaves:
                layouts[group].append(size / sqrt(2))
    return layouts, loads


def holding(found: dict[tuple[str, ...], list[float]]) -> float:
    """The σ that holds INSIDE of the differences, groups weighing alike."""
    sizes = sorted((size, 1 / len(some)) for some in found.values() for size in some)
    left = INSIDE * len(found)
    for size, weight in sizes:
        left -= weight
        if left <= 0:
            return size
    return sizes[-1][0]


def entries(rows: Sequence[Served]) -> str:
    """The data file."""
    lines = [
        "# Written by `python benchmarks/differing.py DIR` from the headline rows of",
        "# e2e_silicon_shared.csv and e2e_silicon_shared_2.csv (served models of PyPI",
        "# aiconfigurator-core 0.12.0, NVIDIA, Apache-2.0). `groups`, `pairs`: its evidence.",
    ]
    for without in ("", *sorted({row.group[1] for row in rows})):
        layouts, loads = pairs([row for row in rows if row.group[1] != without])
        lines += [
            "[[entry]]",
            f'without = "{without}"',
            f"layout_sigma = {holding(layouts):.3f}",
            f"octave_sigma = {holding(loads):.3f}",
            f"layout_groups = {len(layouts)}",
            f"layout_pairs = {sum(map(len, layouts.values()))}",
            f"octave_groups = {len(loads)}",
            f"octave_pairs = {sum(map(len, loads.values()))}",
        ]
    return "\n".join(lines) + "\n"


def main(directory: str) -> None:
    """Write the data file."""
    outcomes = validate(directory, only="e2e_silicon").outcomes
    DATA.write_text(entries(served(outcomes, Path(directory))), encoding="utf-8")
    print(f"written: {DATA.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1])
