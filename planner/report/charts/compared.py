"""What a comparison shows first, and its rates as small multiples: for the page and for figures.

A row is beaten where another of the same model and device is faster and cheaper beyond both
intervals at no more loss. What does not keep the limits on time beats no row that does, and is
beaten by what is faster at all: it is there for orientation. Losses are compared as they are: their
bands are mostly what is not known of the model, which the rows share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from planner.planning.plan.record import Estimate
from planner.planning.what_if.compared import Compared, ComparedPair, ComparedPlan
from planner.report.charts.records import DotPlot, DotRow, Mark, Panels, numbers, rows_in_words
from planner.report.phrases import Phrases

LANGUAGE_FOLDER = Path(__file__).resolve().parents[1] / "lang_compare"
RECOMMENDED, RELEASED = "recommended", "released"
WIDE = 8.0
"""Rates further apart than this stand on a logarithm."""
ROLE = ("name", "kind", "reason", "within_limits", "measured_anchor")
"""What two rows of one plan may differ in: how they are called."""


@dataclass(frozen=True, slots=True)
class ChartPlan:
    """A row that has a plan. ``roles``: recommended, released or both, where one plan is several
    rows; ``beaten``: another row is faster and cheaper at no more loss."""

    row: ComparedPlan
    roles: tuple[str, ...]
    beaten: bool

    @property
    def name(self) -> str:
        """The formats of the linears, or the engine's own mixture."""
        row = self.row
        return row.name if row.kind == "uniform" else " + ".join(row.schemes) or row.name

    @property
    def mark(self) -> Mark:
        """How it is drawn: hollow where it does not keep the limits on time."""
        if not self.row.within_limits:
            return "other"
        return (
            "recommended"
            if RECOMMENDED in self.roles
            else "released"
            if RELEASED in self.roles
            else "uniform"
        )


def chart_plans(comparison: Compared, pair: ComparedPair) -> tuple[ChartPlan, ...]:
    """What runs of one model on one device, in the order of the comparison: rows of one plan are
    one, and what is recommended or as released is never beaten."""
    merged: list[tuple[ComparedPlan, tuple[str, ...]]] = []
    for row in comparison.of(pair):
        if not row.feasible:
            continue
        roles = (row.kind,) if row.kind in (RECOMMENDED, RELEASED) else ()
        same = next((n for n, (other, _) in enumerate(merged) if _one_plan(row, other)), None)
        if same is None:
            merged.append((row, roles))
        else:
            kept, known = merged[same]
            merged[same] = kept, known + roles
    rows = [row for row, _ in merged]
    return tuple(
        ChartPlan(row, roles, not roles and any(beats(other, row) for other in rows))
        for row, roles in merged
    )


def _one_plan(row: ComparedPlan, other: ComparedPlan) -> bool:
    """Whether two rows are one plan under two names, one of them recommended or as released."""
    if other.kind == row.kind or row.within_limits != other.within_limits:
        return False
    return replace(row, **{name: getattr(other, name) for name in ROLE}) == other


def beats(compared_plan: ComparedPlan, other: ComparedPlan) -> bool:
    """Whether ``compared_plan`` is faster and, as far as prices are known, cheaper than ``other``
    beyond both intervals, at no more loss and within the limits; where ``other`` is
    not within them, whether it is faster at no more loss."""
    mine, rate = (row.output_tokens_per_second_per_device for row in (compared_plan, other))
    usd, cost = (row.usd_per_million_output_tokens for row in (compared_plan, other))
    if (
        mine is None
        or rate is None
        or compared_plan.loss is None
        or other.loss is None
        or compared_plan.loss > other.loss
        or mine.value <= rate.value
    ):
        return False
    if not other.within_limits:
        return True
    return (
        compared_plan.within_limits
        and mine.low > rate.high
        and (usd is None or cost is None or usd.high < cost.low)
    )


def disjoint(estimate: Estimate, other: Estimate) -> bool:
    """Whether two intervals have nothing in common."""
    return estimate.low > other.high or estimate.high < other.low


def compared_panels(
    comparison: Compared, say: Phrases, models: Sequence[str] | None = None
) -> Panels:
    """Output tokens/s a device with intervals, a panel for each model (of ``models``, absent: all)
    and device on one axis: what no other row beats. Pairs in which nothing runs have no panel."""
    several = models is None and len(comparison.models) > 1
    pairs = [pair for pair in comparison.pairs if models is None or pair.model in models]
    rows = [(pair, _dots(comparison, pair, say)) for pair in pairs]
    rows = [(pair, mine) for pair, mine in rows if mine]
    values = list(numbers(row for _, mine in rows for row in mine))
    log = bool(values) and max(values) > WIDE * min(values)
    late = say("role.late")
    panels = tuple(
        DotPlot(
            say("figure.pair", model=pair.model, device=pair.device) if several else pair.device,
            say("figure.axis"),
            mine,
            rows_in_words(
                replace(row, note=row.note or late) if row.mark == "other" else row for row in mine
            ),
            log,
        )
        for pair, mine in rows
    )
    text = say("figure.stop").join(f"{panel.title}: {panel.alt}" for panel in panels)
    title = say("figure.title") if several or not pairs else say("figure.of", model=pairs[0].model)
    return Panels(title, panels, say("figure.alt", rows=text))


def _dots(comparison: Compared, pair: ComparedPair, say: Phrases) -> tuple[DotRow, ...]:
    out = []
    for shown in chart_plans(comparison, pair):
        rate = shown.row.output_tokens_per_second_per_device
        if rate is not None and not shown.beaten:
            words = [say(f"role.{role}") for role in shown.roles]
            if words and not shown.row.within_limits:
                words.append(say("role.late"))
            out.append(
                DotRow(
                    shown.name,
                    rate.value,
                    rate.low,
                    rate.high,
                    shown.mark,
                    say("role.comma").join(words),
                )
            )
    return tuple(out)
