"""Names, losses and reasons of compared plans, as terminals and pages write them."""

from __future__ import annotations

from collections.abc import Sequence

from planner.planning.what_if.compared import Compared, ComparedPlan

SHORT = {
    "tensorrt-llm": "trt-llm",
    "int8-token": "int8",
    "int4-token": "int4",
    "fp8-ds-mla": "fp8-ds",
}
"""Names that would make the table wider than a terminal."""
LEAST_LOSS = 5e-5
"""What rounding of plain types loses is told as none."""


def rounded_loss(loss: float | None) -> str:
    """A loss with three digits, as everywhere."""
    return "-" if loss is None else "0" if loss < LEAST_LOSS else f"{loss:.3g}"


def absent_rows(rows: Sequence[ComparedPlan]) -> dict[str, list[str]]:
    """The names of what does not run, by reason."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if not row.feasible:
            reasons.setdefault(row.reason, []).append(row.name)
    return reasons


def anchors_of(comparison: Compared) -> dict[str, None]:
    """What was measured with formats of the table, each once; what nobody measured is left out."""
    return dict.fromkeys(
        anchor.text for row in comparison.rows for anchor in row.measured_anchor if anchor.source
    )
