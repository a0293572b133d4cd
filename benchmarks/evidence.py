"""``python -m benchmarks.evidence DIR…``: everything that plans say of measured deployments, from
the served tables in the folders, in one run:

* planner/planning/data/served_residuals.csv: log(measured ÷ predicted) of every row by kind, from
  which plans quote their evidence and take the width of their intervals;
* planner/planning/data/left_out_kinds.csv: what is added where no deployment of a kind was measured
  (``benchmarks/left_out_kinds.py``);
* planner/planning/data/differing_errors.toml: what does not cancel between two configurations
  (``benchmarks/differing.py``);
* planner/planning/data/correction_spread.csv: how sure corrections of `plan learn` are
  (``benchmarks/correction_spread.py``).

Run it again whenever a law of time has moved, then ``make docs``. It prints how the
intervals that follow cover, group by group (``benchmarks/intervals.py``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path

from benchmarks import correction_spread, differing, left_out_kinds
from benchmarks.intervals import OF_A_PROMPT, OF_A_STEP, REGIMES, metric_of, report, with_widths
from planner.lab.validation.records import Outcome
from planner.lab.validation.run import validate
from planner.planning.plan.schema import ENGINES
from planner.planning.price import evidence, measured_errors
from planner.planning.price.evidence import FILE, KEYS, Residuals
from planner.planning.price.kinds import ServedKind

ROOT = Path(__file__).resolve().parents[1]
SERVED = ("e2e_", "open_loop_", "llamabench_")
"""How the names of tables of served models begin."""
SELF_REPORTED = ("e2e_community",)
"""Of users, one by one: too little is told of each to be evidence."""
HEAD = (
    "# Written by `python -m benchmarks.evidence DIR...` from published results of served models;",
    "# none is fitted to. A number a row: log(measured / predicted), and the standard deviation",
    "# that operators explain of it. Tables e2e_silicon*: PyPI aiconfigurator-core 0.12.0 (NVIDIA,",
    "# Apache-2.0); others as docs/evidence/validation.md names them.",
)


def as_csv(rows: Iterable[Residuals]) -> str:
    """The file of ``rows``, without its head."""
    lines = [",".join(("metric", *KEYS, "model_id", "table", "residuals", "operators"))]
    for r in rows:
        cells = (
            r.metric,
            *(getattr(r.kind, key) for key in KEYS),
            r.model_id,
            r.table,
            *(" ".join(f"{x:.3f}" for x in some) for some in (r.residuals, r.operators)),
        )
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


def served_tables(folder: Path) -> str:
    """Tables of served models in ``folder``, with commas between them."""
    return ",".join(sorted(p.stem for p in folder.glob("*.csv") if p.name.startswith(SERVED)))


def residuals(outcomes: Iterable[Outcome]) -> list[Residuals]:
    """Rows by metric, kind, model and table, without those that are excluded for a reason and those
    of engines that no plan is for."""
    groups: dict[tuple[str, ServedKind, str, str], list[tuple[float, float]]] = {}
    for one in outcomes:
        if one.predicted is None or one.kind is None or one.regime not in REGIMES:
            continue
        metric = metric_of(one)
        if not metric or one.kind.engine not in ENGINES or one.table.startswith(SELF_REPORTED):
            continue
        sign = -1.0 if one.metric in OF_A_STEP | OF_A_PROMPT else 1.0
        key = metric, one.kind, one.model, one.table
        error = sign * log(one.measured / one.predicted)
        groups.setdefault(key, []).append((error, one.operators))
    return [
        Residuals(*key, tuple(e for e, _ in rows), tuple(o for _, o in rows))
        for key, rows in sorted(groups.items(), key=lambda item: repr(item[0]))
    ]


def main(folders: Sequence[str]) -> None:
    """Write the data files; say what coverage follows from them."""
    outcomes: list[Outcome] = []
    rows: list[differing.Served] = []
    unnamed: list[Residuals] = []
    for folder in map(Path, folders):
        some = validate(folder, only=served_tables(folder)).outcomes
        outcomes += some
        rows += differing.served(some, folder)
        unnamed += left_out_kinds.without_engine(folder)
    lines = residuals(outcomes)
    FILE.write_text("\n".join(HEAD) + "\n" + as_csv(lines), encoding="utf-8")
    left_out_kinds.DATA.write_text(left_out_kinds.costs(lines, unnamed), encoding="utf-8")
    differing.DATA.write_text(differing.entries(rows), encoding="utf-8")
    for known in (evidence.served_residuals, evidence.evidence):
        known.cache_clear()
    measured_errors.forget()
    rounded = evidence.served_residuals()
    correction_spread.DATA.write_text(correction_spread.entries(rounded), encoding="utf-8")
    print(report(with_widths(outcomes)))
    print(
        "written:",
        *(
            path.relative_to(ROOT)
            for path in (FILE, left_out_kinds.DATA, differing.DATA, correction_spread.DATA)
        ),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
