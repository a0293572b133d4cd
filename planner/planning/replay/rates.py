"""Rates and averages of what was served: from the first arrival to the last token."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from planner.requests.stream import RequestStream
from planner.scheduler.served import ServedRequests

Limits = Mapping[str, float]
"""Seconds that a request may take, by ``ttft``, ``tpot`` and ``e2e``."""


def mean_batch(served: ServedRequests) -> float:
    """Sequences that a pass decodes, weighed by its time."""
    if served.folded is not None:
        spent = float(served.folded.seconds.sum())
        return float(served.folded.sequence_seconds.sum()) / spent if spent else 1.0
    busy = float(served.pass_seconds.sum())
    return float(served.pass_seconds @ served.decoding) / busy if busy else 1.0


def in_flight(stream: RequestStream, served: ServedRequests) -> float:
    """Requests in flight on average, from the first arrival to the last token (Little's law)."""
    done = ~np.isnan(served.last_seconds)
    if not done.any():
        return 1.0
    inside = float((served.last_seconds - stream.arrival_seconds)[done].sum())
    return inside / run_seconds(stream, served)


def output_rate(stream: RequestStream, served: ServedRequests) -> float:
    """Output tokens/s from the first arrival to the last token."""
    done = ~np.isnan(served.last_seconds)
    return float(served.made_tokens[done].sum()) / run_seconds(stream, served)


def good_rate(stream: RequestStream, served: ServedRequests, limits: Limits) -> float:
    """Requests/s that kept all ``limits``, from the first arrival to the last token."""
    done = ~np.isnan(served.last_seconds)
    came, tokens = stream.arrival_seconds[done], np.maximum(served.made_tokens[done] - 1, 1)
    first, last = served.first_seconds[done], served.last_seconds[done]
    times = {"ttft": first - came, "tpot": (last - first) / tokens, "e2e": last - came}
    kept = np.ones(len(came), dtype=bool)
    for name, most in limits.items():
        kept &= times[name] <= most
    return float(kept.sum()) / run_seconds(stream, served)


def run_seconds(stream: RequestStream, served: ServedRequests) -> float:
    """From the first arrival to the last token [s]; to the last arrival where none left."""
    last = np.nanmax(served.last_seconds, initial=float(stream.arrival_seconds[-1]))
    return max(float(last) - float(stream.arrival_seconds[0]), 1e-9)
