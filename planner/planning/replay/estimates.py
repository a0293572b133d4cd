"""Estimates of a replay: what three runs of one stream say of a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planner.base.records import record
from planner.planning.plan.record import Estimate
from planner.planning.replay.record import METRICS, Percentiles, TimePercentiles
from planner.planning.replay.request_times import RequestTimes
from planner.planning.replay.runs import Runs

EVIDENCE = {
    "ttft_seconds": "ttft",
    "itl_seconds": "tpot",
    "tpot_seconds": "tpot",
    "e2e_seconds": "throughput",
    "queue_seconds": "ttft",
}
"""The metric of served deployments that speaks for a time: a request's is what throughput is of."""


@record
class EstimateMaker:
    """Makes estimates of figures of three ``runs``: passes as priced, at the lower and at the upper
    end of their interval."""

    runs: Runs

    def times(self, runs: Iterable[RequestTimes]) -> TimePercentiles:
        """Mean and percentiles of each time; one run after the other, as each has every token."""
        every = [run.summary() for run in runs]
        return TimePercentiles(
            *(
                Percentiles(
                    *(
                        self._estimate([summary[name][i] for summary in every], EVIDENCE[name])
                        for i in range(4)
                    )
                )
                for name in METRICS
            )
        )

    def rate(self, runs: Sequence[float]) -> Estimate:
        """A rate of the whole run."""
        return self._estimate(runs, "throughput")

    def _estimate(self, runs: Sequence[float], metric: str) -> Estimate:
        """The first figure within all of them: a scheduler may make a faster device's tail
        longer."""
        return Estimate(
            float(runs[0]),
            float(min(runs)),
            float(max(runs)),
            self.runs.basis,
            self.runs.evidence[metric],
        )
