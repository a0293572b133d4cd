"""Limits on times: which time each is of, its percentile, and how much of it is used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.planning.plan.open_arrivals import LimitAtPercentile
from planner.planning.question.percentile_limits import LimitAt
from planner.sizing.level import PercentileTimes
from planner.sizing.service_level import E2E, TPOT, TTFT, ServiceLevel, level_of

LEVEL = ServiceLevel(2.0, 0.05, 90.0, 8.0, ttft_percentile=99.0, e2e_percentile=50.0)
PARTS = st.floats(0.0, 2.0)


def times(ttft: float, tpot: float, e2e: float) -> PercentileTimes:
    """Of requests that see these at the percentiles of their limits, and far more on average."""
    return PercentileTimes(ttft, tpot, e2e, 1e3, 1e3, 1.0, 0.0, 0.0)


def test_each_limit_has_its_own_percentile_or_that_of_most() -> None:
    assert LEVEL.limits == (
        LimitAtPercentile("TTFT", 2.0, 99.0),
        LimitAtPercentile("TPOT", 0.05, 90.0),
        LimitAtPercentile("E2E", 8.0, 50.0),
    )
    assert [LEVEL.share(what) for what in (TTFT, TPOT, E2E)] == [0.99, 0.9, 0.5]
    assert ServiceLevel(None, 0.05, 90.0, None, 99.0).limits == (
        LimitAtPercentile("TPOT", 0.05, 90.0),
    )


def test_limits_are_alike_where_their_percentiles_are() -> None:
    assert not LEVEL.alike
    assert ServiceLevel(2.0, 0.05, 90.0).alike
    # A percentile of a time that has no limit counts for nothing.
    assert ServiceLevel(None, 0.05, 90.0, None, 99.0).alike
    lowered = LEVEL.lowered(80.0)
    assert lowered == ServiceLevel(2.0, 0.05, 80.0, 8.0)
    assert {limit.percentile for limit in lowered.limits} == {80.0}


@given(PARTS, PARTS, PARTS)
def test_the_time_that_takes_most_of_its_limit_decides(
    first: float, each: float, whole: float
) -> None:
    seen = times(2.0 * first, 0.05 * each, 8.0 * whole)
    assert LEVEL.used(seen) == pytest.approx(max(first, each, whole))
    assert LEVEL.keeps(seen) == (max(first, each, whole) <= 1 + 1e-9)
    assert LEVEL.keeps_tpot(seen.tpot) == (0.05 * each <= 0.05 * (1 + 1e-9))


def test_what_is_not_served_keeps_nothing_and_no_limit_is_always_kept() -> None:
    assert not LEVEL.keeps(None)
    none = ServiceLevel(None, None, 90.0)
    assert none.limits == ()
    assert none.used(times(9.0, 9.0, 9.0)) == 0.0
    assert none.keeps(times(9.0, 9.0, 9.0))
    assert none.keeps_tpot(9.0)


def test_limits_at_percentiles_make_a_level() -> None:
    found = level_of(LimitAt(2.0, 99.0), LimitAt(0.05), LimitAt(8.0, 50.0), 90.0)
    assert found == LEVEL
    assert level_of(None, LimitAt(0.05, 99.0), None, 90.0) == ServiceLevel(
        None, 0.05, 90.0, None, None, 99.0, None
    )
