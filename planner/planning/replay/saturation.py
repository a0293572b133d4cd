"""Whether more requests come than are served, by how much, and which rate would hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from planner.planning.replay.record import Saturation
from planner.requests.stream import RequestStream
from planner.scheduler.served import ServedRequests

Array = NDArray[np.float64]
GROWING = 0.02
"""Of the rate of arrivals: a queue that grows faster is one without end."""
FEW = 4.0
"""Requests that wait at the end of arrivals by chance alone."""
SAMPLES = 200
"""Times at which the queue is counted."""
HALVINGS = 4
"""Replays that look for the rate that holds, each halving what is left of its range."""


def is_saturated(stream: RequestStream, served: ServedRequests) -> bool:
    """Whether the queue grew through the second half of the arrivals."""
    return _growth(stream, served) > GROWING * offered_rate(stream)


def offered_rate(stream: RequestStream) -> float:
    """Requests a second; of a single one 0."""
    seconds = float(stream.arrival_seconds[-1])
    return (len(stream) - 1) / seconds if seconds > 0 else 0.0


def saturation(
    stream: RequestStream, served: ServedRequests, holds: Callable[[float], bool]
) -> Saturation | None:
    """How far ``stream`` is beyond what is served; None where it is not. ``holds`` replays it with
    arrivals slowed down to a share of its rate, and says whether its queue stays."""
    if not is_saturated(stream, served):
        return None
    offered = offered_rate(stream)
    finished = min(_served_rate(served), (1 - GROWING) * offered)
    # What is served beside a queue is the most: slower arrivals fill passes less.
    low, high = 0.0, finished / offered
    if holds(0.95 * high):
        low = 0.95 * high
    else:
        high *= 0.95
        for _ in range(HALVINGS):
            middle = (low + high) / 2 if low else 0.8 * high
            low, high = (middle, high) if holds(middle) else (low, middle)
    return Saturation(offered, finished, offered - finished, low * offered)


def waiting_at(stream: RequestStream, served: ServedRequests, seconds: Array) -> Array:
    """Requests that have come and wait for their first pass at the times ``seconds`` [n]; rejected
    ones do not wait."""
    known = ~served.rejected
    came = np.sort(stream.arrival_seconds[known])
    started = served.scheduled_seconds[known]
    started = np.sort(started[~np.isnan(started)])
    counts = (np.searchsorted(times, seconds, side="right") for times in (came, started))
    arrived, scheduled = counts
    return np.asarray(arrived - scheduled, dtype=np.float64)


def _served_rate(served: ServedRequests) -> float:
    """Requests/s that started while the queue was there: the middle 80 % of all starts, also after
    the last arrival."""
    started = np.sort(served.scheduled_seconds[~np.isnan(served.scheduled_seconds)])
    first, last = len(started) // 10, len(started) - 1 - len(started) // 10
    seconds = float(started[last] - started[first])
    return (last - first) / seconds if seconds > 0 else 0.0


def _growth(stream: RequestStream, served: ServedRequests) -> float:
    """Requests/s by which the queue grew over the second half of the arrivals, by least squares;
    0 where few wait at their end."""
    last = float(stream.arrival_seconds[-1])
    at = np.linspace(last / 2, last, SAMPLES)
    waiting = waiting_at(stream, served, at)
    if last <= 0 or waiting[-SAMPLES // 10 :].mean() <= FEW:
        return 0.0
    away = at - at.mean()
    return float(away @ waiting) / float(away @ away)
