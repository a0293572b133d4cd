"""Statistics of percent errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """Errors of ``n`` predictions [%]; every figure None for none."""

    n: int
    mape: float | None
    median_ape: float | None
    p90_ape: float | None
    bias: float | None


def summarise(errors: Sequence[float]) -> ErrorSummary:
    """Mean, median and 90th percentile of absolute errors, and the mean signed error [%]."""
    if not errors:
        return ErrorSummary(0, None, None, None, None)
    sizes = sorted(abs(error) for error in errors)
    return ErrorSummary(
        len(errors),
        sum(sizes) / len(sizes),
        quantile(sizes, 0.5),
        quantile(sizes, 0.9),
        sum(errors) / len(errors),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The ``share`` quantile of ascending values, linear between neighbours."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
