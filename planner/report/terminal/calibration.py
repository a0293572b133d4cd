"""Fitted sets on a terminal and as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.hardware.profile import FittedSet
from planner.report.columns import table_lines

_HEAD = (
    "operator",
    "stack",
    "variant",
    "rows",
    "kept back",
    "mean %",
    "median %",
    "bias %",
    "in 80 %",
)


def calibration_text(fits: Sequence[FittedSet]) -> str:
    """One line a set with its errors on the rows kept back; ends with a newline."""
    if not fits:
        return "nothing was fitted\n"
    rows = [_HEAD, *(_line(fit) for fit in fits)]
    return "\n".join(table_lines(rows, left=(0, 1, 2), gap=2)) + "\n"


def _line(fit: FittedSet) -> tuple[str, ...]:
    e = fit.error
    return (
        fit.operator,
        f"{fit.stack} {fit.software}",
        fit.variant,
        str(e.rows),
        str(e.held_out),
        f"{100 * e.mean:.1f}",
        f"{100 * e.median:.1f}",
        f"{100 * e.bias:+.1f}",
        f"{100 * e.coverage:.0f}",
    )


def fit_dict(fit: FittedSet) -> dict[str, Any]:
    """A set as JSON values; errors are relative."""
    e = fit.error
    return {
        "operator": fit.operator,
        "stack": fit.stack,
        "software": fit.software,
        "variant": fit.variant,
        "parameters": dict(fit.parameters),
        "note": fit.note,
        "error": {
            "rows": e.rows,
            "held_out": e.held_out,
            "mean": e.mean,
            "median": e.median,
            "bias": e.bias,
            "sigma": e.sigma,
            "coverage": e.coverage,
        },
    }
