"""``python benchmarks/prompt_host.py DIR``: the host's cost of a prompt by engine, version and kind
of model, read off the rows of ``e2e_silicon*.csv`` in DIR at the lowest concurrencies, as the
entries of planner/throughput/data/engine_policy.toml.

One time of handling for an engine and kind of model, one floor a layer for each version; of a grid,
those with the least mean |log(predicted/measured)| of TTFT. The rows used stay out of headline
errors; the last columns say what the figures do to the rows above, which supplied nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from math import exp, fsum, log
from pathlib import Path
from statistics import median

from planner.lab.validation.e2e_silicon import ServedRow, resolved
from planner.lab.validation.reader import read_directory
from planner.lab.validation.records import EXCLUDED, NotCoveredError
from planner.lab.validation.served import serve, spec_of
from planner.throughput.engine_policy import PromptHost, with_prompt_host

CONCURRENCY = 8.0
"""Rows up to this many requests in flight supply the figures: hardly any waits for another."""
FLOORS_US = (0, 250, 500, 750, 1000, 1500, 2000, 2500, 3000, 3500, 4000)
HANDLING_US = (0, 5_000, 10_000, 20_000, 30_000, 40_000, 60_000)
Key = tuple[str, bool]


def error_of(row: ServedRow, floor_us: float, handling_us: float) -> float | None:
    """log(predicted/measured) of TTFT with a floor a layer and a time of handling."""
    host = PromptHost(floor_us * 1e-6, handling_us * 1e-6, 0.0, "")
    policy = with_prompt_host(row.policy, host, spec_of(row.case.model).layers)
    try:
        found = serve(row.case, policy, row.concurrency, requests=row.requests, alike=row.alike)
    except NotCoveredError:
        return None
    return log(found.ttft / row.ttft)


def errors(rows: Sequence[ServedRow], floor_us: float, handling_us: float) -> list[float]:
    """Errors of the rows that are served at all."""
    found = (error_of(row, floor_us, handling_us) for row in rows)
    return [e for e in found if e is not None]


def best_floor(rows: Sequence[ServedRow], handling_us: float) -> tuple[float, int]:
    """(sum of |errors|, floor a layer in microseconds) of the best floor."""
    return min((fsum(map(abs, errors(rows, floor, handling_us))), floor) for floor in FLOORS_US)


def read_off(versions: Mapping[str, Sequence[ServedRow]]) -> tuple[int, dict[str, int]]:
    """(handling, floor a layer by version) of one engine and kind of model, in microseconds."""
    low = {
        name: [r for r in rows if r.concurrency <= CONCURRENCY] for name, rows in versions.items()
    }
    low = {name: rows for name, rows in low.items() if rows}
    tried = [
        (fsum(best_floor(rows, handling)[0] for rows in low.values()), handling)
        for handling in HANDLING_US
    ]
    handling = min(tried)[1]
    return handling, {name: best_floor(rows, handling)[1] for name, rows in low.items()}


def rows_of(directory: Path) -> dict[Key, dict[str, list[ServedRow]]]:
    """Aggregated rows that count in headlines, or would but for what they supplied."""
    found: dict[Key, dict[str, list[ServedRow]]] = {}
    for table in read_directory(directory):
        for i, raw in enumerate(table.rows or ()):
            if not table.name.startswith("e2e_silicon"):
                continue
            try:
                row = resolved(i, raw)
            except NotCoveredError:
                continue
            if row.workers.prefill is not None or row.regime.startswith(EXCLUDED):
                continue
            key = row.case.engine, spec_of(row.case.model).experts is not None
            version = row.software.partition(" ")[2]
            found.setdefault(key, {}).setdefault(version, []).append(row)
    return found


def main(directory: str) -> None:
    """Print the figures of every engine and kind of model."""
    for (engine, experts), versions in sorted(rows_of(Path(directory)).items()):
        if not any(r.concurrency <= CONCURRENCY for rows in versions.values() for r in rows):
            continue
        handling, floors = read_off(versions)
        for version, floor in sorted(floors.items()):
            above = [r for r in versions[version] if r.concurrency > CONCURRENCY]
            before, after = (
                median([abs(exp(e) - 1) for e in errors(above, *figures)] or [0.0])
                for figures in ((0, 0), (floor, handling))
            )
            print(
                f"{engine} {version} {'moe' if experts else 'dense'}: us_per_layer = {floor}, "
                f"handling_us = {handling}; {len(above)} rows above {CONCURRENCY:.0f}: median "
                f"{before:.0%} before, {after:.0%} after"
            )


if __name__ == "__main__":
    main(sys.argv[1])
