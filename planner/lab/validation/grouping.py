"""From outcomes to groups and counts of uncovered rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from planner.lab.validation.errors import summarise
from planner.lab.validation.headlines import headlines
from planner.lab.validation.records import REASONS, Group, Outcome, Uncovered, Validation

_KEY = (
    "table",
    "metric",
    "device",
    "software",
    "model",
    "format",
    "regime",
    "engine",
    "quantity",
    "mode",
)


def group(outcomes: Iterable[Outcome]) -> tuple[Group, ...]:
    """Groups of outcomes that agree in all of the group's keys, in order of the keys."""
    found: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        key = tuple(str(getattr(outcome, name)) for name in _KEY)
        found.setdefault(key, []).append(outcome)
    return tuple(_group(key, found[key]) for key in sorted(found))


def summary(outcomes: Iterable[Outcome]) -> tuple[Group, ...]:
    """Groups without telling devices, versions, models and formats apart, for people."""
    return group(replace(o, device="", software="", model="", format="") for o in outcomes)


def _group(key: tuple[str, ...], members: Sequence[Outcome]) -> Group:
    done = [o for o in members if o.predicted is not None]
    errors = summarise([o.error_percent for o in done])
    inside = 100.0 * sum(o.inside for o in done) / len(done) if done else None
    table, metric, device, software, model, fmt, regime, engine, quantity, mode = key
    return Group(
        table=table,
        metric=metric,
        device=device,
        software=software,
        model=model,
        format=fmt,
        regime=regime,
        engine=engine,
        quantity=quantity,
        mode=mode,
        n=errors.n,
        n_rows=len(members),
        mape=errors.mape,
        median_ape=errors.median_ape,
        p90_ape=errors.p90_ape,
        bias=errors.bias,
        coverage80=inside,
    )


def uncovered(outcomes: Iterable[Outcome]) -> tuple[Uncovered, ...]:
    """Rows without a prediction by table and reason; a row counts once for each reason."""
    rows: dict[tuple[str, str], set[int]] = {}
    for outcome in outcomes:
        if outcome.predicted is None:
            rows.setdefault((outcome.table, outcome.reason), set()).add(outcome.row)
    return tuple(
        Uncovered(table, reason, len(found)) for (table, reason), found in sorted(rows.items())
    )


def worst(outcomes: Iterable[Outcome], count: int = 10) -> list[Outcome]:
    """The predictions furthest off, excluded rows left out, the largest error first."""
    done = [o for o in outcomes if o.predicted is not None and not o.regime.startswith("excluded")]
    return sorted(done, key=lambda o: (-abs(o.error_percent), o.table, o.row, o.mode))[:count]


def row_ranges(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], str]:
    """(table, reason) → the numbers of the rows without a prediction, e.g. ``3-5, 9``."""
    rows: dict[tuple[str, str], set[int]] = {}
    for outcome in outcomes:
        if outcome.predicted is None:
            rows.setdefault((outcome.table, outcome.reason), set()).add(outcome.row + 1)
    return {key: _ranges(sorted(found)) for key, found in rows.items()}


def people(
    report: Validation,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """(headlines, groups, worst rows, reasons) of a report as the terminal shows them."""
    rows = row_ranges(report.outcomes)
    return (
        [h.to_dict() for h in headlines(report.outcomes)],
        [g.to_dict() for g in summary(report.outcomes)],
        [o.to_dict() for o in worst(report.outcomes)],
        [
            {
                "table": u.table,
                "reason": u.reason,
                "n": u.n,
                "meaning": REASONS[u.reason],
                "rows": rows.get((u.table, u.reason), ""),
            }
            for u in report.uncovered
        ],
    )


def _ranges(numbers: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(str(n) for n in part) for part in parts)
