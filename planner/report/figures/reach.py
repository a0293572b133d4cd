"""What more or less loss buys, as numbers: the frontier of a plan's layout, the plan with its
intervals, and the uniform formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.planning.inspect.layout_frontier import Reach, alike
from planner.planning.plan.record import Plan


@dataclass(frozen=True, slots=True)
class ReachPlace:
    """A loss and what it buys; ends of 80 % intervals where they are known, else None."""

    loss: float
    value: float
    names: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None


@dataclass(frozen=True, slots=True)
class ReachFigure:
    """Values are TPOT [s] where ``late``, and less is better; else output tokens/s per device."""

    late: bool
    loss_unit: str
    mine: ReachPlace
    curve: tuple[ReachPlace, ...]
    others: tuple[ReachPlace, ...]

    @property
    def places(self) -> tuple[ReachPlace, ...]:
        """All of them, the plan first."""
        return (self.mine, *self.curve, *self.others)


def reach_figure(plan: Plan, found: Sequence[Reach]) -> ReachFigure:
    """The numbers of the figure, ``found`` being the frontier on the plan's layout."""
    late, perf, quality = plan.objective == "latency", plan.performance, plan.quality
    own = perf.tpot_seconds if late else perf.output_tokens_per_second_per_device
    return ReachFigure(
        late,
        quality.unit,
        ReachPlace(quality.loss, own.value, (), own.low, own.high, quality.low, quality.high),
        tuple(
            ReachPlace(r.loss, r.tpot_seconds if late else r.output_tokens_per_second_per_device)
            for r in found
        ),
        tuple(
            ReachPlace(loss, tpot if late else rate, tuple(names))
            for names, loss, tpot, rate in alike(plan)
        ),
    )
