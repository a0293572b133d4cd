"""Numbers behind the report's bars: where a step's time goes, and the uniform formats."""

from __future__ import annotations

from dataclasses import dataclass

from planner.planning.plan import Plan
from planner.report import words
from planner.units import GIB

LOSSIER = 1.05
"""Loss relative to the plan's above which a uniform format is drawn pale."""
BOUND_FILLS = {"compute": "#1d5f9e", "memory": "#0b6f63", "launch": "#6b7380",
               "communication": "#9a4a06", "conversion": "#6d28a8"}


@dataclass(frozen=True, slots=True)
class Bar:
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
    """Parts of one phase in the order of the model, then what the whole adds; seconds."""

    phase: str
    sum_seconds: float
    end_seconds: float
    bars: tuple[Bar, ...]
    rest: Bar


def waterfall(plan: Plan, phase: str) -> Waterfall:
    """``decode``: a step against TPOT; ``prefill``: one prompt against TTFT."""
    perf = plan.performance
    end = (perf.tpot_seconds if phase == "decode" else perf.ttft_seconds).value
    times: dict[str, dict[str, float]] = {}
    for unit in plan.units:
        by_bound = times.setdefault(unit.kind, {})
        by_bound[unit.bound] = by_bound.get(unit.bound, 0.0) + getattr(unit, f"{phase}_seconds")
    whole = sum(sum(t.values()) for t in times.values())
    width = max(whole, end) or 1.0
    bars, at = [], 0.0
    for kind, by_bound in times.items():
        took = sum(by_bound.values())
        bound = max(by_bound, key=lambda name: by_bound[name]) if phase == "decode" else ""
        bars.append(Bar(kind, took, at / width, took / width, took / whole if whole else 0.0,
                        bound, BOUND_FILLS.get(bound, "")))
        at += took
    rest = end - whole
    return Waterfall(phase, whole, end, tuple(bars),
                     Bar("", rest, min(whole, end) / width, abs(rest) / width, 0.0, "", ""))


@dataclass(frozen=True, slots=True)
class Rival:
    """A bar of the chart of uniform formats: ``length`` relative to the longest [1]."""

    name: str
    value: str
    loss: str
    length: float
    pale: bool
    own: bool


def rivals(plan: Plan) -> tuple[Rival, ...]:
    """The plan, then every feasible baseline, by the plan's objective."""
    perf = plan.performance
    rows = [("", perf.tpot_seconds.value, perf.output_tokens_per_second_per_device.value,
             plan.memory_per_device.total_bytes, plan.quality.loss)]
    rows += [(b.name, b.tpot_seconds, b.output_tokens_per_second_per_device,
              b.total_bytes_per_device, b.loss) for b in plan.baselines if b.feasible]
    shown = [_metric(plan.objective, *row[1:]) for row in rows]
    longest = max(value for value, _ in shown) or 1.0
    return tuple(Rival(name, text, words.loss(lost), value / longest,
                       lost > plan.quality.loss * LOSSIER, i == 0)
                 for i, ((name, *_, lost), (value, text))
                 in enumerate(zip(rows, shown, strict=True)))


def _metric(objective: str, tpot: float, rate: float, size: int, lost: float,
            ) -> tuple[float, str]:
    """(number, text) that the objective compares."""
    if objective == "latency":
        return tpot, words.span(tpot)
    if objective == "memory":
        return float(size), f"{size / GIB:.1f} GiB"
    if objective == "quality":
        return lost, words.loss(lost)
    return rate, words.three(rate)
