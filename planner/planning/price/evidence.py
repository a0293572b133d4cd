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
MEASURED, RECIPE, RELATED, NONE = "measured", "recipe", "related", "none"
NOTHING = "no measured deployment of this kind"
PUBLISHED = "as in the published recipe"
CLOSED_LOOPS = ("e2e_silicon",)
"""How tables begin whose rows are closed loops at a stated concurrency, by current engines: those
that widths are taken from."""
ONE_USER = ("e2e_apple", "llamabench_")
"""How tables begin whose rows are one user's: a TTFT of theirs is the time of a prompt, without a
queue."""
SAME_CODE = frozenset(("requests", "device"))
"""Keys without which the same code runs."""
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
    rows = nearest_rows(kind, metric)
    if rows is None:
        return Evidence(NONE, NOTHING, 0, None, None, "")
    given_up, some = rows
    own = not given_up and all(r.kind == kind for r in some)
    return _of(some, MEASURED if own else RELATED, kind.without(given_up))


@lru_cache(maxsize=4096)
def nearest_rows(
    kind: ServedKind, metric: str
) -> tuple[tuple[str, ...], tuple[Residuals, ...]] | None:
    """(the keys that are given up, the rows) of the nearest kind of which FEWEST rows were
    compared; None where there is none."""
    mine = [r for r in served_residuals() if r.metric == metric]
    for given_up in RELAXED:
        some = tuple(r for r in mine if r.kind.stands_for(kind, given_up))
        if sum(len(r.residuals) for r in some) >= FEWEST:
            return given_up, some
    return None


def known_as(kind: ServedKind) -> str:
    """How well differences from ``kind`` are known: as measured where engine, architecture, class
    of model, layout and formats were served, whatever the device of the architecture and the load;
    as related where a key more is given up; as nobody measured."""
    rows = nearest_rows(kind, "tpot")
    if rows is None:
        return NONE
    return MEASURED if set(rows[0]) <= SAME_CODE else RELATED


@cache
def served_formats(engine: str, architecture: str) -> frozenset[str]:
    """Formats of weights and caches that an engine served, or that were served on devices of an
    architecture."""
    kinds = [
        r.kind
        for r in served_residuals()
        if engine == r.kind.engine or architecture == r.kind.architecture
    ]
    return frozenset(name for kind in kinds for name in (kind.precision, kind.cache) if name)


@cache
def served_caches(engine: str, architecture: str) -> frozenset[str]:
    """Cache layouts that an engine served on devices of an architecture."""
    return frozenset(
        r.kind.cache
        for r in served_residuals()
        if engine == r.kind.engine and architecture == r.kind.architecture
    )


@cache
def of_one_user() -> frozenset[str]:
    """Engines whose prompts were measured with one user."""
    return frozenset(
        r.kind.engine
        for r in served_residuals()
        if r.metric == "ttft" and r.table.startswith(ONE_USER)
    )


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
