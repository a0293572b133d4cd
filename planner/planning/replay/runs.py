"""A stream through a deployment: as it is priced, and at both ends of what its passes may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from planner.base.records import record
from planner.planning.plan.evidence import Evidence
from planner.planning.price.plan_kinds import evidence_here
from planner.planning.replay.deployment import Replayed, at_interval_ends, kind_at
from planner.requests.stream import RequestStream
from planner.scheduler.rules import LEAST_LOADED
from planner.scheduler.run import run
from planner.scheduler.served import ServedRequests

Limits = Mapping[str, float]
"""Seconds that a request may take, by ``ttft``, ``tpot`` and ``e2e``."""


@record
class Routing:
    """How replicas share requests, by a ``seed``; ``progress`` is told how many were served."""

    router: str = LEAST_LOADED
    seed: int = 0
    progress: Callable[[int], None] | None = None


@record
class Runs:
    """What was served with passes as priced (``middle``), and at the lower (``fast``) and the upper
    end (``slow``) of their 80 % interval. ``basis`` of their times; ``evidence`` by metric."""

    middle: ServedRequests
    fast: ServedRequests
    slow: ServedRequests
    basis: str
    evidence: Mapping[str, Evidence]

    @property
    def every(self) -> tuple[ServedRequests, ServedRequests, ServedRequests]:
        """The three, as priced first."""
        return self.middle, self.fast, self.slow


def served(where: Replayed, stream: RequestStream, how: Routing) -> ServedRequests:
    """``stream`` through all replicas."""
    return run(
        stream,
        where.rules,
        where.costs,
        where.policy,
        ranks=where.layout.dp,
        replicas=where.replicas,
        router=how.router,
        seed=how.seed,
        progress=how.progress,
    )


def three_runs(where: Replayed, stream: RequestStream, how: Routing) -> Runs:
    """``stream`` three times, by the same draws, so that queues widen intervals as they would."""
    middle = served(where, stream, how)
    requests = in_flight(stream, middle) / where.replicas
    fast, slow, basis = at_interval_ends(where, mean_batch(middle), requests, stream)
    question, kind = where.plan.model.question, kind_at(where, requests)
    return Runs(
        middle,
        served(fast, stream, how),
        served(slow, stream, how),
        basis,
        {name: evidence_here(question, kind, name) for name in ("ttft", "tpot", "throughput")},
    )


def mean_batch(served: ServedRequests) -> float:
    """Sequences that a pass decodes, weighed by its time."""
    busy = float(served.pass_seconds.sum())
    return float(served.pass_seconds @ served.decoding) / busy if busy else 1.0


def in_flight(stream: RequestStream, served: ServedRequests) -> float:
    """Requests in flight on average, from the first arrival to the last token (Little's law)."""
    done = ~np.isnan(served.last_seconds)
    if not done.any():
        return 1.0
    inside = float((served.last_seconds - stream.arrival_seconds)[done].sum())
    return inside / _seconds(stream, served)


def output_rate(stream: RequestStream, served: ServedRequests) -> float:
    """Output tokens/s from the first arrival to the last token."""
    done = ~np.isnan(served.last_seconds)
    return float(served.made_tokens[done].sum()) / _seconds(stream, served)


def good_rate(stream: RequestStream, served: ServedRequests, limits: Limits) -> float:
    """Requests/s that kept all ``limits``, from the first arrival to the last token."""
    done = ~np.isnan(served.last_seconds)
    came, tokens = stream.arrival_seconds[done], np.maximum(served.made_tokens[done] - 1, 1)
    first, last = served.first_seconds[done], served.last_seconds[done]
    times = {"ttft": first - came, "tpot": (last - first) / tokens, "e2e": last - came}
    kept = np.ones(len(came), dtype=bool)
    for name, most in limits.items():
        kept &= times[name] <= most
    return float(kept.sum()) / _seconds(stream, served)


def _seconds(stream: RequestStream, served: ServedRequests) -> float:
    """From the first arrival to the last token [s]; to the last arrival where none left."""
    last = np.nanmax(served.last_seconds, initial=float(stream.arrival_seconds[-1]))
    return max(float(last) - float(stream.arrival_seconds[0]), 1e-9)
