"""What others measured of accuracy with the formats of a claim."""

from __future__ import annotations

from collections.abc import Sequence

from planner.lab.article.record import Figure
from planner.quality.neighbours import ACCURACIES, PLAIN, Measured, measured_rows

WIDE_CACHES = (*PLAIN, "fp8", "int8-token")
"""Eight bits and more: narrower ones would be a claim on caches."""


def measured_losses(schemes: Sequence[str]) -> list[Measured]:
    """Published accuracies of weights in ``schemes``, with caches of eight bits or more, against 16
    bits: the share of questions that are answered right. The least lost first."""
    return sorted(
        (
            row
            for row in measured_rows()
            if row.scheme in schemes
            and row.kv_layout in WIDE_CACHES
            and row.unit in ACCURACIES
            and row.baseline_scheme in PLAIN
        ),
        key=lost,
    )


def lost(row: Measured) -> float:
    """The share of the baseline's accuracy that was lost."""
    return row.worsening / float(row.baseline)


def kept_figures(rows: Sequence[Measured]) -> tuple[Figure, ...]:
    """The worst and the median of measured losses."""
    middle = rows[len(rows) // 2]
    return (
        Figure("worst loss of accuracy", lost(rows[-1]), "share", "measured elsewhere"),
        Figure("median loss of accuracy", lost(middle), "share", "measured elsewhere"),
    )
