"""Times of requests and tokens from what was served."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning.replay.streams import served_of, stream_of

from planner.planning.replay.record import METRICS
from planner.planning.replay.request_times import request_times
from planner.scheduler.folded import token_gaps


def test_times_of_two_requests() -> None:
    stream = stream_of([0.0, 1.0], osl=5)
    served = served_of(
        first_seconds=[0.5, 2.0], last_seconds=[0.9, 3.0], scheduled_seconds=[0.1, 1.5]
    )
    times = request_times(stream, served)
    assert times.ttft.tolist() == [0.5, 1.0]
    assert times.tpot == pytest.approx([0.1, 0.25])
    assert times.e2e.tolist() == [0.9, 2.0]
    assert times.queue.tolist() == [0.1, 0.5]
    late = request_times(stream, served, first=0.5)
    assert late.ttft.tolist() == [1.0]


def test_what_was_not_served_counts_nowhere() -> None:
    stream = stream_of([0.0, 1.0])
    served = served_of(
        first_seconds=[0.5, np.nan], last_seconds=[0.9, np.nan], scheduled_seconds=[0.1, np.nan]
    )
    assert len(request_times(stream, served).ttft) == 1
    nothing = request_times(stream, served, first=5.0).summary()
    assert all(np.isnan(nothing[name]).all() for name in METRICS)


def test_an_answer_of_one_token_has_no_time_between_tokens() -> None:
    stream = stream_of([0.0], osl=1)
    served = served_of(
        first_seconds=[0.5], last_seconds=[0.5], scheduled_seconds=[0.1], made_tokens=[1]
    )
    assert not len(request_times(stream, served).tpot)


def test_every_token_weighs_the_same() -> None:
    """A pass that decodes nine sequences has nine of ten tokens."""
    stream = stream_of([0.0])
    served = served_of(
        first_seconds=[0.5],
        last_seconds=[0.9],
        scheduled_seconds=[0.0],
        start_seconds=[0.0, 5.0],
        pass_seconds=[0.01, 0.11],
        decoding=[9, 1],
    )
    mean, p50, p90, p99 = request_times(stream, served).summary()["itl_seconds"]
    assert mean == pytest.approx((9 * 0.01 + 0.11) / 10)
    assert (p50, p90, p99) == (0.01, 0.01, 0.11)


def test_prompts_that_run_alone_hold_tokens_up() -> None:
    served = served_of(
        first_seconds=[0.5],
        last_seconds=[0.9],
        scheduled_seconds=[0.0],
        start_seconds=[0.0, 1.0, 3.0, 6.0, 20.0, 21.0],
        pass_seconds=[1.0, 2.0, 3.0, 1.0, 1.0, 1.0],
        decoding=[2, 0, 0, 2, 0, 1],
    )
    # The first decodes; two read prompts; the rest are behind a pause and one prompt.
    gaps, _ = token_gaps(served.start_seconds, served.pass_seconds, served.decoding)
    assert gaps[[0, 3, 5]].tolist() == [1.0, 6.0, 2.0]


@given(st.lists(st.tuples(st.floats(0.001, 1.0), st.integers(1, 50)), min_size=1, max_size=40))
def test_percentiles_are_those_of_all_tokens(passes: list[tuple[float, int]]) -> None:
    seconds, batch = (np.array(x) for x in zip(*passes, strict=True))
    served = served_of(
        first_seconds=[0.5],
        last_seconds=[0.9],
        scheduled_seconds=[0.0],
        start_seconds=np.arange(len(seconds)) * 2.0,
        pass_seconds=seconds,
        decoding=batch,
    )
    mean, p50, p90, p99 = request_times(stream_of([0.0]), served).summary()["itl_seconds"]
    every = np.repeat(seconds, batch)
    assert mean == pytest.approx(every.mean())
    for value, at in ((p50, 50), (p90, 90), (p99, 99)):
        assert value == pytest.approx(np.percentile(every, at, method="inverted_cdf"))
