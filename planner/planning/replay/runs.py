"""A stream through a deployment: as it is priced, and at both ends of what its passes may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

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
    """How replicas share requests, by a ``seed``; ``progress`` is told how many were served,
    and how many come."""

    router: str = LEAST_LOADED
    seed: int = 0
    progress: Callable[[int, int], None] | None = None


@record
class Runs:
    """What was served with passes as priced (``middle``), and at the lower (``fast``) and the upper
    end (``slow``) of their 80 % interval. ``basis`` of their times; ``evidence`` by metric.
    ``stream``: the requests that came until it ended. ``complete``: no interrupt ended a run early;
    else the ends have the times of ``middle``, longer as passes are, for no queue was replayed with
    them."""

    stream: RequestStream
    middle: ServedRequests
    fast: ServedRequests
    slow: ServedRequests
    basis: str
    evidence: Mapping[str, Evidence]
    complete: bool = True

    @property
    def every(self) -> tuple[ServedRequests, ServedRequests, ServedRequests]:
        """The three, as priced first."""
        return self.middle, self.fast, self.slow


def served(where: Replayed, stream: RequestStream, how: Routing) -> ServedRequests:
    """``stream`` through all replicas."""
    told, count = how.progress, len(stream)
    return run(
        stream,
        where.rules,
        where.costs,
        where.policy,
        ranks=where.layout.dp,
        replicas=where.replicas,
        router=how.router,
        seed=how.seed,
        progress=None if told is None else lambda done: told(done, count),
    )


def three_runs(where: Replayed, stream: RequestStream, how: Routing) -> Runs:
    """``stream`` three times, by the same draws, so that queues widen intervals as they would."""
    middle = served(where, stream, how)
    requests = in_flight(stream, middle) / where.replicas
    fast, slow, basis = at_interval_ends(where, mean_batch(middle), requests, stream)
    question, kind = where.plan.model.question, kind_at(where, requests)
    evidence = {
        name: evidence_here(question, kind, name) for name in ("ttft", "tpot", "throughput")
    }
    if middle.complete:
        lower = served(fast, stream, how)
        upper = served(slow, stream, how) if lower.complete else lower
        if upper.complete:
            return Runs(stream, middle, lower, upper, basis, evidence)
    stream, middle = _until_its_end(stream, middle)
    lower, upper = (_stretched(stream, middle, *_longer(where, end)) for end in (fast, slow))
    return Runs(stream, middle, lower, upper, basis, evidence, complete=False)


def _until_its_end(
    stream: RequestStream, served: ServedRequests
) -> tuple[RequestStream, ServedRequests]:
    """The requests that came before the last pass ended, and what became of them."""
    end = float(served.start_seconds[-1] + served.pass_seconds[-1]) if len(served.waiting) else 0.0
    count = max(int(np.searchsorted(stream.arrival_seconds, end, side="right")), 1)
    until = slice(count)
    return (
        replace(
            stream,
            arrival_seconds=stream.arrival_seconds[until],
            input_tokens=stream.input_tokens[until],
            output_tokens=stream.output_tokens[until],
            cached_tokens=stream.cached_tokens[until],
            block_start=stream.block_start[: count + 1],
        ),
        replace(
            served,
            first_seconds=served.first_seconds[until],
            last_seconds=served.last_seconds[until],
            scheduled_seconds=served.scheduled_seconds[until],
            preempted=served.preempted[until],
            hit_tokens=served.hit_tokens[until],
            rejected=served.rejected[until],
            made_tokens=served.made_tokens[until],
        ),
    )


def _longer(where: Replayed, end: Replayed) -> tuple[float, float]:
    """How many times as long decode steps and prompts are at an ``end``."""
    step = end.costs.decode.sum() / where.costs.decode.sum()
    return float(step), float(end.costs.mixed.sum() / where.costs.mixed.sum())


def _stretched(
    stream: RequestStream, served: ServedRequests, step: float, prompt: float
) -> ServedRequests:
    """Times until the first token ``prompt`` times as long, and after it ``step`` times."""
    came = stream.arrival_seconds
    first = came + (served.first_seconds - came) * prompt
    return replace(
        served,
        first_seconds=first,
        last_seconds=first + (served.last_seconds - served.first_seconds) * step,
        scheduled_seconds=came + (served.scheduled_seconds - came) * prompt,
        pass_seconds=served.pass_seconds * np.where(served.prompt_tokens > 0, prompt, step),
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
