"""Times of requests and tokens from what a scheduler served."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.replay.record import METRICS
from planner.requests.stream import RequestStream
from planner.scheduler.folded import token_gaps
from planner.scheduler.served import ServedRequests

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
PERCENTILES = (50.0, 90.0, 99.0)


@record
class RequestTimes:
    """Seconds of M requests [M] that were served, and of tokens after the first: ``itl`` [P] by
    pass with the tokens ``tokens`` [P] that it yields."""

    ttft: Array
    tpot: Array
    e2e: Array
    queue: Array
    itl: Array
    tokens: Array

    def summary(self) -> dict[str, Array]:
        """(mean, p50, p90, p99) [4] of each time [s]; nan where nothing was served."""
        of_requests = {
            name: _summary(getattr(self, name.removesuffix("_seconds")))
            for name in METRICS
            if name != "itl_seconds"
        }
        return of_requests | {"itl_seconds": _weighted_summary(self.itl, self.tokens)}


def request_times(
    stream: RequestStream, served: ServedRequests, first: float = 0.0, end: float = np.inf
) -> RequestTimes:
    """Times of the requests that came from ``first`` to before ``end`` [s] and were served, and of
    the tokens of passes that began then."""
    came = stream.arrival_seconds
    here = (came >= first) & (came < end) & ~np.isnan(served.last_seconds)
    came, start, last = came[here], served.first_seconds[here], served.last_seconds[here]
    later = served.made_tokens[here] - 1
    tpot = (last - start)[later > 0] / later[later > 0]
    return RequestTimes(
        start - came,
        tpot,
        last - came,
        served.scheduled_seconds[here] - came,
        *_gaps(served, first, end),
    )


def _gaps(served: ServedRequests, first: float, end: float) -> tuple[Array, Array]:
    """(seconds since the token before, tokens) [P] of passes that began from ``first`` to before
    ``end`` [s]; of folded ones by bin of gaps."""
    folded = served.folded
    if folded is not None:
        tokens = folded.gaps_between(first, end)
        return folded.gap_seconds[tokens > 0], tokens[tokens > 0]
    gaps, _ = token_gaps(served.start_seconds, served.pass_seconds, served.decoding)
    passes = (served.start_seconds >= first) & (served.start_seconds < end) & (served.decoding > 0)
    return gaps[passes], served.decoding[passes].astype(np.float64)


def _summary(values: Array) -> Array:
    if not len(values):
        return np.full(1 + len(PERCENTILES), np.nan)
    return np.concatenate([[values.mean()], np.percentile(values, PERCENTILES)])


def _weighted_summary(values: Array, weights: Array) -> Array:
    """Mean and percentiles of ``values`` that stand for so many each."""
    total = float(weights.sum())
    if not total:
        return np.full(1 + len(PERCENTILES), np.nan)
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    at = np.searchsorted(below, np.array(PERCENTILES) / 100 * total)
    return np.concatenate(
        [[float(values @ weights) / total], values[order][np.minimum(at, len(order) - 1)]]
    )
