"""The report's bars of uniform formats."""

from __future__ import annotations

from dataclasses import dataclass

from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.figures.rivals import Compares, RivalRow, rivals_figure
from planner.report.phrases import Phrases
from planner.units import GIB


@dataclass(frozen=True, slots=True)
class ChartRival:
    """A bar of the chart of uniform formats: ``length`` relative to the longest [1]."""

    name: str
    value: str
    loss: str
    length: float
    pale: bool
    own: bool


def rivals(t: Phrases, plan: Plan) -> tuple[ChartRival, ...]:
    """The plan, then every feasible baseline, by the plan's objective."""
    found = rivals_figure(plan)
    return tuple(
        ChartRival(
            _name(t, row),
            _text(found.compares, row.value),
            words.loss(row.loss),
            row.value / found.longest,
            row.pale,
            row.kind == "plan",
        )
        for row in found.rows
    )


def _name(t: Phrases, row: RivalRow) -> str:
    if row.kind == "aggregated":
        return t("pools.both")
    return " = ".join(t.pieced(name) for name in row.names)


def _text(compares: Compares, value: float) -> str:
    """A value of the objective as it is written."""
    if compares == "late":
        return words.span(value)
    if compares == "memory":
        return f"{value / GIB:.1f} GiB"
    return words.loss(value) if compares == "loss" else words.three(value)
