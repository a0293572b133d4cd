"""Bars and rows of the sensitivity: one premise a fifth less and more, priced again."""

from __future__ import annotations

from dataclasses import dataclass

from planner.planning.inspect.sensitivity import End, Sensitivity
from planner.planning.plan.record import Plan
from planner.report import words
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
        return (self.low, self.high) if self.low.start <= self.high.start \
            else (self.high, self.low)


@dataclass(frozen=True, slots=True)
class Tornado:
    """Premises in falling order of their effect; ``centre`` is the plan's place on the track."""

    now: str
    centre: float
    rows: tuple[SwingRow, ...]
    late: bool


def tornado(t: Phrases, plan: Plan, found: Sensitivity) -> Tornado:
    """What the objective's figure does: TPOT for latency, else output tokens/s per device."""
    late = plan.objective == "latency"

    def metric(end: End) -> float:
        return end.tpot_seconds if late else end.output_tokens_per_second_per_device

    ends = [metric(e) for s in found.swings for e in (s.low, s.high)] + [metric(found.now)]
    low, high = min(ends), max(ends)
    room = (high - low) * _MARGIN or 1.0
    low, width, now = low - room, high - low + 2 * room, metric(found.now)

    def half(side: str, premise: str, end: End) -> Half:
        at = (min(metric(end), now) - low) / width
        return Half(side, _premise(t, premise, end.premise),
                    words.span(metric(end)) if late else words.three(metric(end)),
                    words.change(metric(end) / now - 1), at, abs(metric(end) - now) / width,
                    words.span(end.tpot_seconds), words.span(end.ttft_seconds),
                    f"{end.total_bytes_per_device / GIB:.1f}", end.fits)

    ordered = sorted(found.swings, key=lambda s: -abs(metric(s.high) - metric(s.low)))
    return Tornado(
        words.span(now) if late else words.three(now), (now - low) / width,
        tuple(SwingRow(s.premise, _premise(t, s.premise, s.now), half("less", s.premise, s.low),
                       half("more", s.premise, s.high)) for s in ordered), late)


def _premise(t: Phrases, name: str, value: float) -> str:
    """A premise's value in its unit."""
    if name == "bandwidth":
        return f"{value / 1e12:.3g} TB/s" if value >= 1e12 else f"{value / 1e9:.3g} GB/s"
    if name == "compute":
        return t("swings.rates", share=f"{value:.0%}")
    if name == "popularity":
        return t("swings.spread", value=f"{value:.2f}")
    return t(f"swings.{name}_value", n=words.count(round(value)))
