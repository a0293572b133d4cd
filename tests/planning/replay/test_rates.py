"""Rates and averages of what was served, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from planning.replay.streams import served_of, stream_of

from planner.planning.replay.rates import (
    good_rate,
    in_flight,
    mean_batch,
    output_rate,
    run_seconds,
)

STREAM = stream_of([2.0, 3.0, 4.0])
SERVED = served_of(
    first_seconds=[3.0, 3.5, np.nan],
    last_seconds=[5.0, 12.0, np.nan],
    made_tokens=[5, 21, 9],
    start_seconds=[2.0, 4.0],
    pass_seconds=[1.0, 3.0],
    decoding=[1, 5],
)
"""Ten seconds from the first arrival to the last token; the third is not served."""


def test_a_run_lasts_from_the_first_arrival_to_the_last_token() -> None:
    assert run_seconds(STREAM, SERVED) == 10.0
    nothing = served_of(first_seconds=[np.nan] * 3, last_seconds=[np.nan] * 3)
    assert run_seconds(STREAM, nothing) == 2.0
    assert in_flight(STREAM, nothing) == 1.0


def test_requests_in_flight_are_their_times_over_that_of_the_run() -> None:
    assert in_flight(STREAM, SERVED) == pytest.approx((3.0 + 9.0) / 10.0)


def test_tokens_of_answers_that_ended_count() -> None:
    assert output_rate(STREAM, SERVED) == pytest.approx((5 + 21) / 10.0)


def test_a_batch_weighs_by_its_time() -> None:
    assert mean_batch(SERVED) == pytest.approx((1 * 1.0 + 5 * 3.0) / 4.0)
    assert mean_batch(served_of(first_seconds=[1.0], last_seconds=[2.0])) == 1.0


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, 2),
        ({"ttft": 0.9}, 1),
        ({"ttft": 0.4}, 0),
        ({"ttft": 1.0}, 2),
        # 2 s for four tokens after the first, and 8.5 s for twenty.
        ({"tpot": 0.426}, 1),
        ({"tpot": 0.424}, 0),
        ({"tpot": 0.5}, 2),
        ({"e2e": 3.0}, 1),
        ({"e2e": 2.9}, 0),
        ({"ttft": 0.9, "e2e": 3.0}, 0),
    ],
)
def test_goodput_is_of_those_that_keep_every_limit(limits: dict[str, float], kept: int) -> None:
    assert good_rate(STREAM, SERVED, limits) == pytest.approx(kept / 10.0)
