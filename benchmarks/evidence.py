"""``python -m benchmarks.evidence DIR…``: everything that plans say of measured deployments, from
the served tables in the folders, in one run:

* planner/planning/data/served_residuals.csv: log(measured ÷ predicted) of every row by kind, from
  which plans quote their evidence and take the width of their intervals;
* planner/planning/data/differing_errors.toml: what does not cancel between two configurations
  (``benchmarks/differing.py``).

Run it again whenever a law of time has moved, then ``make docs``. It prints how the intervals
cover, group by group (``benchmarks/intervals.py``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path

from benchmarks import differing
from benchmarks.intervals import OF_A_STEP, metric_of, report
from planner.lab.validation.records import EXCLUDED, Outcome
from planner.lab.validation.run import validate
from planner.planning.price.evidence import FILE, Residuals, as_csv
from planner.planning.price.kinds import ServedKind

ROOT = Path(__file__).resolve().parents[1]
SERVED = ("e2e_", "open_loop_", "llamabench_")
"""How the names of tables of served models begin."""
HEAD = (
    "# Written by `python -m benchmarks.evidence DIR...` from published results of served models;",
    "# none is fitted to. A number a row: log(measured / predicted), and the standard deviation",
    "# that operators explain of it. Tables e2e_silicon*: PyPI aiconfigurator-core 0.12.0 (NVIDIA,",
    "# Apache-2.0); others as docs/evidence/validation.md names them.",
)


def served_tables(folder: Path) -> str:
    """Tables of served models in ``folder``, with commas between them."""
    return ",".join(sorted(p.stem for p in folder.glob("*.csv") if p.name.startswith(SERVED)))


def residuals(outcomes: Iterable[Outcome]) -> list[Residuals]:
    """Rows by metric, kind, model and table, without those that are excluded for a reason."""
    groups: dict[tuple[str, ServedKind, str, str], list[tuple[float, float]]] = {}
    for one in outcomes:
        if one.predicted is None or one.kind is None or one.regime.startswith(EXCLUDED):
            continue
        metric = metric_of(one)
        if not metric:
            continue
        sign = -1.0 if one.metric in OF_A_STEP else 1.0
        key = metric, one.kind, one.model, one.table
        error = sign * log(one.measured / one.predicted)
        groups.setdefault(key, []).append((error, one.operators))
    return [
        Residuals(*key, tuple(e for e, _ in rows), tuple(o for _, o in rows))
        for key, rows in sorted(groups.items(), key=lambda item: repr(item[0]))
    ]


def main(folders: Sequence[str]) -> None:
    """Write the data files; say what coverage follows from those there were."""
    outcomes: list[Outcome] = []
    rows: list[differing.Served] = []
    for folder in map(Path, folders):
        some = validate(folder, only=served_tables(folder)).outcomes
        outcomes += some
        rows += differing.served(some, folder)
    text = "\n".join(HEAD) + "\n" + as_csv(residuals(outcomes))
    FILE.write_text(text, encoding="utf-8")
    differing.DATA.write_text(differing.entries(rows), encoding="utf-8")
    print(report(outcomes))
    print("written:", *(path.relative_to(ROOT) for path in (FILE, differing.DATA)))


if __name__ == "__main__":
    main(sys.argv[1:])
