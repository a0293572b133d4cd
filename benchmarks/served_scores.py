"""How far predicted served models are off, in one table that two versions can be compared by.

    $ python benchmarks/served_scores.py DIR [--without MODEL,…]

Errors of TPOT, TTFT and throughput in percent, (predicted - measured) / measured: by class of
model and number of pools, by class of layout, by range of requests in flight, by engine, and
throughput at a predicted TPOT of 40 to 50 ms, where a limit of 50 ms puts every plan. Rows are
those of ``e2e_silicon*`` in DIR that ``plan validate`` does not exclude; ``--without`` leaves out
models that a mechanism was read off. Definitions: ``planner/lab/validation/e2e_silicon.py``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from planner.lab.validation.grouping import SERVED  # noqa: E402
from planner.lab.validation.records import KindErrors, Outcome, Validation  # noqa: E402
from planner.lab.validation.run import validate  # noqa: E402
from planner.lab.validation.served_kinds import METRICS, by_kind, kind_errors  # noqa: E402
from planner.models.catalog import resolve_model  # noqa: E402

NEAR_LIMIT = (0.040, 0.050)
"""Predicted TPOT [s] just within the default limit of an answer."""
PREFIX = "e2e_silicon"


def model_class(outcome: Outcome) -> str:
    """Dense, MoE or pools, as headlines have them."""
    if outcome.mode == "disagg":
        return "pools"
    return "dense" if resolve_model(outcome.model).experts is None else "MoE"


def scored(report: Validation, without: frozenset[str]) -> list[Outcome]:
    """Rows that count: predicted, not excluded, of no model of ``without``."""
    return [
        o
        for o in report.outcomes
        if o.predicted is not None
        and o.regime in SERVED
        and o.table.startswith(PREFIX)
        and o.model not in without
    ]


def lines(by: str, rows: Iterable[Outcome], name: Callable[[Outcome], str]) -> list[KindErrors]:
    """Errors by name and metric, in order of name."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for row in rows:
        groups.setdefault((name(row), row.metric), []).append(row)
    names = sorted({key[0] for key in groups})
    return [
        kind_errors(by, group, metric, groups[group, metric])
        for group in names
        for metric in METRICS
        if (group, metric) in groups
    ]


def near_limit(rows: Iterable[Outcome]) -> list[Outcome]:
    """Throughput of rows whose TPOT is predicted to lie in NEAR_LIMIT."""
    rows = list(rows)
    low, high = NEAR_LIMIT
    near = {
        (o.table, o.row)
        for o in rows
        if o.metric == "tpot" and o.predicted is not None and low <= o.predicted <= high
    }
    return [o for o in rows if o.metric == "throughput" and (o.table, o.row) in near]


def table(title: str, groups: Iterable[KindErrors]) -> str:
    """A Markdown table of errors."""
    return "\n".join(
        [
            f"| {title} | metric | rows | median | mean | signed | in 80 |",
            "|---|---|---:|---:|---:|---:|---:|",
            *(
                f"| {g.value} | {g.metric} | {g.n} | {g.median_ape:.1f} | {g.mape:.1f} | "
                f"{g.bias:+.1f} | {g.coverage80:.0f} |"
                for g in groups
            ),
        ]
    )


def page(rows: list[Outcome]) -> str:
    """All tables."""
    kinds = by_kind(rows)
    near = near_limit(rows)
    parts = [
        table("class of model", lines("class", rows, model_class)),
        table("class of layout", (k for k in kinds if k.by == "layout_class")),
        table("requests in flight", (k for k in kinds if k.by == "concurrency_range")),
        table(
            "engine and class",
            lines("engine", rows, lambda o: f"{o.software.split()[0]}, {model_class(o)}"),
        ),
    ]
    if near:
        parts.append(
            table("predicted TPOT 40 to 50 ms", lines("near", near, lambda o: "all, " + o.mode))
        )
    return "\n\n".join(parts)


def main() -> None:
    """Print the page of the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without", default="", help="ids of models to leave out")
    given = parser.parse_args()
    without = frozenset(name for name in given.without.split(",") if name)
    print(page(scored(validate(given.folder), without)))


if __name__ == "__main__":
    main()
