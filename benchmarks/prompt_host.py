"""``python benchmarks/prompt_host.py DIR``: what an engine makes of prompts and its host's costs,
read off the rows of ``e2e_silicon*.csv`` in DIR, as in planner/throughput/data/engine_policy.toml.

Of grids, those with the least mean |log(predicted/measured)| of TPOT and a third of that of TTFT:
for an engine the factor on what a prompt adds to a pass and the host's time a sequence that is not
hidden; for an engine and kind of model the time of handling; for each version the floor a layer.
The last columns score every model with figures that were read off the others alone: a version that
no other model was served with takes the median floor of those that were.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from pathlib import Path
from statistics import fmean, median

from planner.lab.validation.e2e_silicon import ServedRow, resolved
from planner.lab.validation.reader import read_directory
from planner.lab.validation.records import EXCLUDED, NotCoveredError
from planner.lab.validation.served import serve, spec_of
from planner.throughput.engine_policy import PromptHost, with_prompt_host
from planner.throughput.scheduling import Scheduling

FACTORS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
EXPOSED_US = (0, 2, 4, 6, 10, 15)
FLOORS_US = (0, 250, 500, 750, 1000, 1500, 2000, 2500, 3000, 4000)
HANDLING_US = (5_000, 10_000, 20_000, 30_000, 40_000, 60_000)
TTFT_WEIGHT = 0.3
MOST = 1.0
"""A log ratio of TTFT counts at most this: some runs wait for something that is not modelled."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Constants of an engine and kind of model; ``floors`` in microseconds a layer by version."""

    factor: float
    exposed_us: float
    handling_us: float
    floors: Mapping[str, float]

    def floor(self, version: str) -> float:
        """Of ``version``, or the median of those known."""
        return self.floors.get(version, median(self.floors.values()) if self.floors else 0.0)


Scores = list[tuple[float, float]]


def version_of(row: ServedRow) -> str:
    """The version that a row states."""
    return row.software.partition(" ")[2]


def policy_of(row: ServedRow, figures: Figures) -> Scheduling:
    """The row's policy with ``figures`` in place of those of its rules."""
    host = PromptHost(
        figures.floor(version_of(row)) * 1e-6,
        figures.handling_us * 1e-6,
        0.0,
        "",
        figures.factor,
    )
    return replace(
        with_prompt_host(row.policy, host, spec_of(row.case.model).layers),
        exposed_seconds_per_sequence=figures.exposed_us * 1e-6,
    )


def scores(rows: Iterable[ServedRow], figures: Figures | None) -> Scores:
    """(log ratio of TPOT, of TTFT) of the rows that are served at all; by the rules as they stand
    without ``figures``."""
    out = []
    for row in rows:
        policy = row.policy if figures is None else policy_of(row, figures)
        try:
            found = serve(row.case, policy, row.concurrency, requests=row.requests, alike=row.alike)
        except NotCoveredError:
            continue
        out.append((log(found.tpot / row.tpot), log(found.ttft / row.ttft)))
    return out


def error(found: Scores) -> float:
    """What the figures are read off by: the sum over rows."""
    return sum(abs(t) + TTFT_WEIGHT * min(abs(f), MOST) for t, f in found)


def read_off(rows: Sequence[ServedRow]) -> Figures:
    """The best figures of one engine and kind of model, one after the other until none moves."""
    versions: dict[str, list[ServedRow]] = {}
    for row in rows:
        versions.setdefault(version_of(row), []).append(row)
    best = Figures(1.0, 0.0, 20_000, dict.fromkeys(versions, 500.0))
    while True:
        before = best
        floors = {
            name: min(
                FLOORS_US,
                key=lambda floor, name=name, best=best: error(
                    scores(versions[name], replace(best, floors={name: float(floor)}))
                ),
            )
            for name in versions
        }
        best = replace(best, floors=floors)
        for field, grid in (
            ("handling_us", HANDLING_US),
            ("factor", FACTORS),
            ("exposed_us", EXPOSED_US),
        ):
            tried = [replace(best, **{field: value}) for value in grid]
            best = min(tried, key=lambda figures: error(scores(rows, figures)))
        if best == before:
            return best


def rows_of(directory: Path) -> dict[tuple[str, bool], dict[str, list[ServedRow]]]:
    """Aggregated rows that count in headlines, or would but for what they supplied, by engine and
    kind of model, then by model."""
    found: dict[tuple[str, bool], dict[str, list[ServedRow]]] = {}
    for table in read_directory(directory):
        for i, raw in enumerate(table.rows or ()):
            if not table.name.startswith("e2e_silicon"):
                continue
            try:
                row = resolved(i, raw)
            except NotCoveredError:
                continue
            if row.workers.prefill is not None or (
                row.regime.startswith(EXCLUDED) and "supplied" not in row.regime
            ):
                continue
            spec = spec_of(row.case.model)
            key = row.case.engine, spec.experts is not None
            found.setdefault(key, {}).setdefault(spec.id, []).append(row)
    return found


def shown(found: Scores) -> str:
    """Median and mean |error| of TPOT and of TTFT in percent, and TPOT's signed median."""
    columns = [[exp(v) - 1 for v in column] for column in zip(*found, strict=True)]
    text = [f"{100 * median(map(abs, c)):.1f} / {100 * fmean(map(abs, c)):.1f}" for c in columns]
    return f"TPOT {text[0]} ({100 * median(columns[0]):+.1f}), TTFT {text[1]}"


def main(directory: str) -> None:
    """Print the figures of every engine and kind of model, and the scores of every model."""
    for (engine, experts), models in sorted(rows_of(Path(directory)).items()):
        every = [row for rows in models.values() for row in rows]
        print(f"{engine} {'moe' if experts else 'dense'}: {read_off(every)}")
        for model, rows in sorted(models.items()):
            others = [row for other, rest in models.items() if other != model for row in rest]
            print(f"  {model} ({len(rows)} rows), rules as they are: {shown(scores(rows, None))}")
            if others:
                left_out = read_off(others)
                print(f"    read off the others: {shown(scores(rows, left_out))}; {left_out}")


if __name__ == "__main__":
    main(sys.argv[1])
