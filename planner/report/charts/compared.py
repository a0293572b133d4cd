"""The rows of a comparison that decide, as small multiples: output tokens/s a device, and losses
with the limit that the recommended plan keeps.

For the page and for figures. What breaks a limit, on time or on loss, is hollow, and its name says
which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from planner.planning.plan.record import Estimate
from planner.planning.what_if.compared import Compared, ComparedPair, ComparedPlan
from planner.planning.what_if.compared_roles import shown_rows
from planner.report.charts.records import (
    AxisLimit,
    DotPlot,
    DotRow,
    Mark,
    Panels,
    numbers,
    rows_in_words,
)
from planner.report.compared_terms import rounded_loss
from planner.report.phrases import Phrases

LANGUAGE_FOLDER = Path(__file__).resolve().parents[1] / "lang_compare"
WIDE = 8.0
"""Rates further apart than this stand on a logarithm."""


def formats_of(row: ComparedPlan) -> str:
    """The formats of the linears, or the engine's own mixture."""
    return row.name if row.kind == "uniform" else " + ".join(row.schemes) or row.name


def disjoint(estimate: Estimate, other: Estimate) -> bool:
    """Whether two intervals have nothing in common."""
    return estimate.low > other.high or estimate.high < other.low


def over_loss_limit(row: ComparedPlan, pair: ComparedPair) -> bool:
    """Whether a row loses more than the recommended plan may."""
    limit = pair.loss_limit
    return (
        limit is not None
        and row.loss is not None
        and row.loss > limit
        and ("recommended" not in row.roles)
    )


def compared_panels(comparison: Compared, say: Phrases) -> Panels:
    """Output tokens/s a device with intervals, a panel for each model and device on one axis. Pairs
    in which nothing runs have no panel."""
    pairs = [(pair, rows) for pair, rows in shown_rows(comparison) if rows]
    drawn = [(pair, tuple(_rate_rows(pair, rows, say))) for pair, rows in pairs]
    values = list(numbers(row for _, rows in drawn for row in rows))
    log = bool(values) and max(values) > WIDE * min(values)
    panels = tuple(
        DotPlot(_named(comparison, pair, say), say("figure.axis"), rows, rows_in_words(rows), log)
        for pair, rows in drawn
    )
    return _panels(say("figure.title"), panels, say)


def loss_panels(comparison: Compared, say: Phrases) -> Panels:
    """Losses with intervals, and the limit on them, a panel for each model and device."""
    pairs = [(pair, rows) for pair, rows in shown_rows(comparison) if rows]
    panels = []
    for pair, rows in pairs:
        drawn = tuple(_loss_rows(pair, rows, say))
        limit = (
            None
            if pair.loss_limit is None
            else AxisLimit(
                pair.loss_limit, say("figure.loss_limit", limit=rounded_loss(pair.loss_limit))
            )
        )
        alt = rows_in_words(drawn)
        if limit is not None:
            alt = say("figure.with_limit", rows=alt, limit=limit.text)
        panels.append(
            DotPlot(_named(comparison, pair, say), say("figure.loss_axis"), drawn, alt, limit=limit)
        )
    return _panels(say("figure.loss_title"), tuple(panels), say)


def _panels(title: str, panels: tuple[DotPlot, ...], say: Phrases) -> Panels:
    return Panels(
        title, panels, say("figure.stop").join(f"{panel.title}: {panel.alt}" for panel in panels)
    )


def _named(comparison: Compared, pair: ComparedPair, say: Phrases) -> str:
    if len(comparison.models) == 1:
        return pair.device
    return say("figure.pair", model=pair.model, device=pair.device)


def _rate_rows(pair: ComparedPair, rows: Sequence[ComparedPlan], say: Phrases) -> Iterator[DotRow]:
    for row in rows:
        rate = row.output_tokens_per_second_per_device
        if rate is not None:
            yield DotRow(
                formats_of(row),
                rate.value,
                rate.low,
                rate.high,
                _mark(row, pair),
                _note(row, pair, say),
            )


def _loss_rows(pair: ComparedPair, rows: Sequence[ComparedPlan], say: Phrases) -> Iterator[DotRow]:
    for row in rows:
        if row.loss is not None:
            yield DotRow(
                formats_of(row),
                row.loss,
                row.loss_low,
                row.loss_high,
                _mark(row, pair),
                _note(row, pair, say),
                rounded_loss(row.loss),
            )


def _note(row: ComparedPlan, pair: ComparedPair, say: Phrases) -> str:
    """What a row is shown for, and which limits it breaks."""
    words = [say(f"role.{role}") for role in row.roles]
    if not row.within_limits:
        words.append(say("role.late"))
    if over_loss_limit(row, pair):
        words.append(say("role.lossy"))
    return say("role.comma").join(words)


def _mark(row: ComparedPlan, pair: ComparedPair) -> Mark:
    if "recommended" in row.roles:
        return "recommended"
    if not row.within_limits or over_loss_limit(row, pair):
        return "other"
    return "released" if "released" in row.roles else "uniform"
