"""A plan beside uniform formats, as numbers: what its objective compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from planner.planning.plan.record import Plan
from planner.planning.question.question import RATES

WORSE = 1.05
"""Loss, or time of a token, relative to the plan's above which a uniform format is drawn pale."""
Compares = Literal["rate", "late", "memory", "loss"]


@dataclass(frozen=True, slots=True)
class RivalRow:
    """``value`` with its 80 % interval where there is one; ``names`` of formats whose figures are
    the same, empty for the plan and for the workers that do both. ``pale``: loses over 5 % more
    than the plan, or takes over 5 % longer a token."""

    kind: Literal["plan", "aggregated", "uniform"]
    names: tuple[str, ...]
    value: float
    low: float | None
    high: float | None
    loss: float
    pale: bool


@dataclass(frozen=True, slots=True)
class RivalsFigure:
    """Values are output tokens/s per device (``rate``), TPOT [s] (``late``), bytes of the fullest
    device (``memory``) or losses in ``loss_unit``."""

    compares: Compares
    loss_unit: str
    rows: tuple[RivalRow, ...]

    @property
    def longest(self) -> float:
        """The greatest value, 1 where all are 0."""
        return max(row.value for row in self.rows) or 1.0


@dataclass(frozen=True, slots=True)
class _Found:
    """What is compared of one way to serve."""

    tpot: float
    rate: float
    size: int
    loss: float

    def value(self, compares: Compares) -> float:
        return {
            "rate": self.rate,
            "late": self.tpot,
            "memory": float(self.size),
            "loss": self.loss,
        }[compares]


def rivals_figure(plan: Plan) -> RivalsFigure:
    """The plan, workers that do both beside pools, then every feasible baseline."""
    perf, quality = plan.performance, plan.quality
    compares = _compares(plan.objective)
    low, high = {
        "rate": (
            perf.output_tokens_per_second_per_device.low,
            perf.output_tokens_per_second_per_device.high,
        ),
        "late": (perf.tpot_seconds.low, perf.tpot_seconds.high),
        "memory": (None, None),
        "loss": (quality.low, quality.high),
    }[compares]
    own = _Found(
        perf.tpot_seconds.value,
        perf.output_tokens_per_second_per_device.value,
        plan.memory_per_device.total_bytes,
        quality.loss,
    )
    rows = [RivalRow("plan", (), own.value(compares), low, high, own.loss, False)]
    other = plan.deployment.aggregated if plan.deployment is not None else None
    if other is not None and plan.objective in RATES:
        both = _Found(
            other.tpot_seconds,
            other.output_tokens_per_second_per_device,
            0,
            _loss_of_aggregated(plan),
        )
        rows.append(
            RivalRow(
                "aggregated", (), both.value(compares), None, None, both.loss, _pale(both, own)
            )
        )
    alike: dict[_Found, list[str]] = {}
    for b in plan.baselines:
        if b.feasible:
            alike.setdefault(
                _Found(
                    b.tpot_seconds,
                    b.output_tokens_per_second_per_device,
                    b.total_bytes_per_device,
                    b.loss,
                ),
                [],
            ).append(b.name)
    rows += [
        RivalRow(
            "uniform",
            tuple(names),
            found.value(compares),
            None,
            None,
            found.loss,
            _pale(found, own),
        )
        for found, names in alike.items()
    ]
    return RivalsFigure(compares, quality.unit, tuple(rows))


def _compares(objective: str) -> Compares:
    if objective == "latency":
        return "late"
    if objective == "memory":
        return "memory"
    return "loss" if objective == "quality" else "rate"


def _pale(found: _Found, own: _Found) -> bool:
    return found.loss > own.loss * WORSE or found.tpot > own.tpot * WORSE


def _loss_of_aggregated(plan: Plan) -> float:
    """The loss of the workers that do both, which stand first among the other plans."""
    told = plan.recommendation
    return told.alternatives[0].loss if told is not None and told.alternatives else 0.0
