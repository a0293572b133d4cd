"""Pools of prefill workers as arrays against the closed loop's, a number at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.throughput.pool_rates import MOST_BUSY, PrefillRates
from planner.throughput.pools import PrefillPoolState

STREAM = 1e15
GROUPS = st.lists(st.floats(0.01, 0.5), min_size=1, max_size=8).map(np.cumsum)


@given(
    group=GROUPS, ranks=st.integers(1, 8), workers=st.integers(1, 6), share=st.floats(0.01, 0.99)
)
def test_waits_are_those_of_the_closed_loop(
    group: np.ndarray, ranks: int, workers: int, share: float
) -> None:
    kinds = PrefillRates(np.array([float(ranks)]), group[None], np.array([np.inf]))
    pool = PrefillPoolState(workers, workers * ranks, len(group), tuple(group.tolist()))
    assert workers * kinds.fastest[0] == pytest.approx(pool.fastest)
    rate = share * pool.fastest
    found = kinds.seconds(np.array([[rate]]), np.array([float(workers)]))[0, 0]
    assert found == pytest.approx(pool.seconds(rate, STREAM), rel=1e-9)


@given(
    group=GROUPS, ranks=st.integers(1, 8), workers=st.integers(1, 6), limit=st.floats(0.005, 20.0)
)
def test_the_highest_rate_in_time_keeps_the_limit_and_none_above_does(
    group: np.ndarray, ranks: int, workers: int, limit: float
) -> None:
    kinds = PrefillRates(np.array([float(ranks)]), group[None], np.array([np.inf]))
    counts = np.array([float(workers)])
    rate = kinds.within(np.array([limit]), counts)
    most = MOST_BUSY * workers * kinds.fastest[0]
    if limit <= group[0] * 1.001:
        assert rate[0, 0] < most
        return
    assert rate[0, 0] <= most * (1 + 1e-12)
    assert kinds.seconds(rate, counts)[0, 0] <= limit * (1 + 1e-9)
    if rate[0, 0] < most * (1 - 1e-6):
        assert kinds.seconds(rate * 1.001, counts)[0, 0] > limit


def test_more_workers_read_more_in_time() -> None:
    kinds = PrefillRates(
        np.array([1.0, 8.0]), np.array([[0.2, 0.3], [0.4, 0.5]]), np.array([np.inf, np.inf])
    )
    rates = kinds.within(np.array([0.6, 0.6]), np.array([1.0, 2.0, 4.0]))
    assert (np.diff(rates, axis=1) > 0).all()


def test_a_link_limits_what_is_sent() -> None:
    kinds = PrefillRates(np.array([2.0]), np.array([[0.1]]), np.array([3.0]))
    assert kinds.within(np.array([np.inf]), np.array([1.0, 4.0])).tolist() == [[3.0, 12.0]]
