"""Bars and rows of the sensitivity: one premise a fifth less and more, priced again."""

from __future__ import annotations

from dataclasses import dataclass

from planner.base.units import GIB
from planner.messages.message import joined
from planner.planning.inspect.derived_figures import DerivedFigures
from planner.planning.inspect.loss_origin import LossOrigin, MeasuredSister
from planner.planning.inspect.sensitivity import PerturbedPlan, Sensitivity
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.charts.plan_figures import (
    NO_LIMITS,
    Compares,
    LimitName,
    PlanLimits,
    RivalRow,
    premises_figure,
    rivals_figure,
)
from planner.report.phrases import Phrases
from planner.report.plan_terms import assumption_of

_MARGIN = 0.04


@dataclass(frozen=True, slots=True)
class PremiseBar:
    """One end of a premise: its bar from ``start``, ``share`` wide [1 of the track], with texts."""

    side: str
    premise: str
    value: str
    change: str
    start: float
    share: float
    tpot: str
    ttft: str
    gib: str
    fits: bool


@dataclass(frozen=True, slots=True)
class SwingRow:
    """A premise with both its ends."""

    name: str
    now: str
    low: PremiseBar
    high: PremiseBar

    @property
    def ends(self) -> tuple[PremiseBar, PremiseBar]:
        """Both ends as they lie on the track, the smaller figure first."""
        return (self.low, self.high) if self.low.start <= self.high.start else (self.high, self.low)


@dataclass(frozen=True, slots=True)
class Tornado:
    """Premises in falling order of their effect; ``centre`` is the plan's place on the track."""

    now: str
    centre: float
    rows: tuple[SwingRow, ...]
    late: bool


def tornado(t: Phrases, plan: Plan, sensitivity: Sensitivity) -> Tornado:
    """What the objective's figure does: TPOT for latency, else output tokens/s per device."""
    shown = premises_figure(plan, sensitivity)
    late, now = shown.late, shown.now
    ends = [value for row in shown.rows for value in (row.less, row.more)] + [now]
    low, high = min(ends), max(ends)
    room = (high - low) * _MARGIN or 1.0
    low, width = low - room, high - low + 2 * room

    def bar(side: str, premise: str, end: PerturbedPlan, value: float) -> PremiseBar:
        at = (min(value, now) - low) / width
        return PremiseBar(
            side,
            _premise(t, premise, end.premise),
            words.span(value) if late else words.three_digits(value),
            words.signed_percent(value / now - 1),
            at,
            abs(value - now) / width,
            words.span(end.tpot_seconds),
            words.span(end.ttft_seconds),
            f"{end.total_bytes_per_device / GIB:.1f}",
            end.fits,
        )

    return Tornado(
        words.span(now) if late else words.three_digits(now),
        (now - low) / width,
        tuple(
            SwingRow(
                s.premise,
                _premise(t, s.premise, s.now),
                bar("less", s.premise, s.low, row.less),
                bar("more", s.premise, s.high, row.more),
            )
            for row in shown.rows
            for s in (row.swing,)
        ),
        late,
    )


def _premise(t: Phrases, name: str, value: float) -> str:
    """A premise's value in its unit."""
    if name == "bandwidth":
        return f"{value / 1e12:.3g} TB/s" if value >= 1e12 else f"{value / 1e9:.3g} GB/s"
    if name == "compute":
        return t("swings.rates", share=f"{value:.0%}")
    if name == "popularity":
        return t("swings.spread", value=f"{value:.2f}")
    return t(f"swings.{name}_value", n=words.count(round(value)))


@dataclass(frozen=True, slots=True)
class ChartRival:
    """A bar of the chart of uniform formats: ``length`` relative to the longest [1],
    ``over`` the limits that it breaks, in words."""

    name: str
    value: str
    loss: str
    length: float
    pale: bool
    own: bool
    over: str


def limit_text(t: Phrases, limits: PlanLimits, name: LimitName) -> str:
    """A limit that there is, in words."""
    times = {"tpot": limits.tpot_seconds, "ttft": limits.ttft_seconds}
    value = words.loss(limits.loss or 0.0) if name == "loss" else words.span(times[name] or 0.0)
    return t(f"limits.{name}", value=value)


def rivals(t: Phrases, plan: Plan, limits: PlanLimits = NO_LIMITS) -> tuple[ChartRival, ...]:
    """The plan, then every feasible baseline, by the plan's objective; those that break
    ``limits`` say which."""
    figure = rivals_figure(plan, limits)
    return tuple(
        ChartRival(
            _name(t, row),
            _text(figure.compares, row.value),
            words.loss(row.loss),
            row.value / figure.longest,
            row.pale,
            row.kind == "plan",
            t("limits.comma").join(limit_text(t, limits, name) for name in row.over),
        )
        for row in figure.rows
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
    return words.loss(value) if compares == "loss" else words.three_digits(value)


BASIS, LEVEL = "loss basis", "loss level"
"""Keys of the assumptions on the loss."""


@dataclass(frozen=True, slots=True)
class LossBasisView:
    """Sentences with quotations marked, then measured models as (name, family, parameters,
    matrices, baseline, level), and their source with its date."""

    lines: list[str]
    models: list[tuple[str, ...]]
    source: str
    date: str


def loss_basis_view(t: Phrases, plan: Plan, made: DerivedFigures | None) -> LossBasisView:
    """On what the loss of ``plan`` rests: from what was ``made`` beside it, else from its
    assumptions."""
    origin = None if made is None else made.loss
    basis, level = assumption_of(plan, BASIS), assumption_of(plan, LEVEL)
    if origin is None:
        text = "" if basis is None else joined((basis.value, basis.reason))
        key = "not_told" if plan.quality.tier.startswith("T0") else "profile"
        return LossBasisView(
            [t(f"loss_origin.{key}", text=t.marked(text))] if text else [], [], "", ""
        )
    lines = [t(f"loss_origin.{origin.match}", n=_counted(t, len(origin.models))), _band(t, origin)]
    if level is not None:
        lines.append(
            t("loss_origin.level_from", text=t.marked(level.reason), value=t.marked(level.value))
        )
    return LossBasisView(
        lines, [_row(model) for model in origin.models], origin.source, origin.date
    )


def _counted(t: Phrases, count: int) -> str:
    return t("loss_origin.model" if count == 1 else "loss_origin.models", n=count)


def _band(t: Phrases, origin: LossOrigin) -> str:
    return t(
        "loss_origin.band",
        band=f"{origin.band:.2g}",
        level=f"{origin.level:.3g}",
        kinds=f"{origin.kinds:.3g}",
        formats=f"{origin.formats:.3g}",
        judged=origin.judged,
        rank=f"{origin.rank:.2f}",
    )


def _row(sister: MeasuredSister) -> tuple[str, ...]:
    return (
        sister.name,
        sister.family,
        f"{sister.parameters_billion:g}",
        words.count(sister.points),
        sister.baseline,
        "" if sister.level is None else f"{sister.level:.2g}",
    )
