"""A load beyond what is served: how fast its queue grows, and which rate holds."""

from __future__ import annotations

import numpy as np
import pytest
from planning.replay.streams import served_of, stream_of

from planner.planning.replay.over_time import INTERVALS, over_time
from planner.planning.replay.saturation import is_saturated, saturation, waiting_at
from planner.requests.stream import RequestStream
from planner.scheduler.served import ServedRequests


def one_by_one(rate: float, each: float, count: int = 1000) -> tuple[RequestStream, ServedRequests]:
    """Requests that come at ``rate``, each served alone in ``each`` seconds."""
    came = np.arange(count) / rate
    start, free = np.zeros(count), 0.0
    for i, at in enumerate(came):
        start[i] = max(at, free)
        free = start[i] + each
    return stream_of(came.tolist()), served_of(
        first_seconds=start + each,
        last_seconds=start + each,
        scheduled_seconds=start,
        start_seconds=start,
        pass_seconds=np.full(count, each),
        decoding=np.ones(count),
    )


def test_a_rate_that_is_served_is_none() -> None:
    stream, served = one_by_one(rate=5.0, each=0.19)
    assert not is_saturated(stream, served)
    assert saturation(stream, served, holds=lambda share: False) is None


def test_a_rate_beyond_is_told_with_its_queue_and_the_rate_that_holds() -> None:
    def holds(share: float) -> bool:
        return not is_saturated(*one_by_one(10.0 * share, each=0.2))

    beyond = saturation(*one_by_one(rate=10.0, each=0.2), holds)
    assert beyond is not None
    assert beyond.offered == pytest.approx(10.0)
    assert beyond.served == pytest.approx(5.0, rel=0.02)
    assert beyond.growth == pytest.approx(5.0, rel=0.02)
    assert 4.5 < beyond.holds <= 5.0


def test_where_nothing_near_holds_slower_rates_are_tried() -> None:
    stream, served = one_by_one(rate=10.0, each=0.2)
    tried: list[float] = []

    def holds(share: float) -> bool:
        tried.append(share)
        return share < 0.35

    beyond = saturation(stream, served, holds)
    assert beyond is not None
    assert 2.0 < beyond.holds < 3.5
    assert len(tried) <= 6


def test_a_burst_is_no_rate() -> None:
    stream, served = stream_of([0.0] * 20), one_by_one(5.0, 0.2, 20)[1]
    assert not is_saturated(stream, served)


def test_who_waits() -> None:
    stream = stream_of([0.0, 1.0, 2.0, 3.0])
    served = served_of(
        first_seconds=[1, 5, np.nan, 9],
        last_seconds=[2, 6, np.nan, 9],
        scheduled_seconds=[0.5, 4.0, np.nan, np.nan],
        rejected=[False, False, True, False],
    )
    waiting = waiting_at(stream, served, np.array([0.0, 0.6, 1.5, 2.5, 3.5, 4.5]))
    assert waiting.tolist() == [1, 0, 1, 1, 2, 1]


def test_over_time_adds_up() -> None:
    stream, served = one_by_one(rate=4.0, each=0.2, count=200)
    line = over_time(stream, served)
    assert len(line.seconds) == INTERVALS
    width = line.seconds[0]
    # A token of each pass, and the first of each request.
    assert sum(line.output_tokens_per_second) * width == pytest.approx(400)
    assert np.mean(line.decoding) == pytest.approx(0.8, rel=0.02)
    known = [value for value in line.ttft_seconds if value is not None]
    assert known == pytest.approx([0.2] * len(known))


def test_a_pass_counts_in_each_interval_that_it_runs_in() -> None:
    """Passes of 0.9 s without a break on intervals of 1 s: two begin in some, yet only so many
    sequences run as one pass has."""
    count = 130
    start = 0.9 * np.arange(count)
    last = np.full(count, start[-1] + 0.9)
    last[-1] = float(INTERVALS)
    served = served_of(
        first_seconds=start + 0.9,
        last_seconds=last,
        scheduled_seconds=start,
        start_seconds=start,
        pass_seconds=np.full(count, 0.9),
        decoding=np.full(count, 256),
        cache_share=np.full(count, 0.5),
    )
    line = over_time(stream_of(start.tolist()), served)
    busy = round(count * 0.9)
    assert line.decoding[:busy] == pytest.approx([256.0] * busy)
    assert line.decoding[busy:] == pytest.approx([0.0] * (INTERVALS - busy), abs=1e-9)
    assert line.cache_share[:busy] == pytest.approx([0.5] * busy)
