"""What a laboratory's measured choices say of ours: rank, first pick and level, group by group.

    $ python benchmarks/gpustack_groups.py DIR [--all]

DIR has ``e2e_gpustack.csv``. A group is one model, number of devices, device and workload (lengths,
requests, requests in flight) that three or more different configurations (commands) ran. In each
the script compares output tokens/s predicted by the law of ``plan validate`` with those measured:
Spearman's rank correlation, the measured rate of our first over the measured best, the same of the
first that the laboratory ran, and predicted over measured. Levels are those of every predicted run
that is not excluded, apart for bursts and for loads at rest. Nothing is fitted to any of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from evaluation.tiers import rank_correlation  # noqa: E402
from planner.lab.validation.e2e_gpustack import predict_rows  # noqa: E402
from planner.lab.validation.grouping import quantile  # noqa: E402
from planner.lab.validation.reader import read_directory  # noqa: E402
from planner.lab.validation.records import EXCLUDED, Outcome  # noqa: E402

TABLE = "e2e_gpustack"
FEWEST = 3


@dataclass(frozen=True, slots=True)
class TimedRun:
    """A run: ``place`` in the table, the ``command`` that started the server, output tokens/s
    predicted and measured."""

    place: int
    group: tuple[str, ...]
    command: str
    predicted: float
    measured: float
    regime: str
    software: str
    metrics: Mapping[str, float]

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted / self.measured


@dataclass(frozen=True, slots=True)
class GroupScore:
    """A group of ``n`` configurations: Spearman's ``rho`` (None where all predictions tie), the
    measured rate of our ``first`` and of the laboratory's over the best, and the median level."""

    name: str
    n: int
    rho: float | None
    first: float
    lab_first: float
    level: float


def runs_of(rows: Sequence[Mapping[str, str]]) -> list[TimedRun]:
    """Runs with a predicted rate that are not excluded, in the order of the table."""
    by_run: dict[str, dict[str, Outcome]] = {}
    for outcome in predict_rows(TABLE, rows):
        if outcome.predicted is not None:
            by_run.setdefault(rows[outcome.row]["run_id"], {})[outcome.metric] = outcome
    runs = []
    for outcomes in by_run.values():
        rate = outcomes.get("throughput")
        if rate is None or rate.predicted is None or rate.regime.startswith(EXCLUDED):
            continue
        row = rows[rate.row]
        family = row["run_id"].partition("#")[0].partition("/")[0]
        load = (row["num_requests"], row["max_concurrency"], row["profile"])
        lengths = tuple(f"{round(float(row[name]), -1):.0f}" for name in ("isl_mean", "osl_mean"))
        group = (family, rate.device, row["device"], *load, *lengths)
        metrics = {
            name: o.predicted / o.measured
            for name, o in outcomes.items()
            if o.predicted is not None and not o.regime.startswith(EXCLUDED)
        }
        runs.append(
            TimedRun(
                rate.row,
                group,
                " ".join(row["command"].split()),
                rate.predicted,
                rate.measured,
                rate.regime,
                rate.software,
                metrics,
            )
        )
    return runs


def scores(runs: Iterable[TimedRun]) -> list[GroupScore]:
    """Groups of FEWEST configurations or more; of repeats of one the first counts."""
    groups: dict[tuple[str, ...], dict[tuple[str, str], TimedRun]] = {}
    for run in runs:
        groups.setdefault(run.group, {}).setdefault((run.software, run.command), run)
    found = []
    for key, members in sorted(groups.items()):
        some = list(members.values())
        if len(some) < FEWEST:
            continue
        best = max(run.measured for run in some)
        ours = max(some, key=lambda run: run.predicted)
        lab = min(some, key=lambda run: run.place)
        predicted = [run.predicted for run in some]
        rho = (
            rank_correlation(predicted, [run.measured for run in some])
            if len(set(predicted)) > 1
            else None
        )
        name = f"{key[0]}, {key[1]}, {key[-2]} / {key[-1]}, {key[3]} requests"
        found.append(
            GroupScore(
                name,
                len(some),
                rho,
                ours.measured / best,
                lab.measured / best,
                median(run.ratio for run in some),
            )
        )
    return found


def level_line(name: str, values: Iterable[float]) -> str:
    """Predicted over measured: number, median, geometric mean, what 80 % lie within."""
    ordered = sorted(values)
    if not ordered:
        return f"| {name} | 0 | - | - | - |"
    mean = exp(sum(map(log, ordered)) / len(ordered))
    return (
        f"| {name} | {len(ordered)} | {quantile(ordered, 0.5):.2f} | {mean:.2f} | "
        f"{quantile(ordered, 0.1):.2f} to {quantile(ordered, 0.9):.2f} |"
    )


def page(runs: Sequence[TimedRun]) -> str:
    """Both tables, as Markdown."""
    groups = scores(runs)
    lines = [
        "| group | runs | ρ | our first ÷ best | lab's first ÷ best | predicted ÷ measured |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {g.name} | {g.n} | {'-' if g.rho is None else f'{g.rho:+.2f}'} | {g.first:.2f} | "
        f"{g.lab_first:.2f} | {g.level:.2f} |"
        for g in groups
    ]
    if groups:
        rhos = [g.rho for g in groups if g.rho is not None]
        lines.append(
            f"| median of {len(groups)} | | {median(rhos):+.2f} | "
            f"{median(g.first for g in groups):.2f} | {median(g.lab_first for g in groups):.2f} | |"
        )
    lines += [
        "",
        "| level, predicted ÷ measured | runs | median | geometric mean | 80 % within |",
        "|---|---:|---:|---:|---:|",
    ]
    for regime, word in (("burst", "bursts"), ("aggregated", "loads at rest")):
        some = [run for run in runs if run.regime == regime]
        for metric in ("throughput", "ttft", "tpot"):
            values = [run.metrics[metric] for run in some if metric in run.metrics]
            lines.append(level_line(f"{word}, {metric}", values))
    devices = sorted({(run.group[1], run.software.split()[0]) for run in runs})
    for device, engine in devices:
        mine = [
            run.ratio for run in runs if (run.group[1], run.software.split()[0]) == (device, engine)
        ]
        lines.append(level_line(f"throughput, {device}, {engine}", mine))
    return "\n".join(lines)


def main() -> None:
    """Print both tables of the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="also print every run")
    given = parser.parse_args()
    tables = [t for t in read_directory(given.folder) if t.name == TABLE and t.rows]
    runs = [run for t in tables for run in runs_of(list(t.rows or ()))]
    print(page(runs))
    if given.all:
        for run in runs:
            print(f"{run.ratio:.2f} {run.regime} {run.group[0]} {run.software}: {run.command}")


if __name__ == "__main__":
    main()
