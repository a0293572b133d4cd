"""What a plan's figure does when one premise is a fifth less or more, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

from planner.planning.inspect.sensitivity import End, Sensitivity, Swing
from planner.planning.plan.record import Plan


@dataclass(frozen=True, slots=True)
class PremiseEnds:
    """A premise, and the figure with it a fifth ``less`` and ``more``."""

    swing: Swing
    less: float
    more: float

    @property
    def effect(self) -> float:
        """How far both are apart."""
        return abs(self.more - self.less)


@dataclass(frozen=True, slots=True)
class PremisesFigure:
    """Values are TPOT [s] where ``late``, else output tokens/s per device: ``now`` as the plan is
    priced again, ``low`` to ``high`` its 80 % interval; rows in falling order of their effect."""

    late: bool
    now: float
    low: float
    high: float
    rows: tuple[PremiseEnds, ...]


def premises_figure(plan: Plan, found: Sensitivity) -> PremisesFigure:
    """The numbers of the figure; ``found`` is the plan priced again."""
    late, perf = plan.objective == "latency", plan.performance
    own = perf.tpot_seconds if late else perf.output_tokens_per_second_per_device

    def value(end: End) -> float:
        return end.tpot_seconds if late else end.output_tokens_per_second_per_device

    rows = [PremiseEnds(s, value(s.low), value(s.high)) for s in found.swings]
    return PremisesFigure(
        late, value(found.now), own.low, own.high, tuple(sorted(rows, key=lambda row: -row.effect))
    )
