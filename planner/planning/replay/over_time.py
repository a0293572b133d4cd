"""A replay over time: what waits, decodes, fills the cache and leaves, on equal intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.planning.replay.record import OverTime
from planner.planning.replay.saturation import waiting_at
from planner.requests.stream import RequestStream
from planner.scheduler.served import ServedRequests

Array = NDArray[np.float64]
INTERVALS = 120


def interval_ends(stream: RequestStream, served: ServedRequests) -> Array:
    """:data:`INTERVALS` intervals from the first arrival to the last token: their ends [s]."""
    last = np.nanmax(served.last_seconds, initial=float(stream.arrival_seconds[-1]))
    return np.linspace(0.0, max(float(last), 1e-9), INTERVALS + 1)[1:]


def over_time(stream: RequestStream, served: ServedRequests, *, apart: bool = False) -> OverTime:
    """The replay on its intervals; ``apart``: passes make the first token of a request as well, as
    prompts were read elsewhere."""
    ends = interval_ends(stream, served)
    width = float(ends[0])
    busy, decoded, in_cache, tokens = _of_passes(served, ends)
    spent = np.maximum(busy, 1e-30)
    if not apart:
        tokens = tokens + _first_tokens(served, width)
    came = np.clip((stream.arrival_seconds // width).astype(np.int64), 0, INTERVALS - 1)
    ttft = served.first_seconds - stream.arrival_seconds
    medians = [ttft[(came == i) & ~np.isnan(ttft)] for i in range(INTERVALS)]
    return OverTime(
        _plain(ends),
        _plain(waiting_at(stream, served, ends)),
        _plain(decoded / width),
        _plain(in_cache / spent),
        _plain(tokens / width),
        tuple(float(np.median(values)) if len(values) else None for values in medians),
    )


def _of_passes(served: ServedRequests, ends: Array) -> tuple[Array, ...]:
    """Sums of passes by the interval that they begin in: their seconds, those times sequences that
    decode and times the share of the cache, and tokens."""
    folded = served.folded
    if folded is not None:
        sums = (folded.seconds, folded.sequence_seconds, folded.share_seconds, folded.tokens)
        return tuple(folded.on_intervals(values, ends) for values in sums)
    place = np.clip((served.start_seconds // float(ends[0])).astype(np.int64), 0, INTERVALS - 1)
    busy, tokens = served.pass_seconds, served.decoding.astype(np.float64)
    return tuple(
        np.bincount(place, weights=values, minlength=INTERVALS).astype(np.float64)
        for values in (busy, busy * served.decoding, busy * served.cache_share, tokens)
    )


def _first_tokens(served: ServedRequests, width: float) -> Array:
    first = served.first_seconds[~np.isnan(served.first_seconds)]
    place = np.clip((first // width).astype(np.int64), 0, INTERVALS - 1)
    return np.bincount(place, minlength=INTERVALS).astype(np.float64)


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(values.tolist())
