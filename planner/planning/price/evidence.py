"""What served deployments say of an answer: how far predictions of its kind were off.

``planning/data/served_residuals.csv``, which ``benchmarks/evidence.py`` writes from a comparison
with published served models, has a line for each kind, model and table: log(measured ÷ predicted)
of every row, in order, and beside it the standard deviation that its operators alone explain.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import fields
from functools import cache, lru_cache
from math import exp
from pathlib import Path
from statistics import median

from planner.base.records import record
from planner.planning.plan.evidence import Evidence
from planner.planning.price.kinds import RELAXED, ServedKind

FILE = Path(__file__).resolve().parents[1] / "data" / "served_residuals.csv"
METRICS = ("tpot", "ttft", "throughput")
KEYS = tuple(f.name for f in fields(ServedKind))
MEASURED, RELATED, NONE = "measured", "related", "none"
NOTHING = "no measured deployment of this kind"
CLOSED_LOOPS = ("e2e_silicon",)
"""How tables begin whose rows are closed loops at a stated concurrency, by current engines: those
that widths are taken from."""
FEWEST = 3
"""Rows that are quoted."""


@record
class Residuals:
    """Rows of one kind, model and table: log(measured ÷ predicted) of ``metric``, and the
    log-space standard deviation that their operators explain."""

    metric: str
    kind: ServedKind
    model_id: str
    table: str
    residuals: tuple[float, ...]
    operators: tuple[float, ...]


@lru_cache(maxsize=4096)
def evidence(kind: ServedKind, metric: str) -> Evidence:
    """How far predictions of ``metric`` were off for ``kind``, or for the nearest kind of which
    FEWEST rows were compared."""
    mine = [r for r in served_residuals() if r.metric == metric]
    for given_up in RELAXED:
        some = [r for r in mine if r.kind.stands_for(kind, given_up)]
        if sum(len(r.residuals) for r in some) >= FEWEST:
            own = not given_up and all(r.kind == kind for r in some)
            return _of(some, MEASURED if own else RELATED, kind.without(given_up))
    return Evidence(NONE, NOTHING, 0, None, None, "")


def _of(some: Sequence[Residuals], level: str, kind: str) -> Evidence:
    errors = [100.0 * (exp(-x) - 1.0) for r in some for x in r.residuals]
    tables = dict.fromkeys(r.table for r in some)
    return Evidence(
        level,
        kind,
        len(errors),
        round(median(map(abs, errors)), 1),
        round(median(errors), 1),
        ", ".join(tables),
    )


@cache
def served_residuals() -> tuple[Residuals, ...]:
    """All lines of the file."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Residuals(
                row["metric"],
                ServedKind(**{key: row[key] for key in KEYS}),
                row["model_id"],
                row["table"],
                _numbers(row["residuals"]),
                _numbers(row["operators"]),
            )
            for row in csv.DictReader(line for line in file if not line.startswith("#"))
        )


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))
