"""Runs at a rate: their requests through the scheduler of the deployment, as ``planner.replay``
has them.

The client's limit on requests in flight is one on those that run: a request is sent when the one
that many before it, in order of their ends, has left, and its time until the first token counts
from then. Which draws of its law a run had is not known unless its file has the times of sending:
several are replayed, and how far their means lie apart widens the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.lab.learning.forecast import RunForecast
from planner.lab.learning.results.run import MeasuredRun
from planner.messages.message import message
from planner.planning.plan.record import Estimate
from planner.planning.price.served_sigmas import Z80
from planner.planning.question.input import QuestionInput
from planner.planning.replay.deployment import Replayed, deployed, kind_at
from planner.planning.replay.estimates import EstimateMaker
from planner.planning.replay.rates import in_flight, output_rate
from planner.planning.replay.request_times import RequestTimes, request_times
from planner.planning.replay.runs import Routing, Runs, three_runs
from planner.planning.serving.serve import assigned
from planner.requests.arrivals import CONSTANT, arrival_times
from planner.requests.stream import RequestStream, plain_stream
from planner.scheduler.served import ServedRequests

DRAWS = 6
"""Streams of a law that are replayed; one where each request's time is told."""
REPLAYED = 20_000
"""Requests that all draws together have at most, beyond one draw."""


def streams_of(run: MeasuredRun, isl: int, osl: int, hit_rate: float = 0.0) -> list[RequestStream]:
    """The requests of a run at a rate, of ``isl`` and ``osl`` tokens where its file does not tell
    each: as they were sent, or several draws of its law of arrivals.

    Raises:
        InputError: the file does not say how many there were.
    """
    records = run.records
    count = len(records.input_tokens) if records is not None else run.completed
    if count < 1 or run.rate is None:
        raise InputError(
            message("verbs.learn_not_said", what="completed"),
            hint="a run at a rate is its requests: keep the line with how many were completed",
        )
    tokens = (np.full(count, isl), np.full(count, osl))
    if records is not None:
        tokens = (np.array(records.input_tokens), np.array(records.output_tokens))
    inputs, outputs = (column.astype(np.int64) for column in tokens)
    if records is not None and records.sent_seconds and run.concurrency is None:
        # Behind a limit they were sent as the server let them: that is what a replay finds.
        times = [np.array(records.sent_seconds)]
    else:
        draws = 1 if run.arrivals == CONSTANT else max(1, min(DRAWS, REPLAYED // count))
        times = [arrival_times(run.arrivals, run.rate, count, seed) for seed in range(draws)]
        if run.stretched:
            times = [at * (count / run.rate / at[-1]) if at[-1] > 0 else at for at in times]
    return [plain_stream(at, inputs, outputs, hit_rate) for at in times]


def sent_seconds(
    stream: RequestStream, served: ServedRequests, concurrency: float | None
) -> NDArray[np.float64]:
    """When a client that keeps at most ``concurrency`` requests in flight sent each [N]."""
    came, ends = stream.arrival_seconds, served.last_seconds
    if concurrency is None or concurrency >= len(stream):
        return came
    sent = came.copy()
    flying: list[float] = []
    for i, end in enumerate(ends):
        if len(flying) >= concurrency:
            sent[i] = max(sent[i], heappop(flying))
        if end == end:  # one that was rejected leaves at once
            heappush(flying, float(end))
    return sent


def open_forecast(run: MeasuredRun, inputs: QuestionInput, engine: str) -> RunForecast:
    """The replay of a run whose question is ``inputs``, without limits on times.

    Raises:
        InputError: the file does not say how many requests there were. InfeasibleError: it does not
            fit, or no request is served.
    """
    isl, osl = inputs.isl or 1, inputs.osl or 1
    streams = streams_of(run, isl, osl, inputs.prefix_hit_rate or 0.0)
    longest = max(int((s.input_tokens + s.output_tokens).max()) for s in streams)
    context = max(run.context or 0, longest, isl + osl)
    result = assigned(replace(inputs, context=context))
    where = deployed(
        result,
        streams[0],
        engine,
        plan=None,
        slots_max=run.max_sequences,
        chunk_tokens=run.chunk_tokens,
    )
    if run.concurrency is not None:
        most = max(1, min(int(run.concurrency), where.rules.max_sequences))
        where = replace(where, rules=replace(where.rules, max_sequences=most))
    return _pooled(where, [three_runs(where, stream, Routing()) for stream in streams], run)


def _pooled(where: Replayed, draws: Sequence[Runs], run: MeasuredRun) -> RunForecast:
    """The estimates of all draws together."""
    each = [[_times(runs, end, run.concurrency) for end in runs.every] for runs in draws]
    pooled = [_pooled_times(ends) for ends in zip(*each, strict=True)]
    times = EstimateMaker(draws[0]).times(pooled)
    rates = [
        float(np.mean([output_rate(runs.stream, runs.every[end]) for runs in draws]))
        for end in range(3)
    ]
    flying = float(np.mean([in_flight(runs.stream, runs.middle) for runs in draws]))
    apart = {
        name: _deviation([float(ends[0].summary()[name][0]) for ends in each])
        for name in ("tpot_seconds", "ttft_seconds", "e2e_seconds")
    }
    tpot, ttft, e2e = (
        _wider(found.mean, apart[name])
        for name, found in (
            ("tpot_seconds", times.tpot_seconds),
            ("ttft_seconds", times.ttft_seconds),
            ("e2e_seconds", times.e2e_seconds),
        )
    )
    return RunForecast(
        tpot,
        ttft,
        e2e,
        EstimateMaker(draws[0]).rate(rates),
        kind_at(where, flying),
        flying,
        apart["tpot_seconds"],
        apart["ttft_seconds"],
        *(float(values.std() / values.mean()) for values in (pooled[0].tpot, pooled[0].ttft)),
    )


def _times(runs: Runs, served: ServedRequests, concurrency: float | None) -> RequestTimes:
    """Times as the client sees them: from when it sent each request."""
    sent = sent_seconds(runs.stream, served, concurrency)
    return request_times(replace(runs.stream, arrival_seconds=sent), served)


def _pooled_times(draws: Sequence[RequestTimes]) -> RequestTimes:
    columns = ("ttft", "tpot", "e2e", "queue", "itl", "tokens")
    return RequestTimes(*(np.concatenate([getattr(d, name) for d in draws]) for name in columns))


def _deviation(means: Sequence[float]) -> float:
    """Log-space deviation of means; 0 of one."""
    return float(np.std(np.log(means), ddof=1)) if len(means) > 1 else 0.0


def _wider(estimate: Estimate, deviation: float) -> Estimate:
    """The estimate whose 80 % interval also has an independent log-space ``deviation``."""
    value = estimate.value
    if not deviation:
        return estimate
    low, high = (
        math.hypot(math.log(end / value), Z80 * deviation) for end in (estimate.low, estimate.high)
    )
    return replace(estimate, low=value * math.exp(-low), high=value * math.exp(high))
