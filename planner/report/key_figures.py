"""The figures that a reader of a plan looks for first."""

from __future__ import annotations

from dataclasses import dataclass

from planner.planning.plan.evidence import Evidence
from planner.planning.plan.record import Estimate
from planner.report.phrases import Phrases
from planner.report.words import (
    TIMES,
    seconds,
    three_digits,
)


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A key figure: value and interval share a unit; ``note`` says what it is based on."""

    label: str
    value: str
    unit: str
    interval: str
    note: str


def duration(t: Phrases, label: str, estimate: Estimate) -> KeyFigure:
    """A time as a key figure; its interval is in the unit of the value."""
    value, unit = seconds(estimate.value)
    size = dict(TIMES)[unit]
    ends = f"{three_digits(estimate.low / size)} – {three_digits(estimate.high / size)} {unit}"
    return KeyFigure(label, value, unit, ends, basis(t, estimate))


def basis(t: Phrases, estimate: Estimate) -> str:
    """What an estimate rests on."""
    name = t.texts.get(f"basis.{estimate.basis}", estimate.basis)
    return t("figures.basis", basis=name) + evidence(t, estimate.evidence)


def evidence(t: Phrases, known: Evidence | None) -> str:
    """What served deployments say of an estimate; empty where none was asked for."""
    if known is None:
        return ""
    if known.median_ape is None:
        published = known.level == "recipe"
        return t("figures.evidence_recipe") if published else t("figures.evidence_none")
    error, table = f"{known.median_ape:.1f}", known.table
    if known.level == "measured":
        return t("figures.evidence_measured", error=error, n=known.n, table=table)
    kind = ", ".join(t.name(part) for part in known.kind.split(", "))
    return t("figures.evidence_related", error=error, n=known.n, kind=kind, table=table)
