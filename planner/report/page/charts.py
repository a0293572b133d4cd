"""Numbers behind the report's bars of uniform formats."""

from __future__ import annotations

from dataclasses import dataclass

from planner.planning.plan.record import Plan
from planner.planning.question.question import RATES
from planner.report import words
from planner.report.phrases import Phrases
from planner.units import GIB

WORSE = 1.05
"""Loss, or time of a token, relative to the plan's above which a uniform format is drawn pale."""


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
    perf = plan.performance
    rows = [("", perf.tpot_seconds.value, perf.output_tokens_per_second_per_device.value,
             plan.memory_per_device.total_bytes, plan.quality.loss)]
    alike: dict[tuple[float, float, int, float], str] = {}
    other = plan.deployment.aggregated if plan.deployment is not None else None
    if other is not None and plan.objective in RATES:
        rows.append((t("pools.both"), other.tpot_seconds,
                     other.output_tokens_per_second_per_device, 0, _loss_of_aggregated(plan)))
    for b in plan.baselines:
        if b.feasible:
            figures = (b.tpot_seconds, b.output_tokens_per_second_per_device,
                       b.total_bytes_per_device, b.loss)
            name = t.pieced(b.name)
            alike[figures] = f"{alike[figures]} = {name}" if figures in alike else name
    rows += [(name, *figures) for figures, name in alike.items()]
    shown = [_metric(plan.objective, *row[1:]) for row in rows]
    longest = max(value for value, _ in shown) or 1.0
    return tuple(ChartRival(name, text, words.loss(lost), value / longest,
                       lost > plan.quality.loss * WORSE
                       or time > perf.tpot_seconds.value * WORSE, i == 0)
                 for i, ((name, time, *_, lost), (value, text))
                 in enumerate(zip(rows, shown, strict=True)))


def _loss_of_aggregated(plan: Plan) -> float:
    """The loss of the workers that do both, which stand first among the other plans."""
    told = plan.recommendation
    return told.alternatives[0].loss if told is not None and told.alternatives else 0.0


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
