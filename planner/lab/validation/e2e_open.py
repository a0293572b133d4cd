"""Requests that arrive by themselves (``open_loop_*``): read, and left to a law of arrivals.

A closed loop and a burst are predicted; an open stream is not. Every row says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from planner.lab.validation.records import Outcome

OPEN = "open arrivals"


def predict_rows(table_name: str, rows: Iterable[Mapping[str, str]]) -> list[Outcome]:
    """One outcome a row, with the reason."""
    return [
        Outcome(
            table=table_name,
            row=i,
            metric=row.get("metric", "") or "request",
            device=row["device"],
            software=row.get("engine", ""),
            model=row["model"],
            format=row.get("dtype", ""),
            regime=OPEN,
            reason=OPEN,
        )
        for i, row in enumerate(rows)
    ]
