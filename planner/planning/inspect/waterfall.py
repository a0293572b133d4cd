"""Where a plan's time goes: the parts of a decode step and of a prompt, and what the whole adds."""

from __future__ import annotations

from dataclasses import dataclass

from planner.planning.plan.record import Plan

BOUND_FILLS = {
    "compute": "#1d5f9e",
    "memory": "#0b6f63",
    "launch": "#6b7380",
    "communication": "#9a4a06",
    "conversion": "#6d28a8",
}


@dataclass(frozen=True, slots=True)
class WaterfallBar:
    """One part of a step: ``start`` and ``share`` of the whole width [1]; ``of_step`` of the time.

    ``bound`` is empty for the rest, which may run backwards: ``seconds`` is then negative.
    """

    name: str
    seconds: float
    start: float
    share: float
    of_step: float
    bound: str
    fill: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Parts of one phase in the order of the model, then what the whole adds; seconds. The end has
    its 80 % interval."""

    phase: str
    sum_seconds: float
    end_seconds: float
    end_low_seconds: float
    end_high_seconds: float
    bars: tuple[WaterfallBar, ...]
    rest: WaterfallBar


def waterfall(plan: Plan, phase: str) -> Waterfall:
    """``decode``: a step against TPOT; ``prefill``: one prompt against TTFT."""
    perf = plan.performance
    estimate = perf.tpot_seconds if phase == "decode" else perf.ttft_seconds
    end = estimate.value
    times: dict[str, dict[str, float]] = {}
    for unit in plan.units:
        by_bound = times.setdefault(unit.kind, {})
        by_bound[unit.bound] = by_bound.get(unit.bound, 0.0) + getattr(unit, f"{phase}_seconds")
    total = sum(sum(t.values()) for t in times.values())
    width = max(total, end) or 1.0
    bars, at = [], 0.0
    for kind, by_bound in times.items():
        took = sum(by_bound.values())
        bound = max(by_bound, key=lambda name: by_bound[name]) if phase == "decode" else ""
        bars.append(
            WaterfallBar(
                kind,
                took,
                at / width,
                took / width,
                took / total if total else 0.0,
                bound,
                BOUND_FILLS.get(bound, ""),
            )
        )
        at += took
    rest = end - total
    return Waterfall(
        phase,
        total,
        end,
        estimate.low,
        estimate.high,
        tuple(bars),
        WaterfallBar("", rest, min(total, end) / width, abs(rest) / width, 0.0, "", ""),
    )
