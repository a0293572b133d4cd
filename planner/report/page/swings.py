"""Bars and rows of the sensitivity: one premise a fifth less and more, priced again."""

from __future__ import annotations

from dataclasses import dataclass

from planner.planning.inspect.sensitivity import End, Sensitivity
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.figures.premises import premises_figure
from planner.report.phrases import Phrases
from planner.units import GIB

_MARGIN = 0.04


@dataclass(frozen=True, slots=True)
class Half:
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
    low: Half
    high: Half

    @property
    def ends(self) -> tuple[Half, Half]:
        """Both ends as they lie on the track, the smaller figure first."""
        return (self.low, self.high) if self.low.start <= self.high.start else (self.high, self.low)


@dataclass(frozen=True, slots=True)
class Tornado:
    """Premises in falling order of their effect; ``centre`` is the plan's place on the track."""

    now: str
    centre: float
    rows: tuple[SwingRow, ...]
    late: bool


def tornado(t: Phrases, plan: Plan, found: Sensitivity) -> Tornado:
    """What the objective's figure does: TPOT for latency, else output tokens/s per device."""
    shown = premises_figure(plan, found)
    late, now = shown.late, shown.now
    ends = [value for row in shown.rows for value in (row.less, row.more)] + [now]
    low, high = min(ends), max(ends)
    room = (high - low) * _MARGIN or 1.0
    low, width = low - room, high - low + 2 * room

    def half(side: str, premise: str, end: End, value: float) -> Half:
        at = (min(value, now) - low) / width
        return Half(
            side,
            _premise(t, premise, end.premise),
            words.span(value) if late else words.three(value),
            words.change(value / now - 1),
            at,
            abs(value - now) / width,
            words.span(end.tpot_seconds),
            words.span(end.ttft_seconds),
            f"{end.total_bytes_per_device / GIB:.1f}",
            end.fits,
        )

    return Tornado(
        words.span(now) if late else words.three(now),
        (now - low) / width,
        tuple(
            SwingRow(
                s.premise,
                _premise(t, s.premise, s.now),
                half("less", s.premise, s.low, row.less),
                half("more", s.premise, s.high, row.more),
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
