"""What the law says of a measured run's question."""

from __future__ import annotations

from planner.base.records import record
from planner.planning.plan.record import Estimate
from planner.planning.price.kinds import ServedKind


@record
class RunForecast:
    """Times [s] and output tokens/s of a run's question, with 80 % intervals where they are
    estimates; the kind of deployment and the requests ``in_flight`` that it was asked with (on
    average under a rate). ``tpot_draws`` and ``ttft_draws``: log-space deviation of their means
    from draw to draw of the arrivals; 0 where nothing is drawn. ``tpot_load`` and ``ttft_load``:
    deviations of a request's from the mean, over it, that the load alone makes."""

    tpot: Estimate
    ttft: Estimate
    e2e: Estimate | float
    output_rate: Estimate | float
    kind: ServedKind
    in_flight: float
    tpot_draws: float = 0.0
    ttft_draws: float = 0.0
    tpot_load: float = 0.0
    ttft_load: float = 0.0

    def draws(self, name: str) -> float:
        """``tpot_draws`` or ``ttft_draws``, by the name of the time."""
        return {"tpot": self.tpot_draws, "ttft": self.ttft_draws}[name]

    def load(self, name: str) -> float:
        """``tpot_load`` or ``ttft_load``."""
        return {"tpot": self.tpot_load, "ttft": self.ttft_load}[name]
