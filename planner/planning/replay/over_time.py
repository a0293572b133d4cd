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
ROUNDING = 1e-9
"""Of an interval: passes that are shorter are none."""


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
    runs = busy > ROUNDING * width
    in_use = np.divide(in_cache, busy, out=np.zeros_like(busy), where=runs)
    if not apart:
        tokens = tokens + _first_tokens(served, width)
    came = np.clip((stream.arrival_seconds // width).astype(np.int64), 0, INTERVALS - 1)
    ttft = served.first_seconds - stream.arrival_seconds
    medians = [ttft[(came == i) & ~np.isnan(ttft)] for i in range(INTERVALS)]
    return OverTime(
        _plain(ends),
        _plain(waiting_at(stream, served, ends)),
        _plain(decoded / width),
        _plain(in_use),
        _plain(tokens / width),
        tuple(float(np.median(values)) if len(values) else None for values in medians),
    )


def _of_passes(served: ServedRequests, ends: Array) -> tuple[Array, ...]:
    """Sums of passes by interval: their seconds, those times sequences that decode and times the
    share of the cache, each over the time that they ran; and tokens, where they begin."""
    folded = served.folded
    if folded is not None:
        sums = (folded.seconds, folded.sequence_seconds, folded.share_seconds, folded.tokens)
        return tuple(folded.on_intervals(values, ends) for values in sums)
    decoding = served.decoding.astype(np.float64)
    ones = np.ones(len(decoding))
    place = np.clip((served.start_seconds // float(ends[0])).astype(np.int64), 0, INTERVALS - 1)
    return (
        *(seconds_run(served, of, ends) for of in (ones, decoding, served.cache_share)),
        np.bincount(place, weights=decoding, minlength=INTERVALS).astype(np.float64),
    )


def seconds_run(served: ServedRequests, weights: Array, ends: Array) -> Array:
    """Seconds of passes times their ``weights`` [S] on intervals with ``ends`` [n], the first from
    0: of a pass that goes on beyond one, what is left of it counts in the next."""
    begin = served.start_seconds
    ran = _left(begin, weights, ends) - _left(begin + served.pass_seconds, weights, ends)
    return np.maximum(ran, 0.0)  # a difference of sums is below nothing by rounding


def _left(since: Array, weights: Array, ends: Array) -> Array:
    """Seconds of each interval [n] after ``since`` [S], times ``weights`` [S], summed."""
    width, count = float(ends[0]), len(ends)
    since = np.clip(since, 0.0, float(ends[-1]))
    place = np.minimum((since // width).astype(np.int64), count - 1)
    rest = np.maximum(ends[place] - since, 0.0)
    own, whole = (
        np.bincount(place, weights=values, minlength=count) for values in (weights * rest, weights)
    )
    return np.asarray(own + width * (np.cumsum(whole) - whole), dtype=np.float64)


def _first_tokens(served: ServedRequests, width: float) -> Array:
    first = served.first_seconds[~np.isnan(served.first_seconds)]
    place = np.clip((first // width).astype(np.int64), 0, INTERVALS - 1)
    return np.bincount(place, minlength=INTERVALS).astype(np.float64)


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(values.tolist())
