"""Requests in flight against Erlang's formulas, and the laws of processor sharing."""

from math import exp, factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.served_ranks import served_rank

from planner.sizing.in_flight import in_flight
from planner.sizing.rank import ServedRank, rank_pace


def erlang_c(servers: int, offered: float) -> float:
    """The chance of a wait with ``servers`` and ``offered`` work (Erlang, 1917)."""
    last = offered**servers / factorial(servers) / (1 - offered / servers)
    return last / (sum(offered**k / factorial(k) for k in range(servers)) + last)


def constant(slots: int) -> ServedRank:
    """A rank whose steps do not depend on the batch and whose prompts cost nothing."""
    return served_rank(slope=0.0, prompt=0.0, slots=slots)


@pytest.mark.parametrize(("slots", "share"), [(1, 0.4), (4, 0.5), (16, 0.9), (64, 0.97)])
def test_a_step_that_stays_the_same_is_erlang_c(slots: int, share: float) -> None:
    rank = constant(slots)
    seconds = float(rank_pace(rank, 0.0).slot_seconds(rank.osl, 1.0)[0])
    rate = share * slots / seconds
    law = in_flight(rank, rank_pace(rank, rate), rate, 1)
    assert law is not None
    assert law.waits == pytest.approx(erlang_c(slots, rate * seconds), rel=1e-9)
    assert law.idle == pytest.approx(law.chance[0])
    # M/M/c's mean wait of those that wait, halved as all answers are of one length.
    assert law.wait_seconds == pytest.approx(seconds / slots / (1 - share) / 2)


def test_without_a_limit_in_sight_numbers_are_poisson() -> None:
    rank = constant(400)
    seconds = float(rank_pace(rank, 0.0).slot_seconds(rank.osl, 1.0)[0])
    law = in_flight(rank, rank_pace(rank, 6.0 / seconds), 6.0 / seconds, 1)
    assert law is not None
    counts = np.arange(12)
    poisson = [exp(-6.0) * 6.0**k / factorial(k) for k in counts]
    assert law.chance[:12] == pytest.approx(poisson, rel=1e-6)
    assert law.mean == pytest.approx(6.0)
    assert law.waits == 0.0
    assert 8.5 < law.quantile(0.9) < 9.5


def test_more_than_is_served_has_no_law() -> None:
    rank = served_rank(slots=8)
    seconds = float(rank_pace(rank, 0.0).slot_seconds(rank.osl, 8.0)[0])
    assert in_flight(rank, rank_pace(rank, 8.1 / seconds), 8.1 / seconds, 1) is None


@given(st.floats(0.05, 0.95), st.integers(1, 200), st.integers(1, 64), st.floats(0, 1e-3))
def test_little_and_order(share: float, slots: int, servers: int, slope: float) -> None:
    """Chances sum to one; quantiles rise; a pooled rank varies no more than one alone."""
    rank = served_rank(slope=slope, slots=slots, prompt=0.0)
    rate = share * slots / float(rank_pace(rank, 0.0).slot_seconds(rank.osl, float(slots))[0])
    law = in_flight(rank, rank_pace(rank, rate), rate, servers)
    assert law is not None
    assert law.chance.sum() == pytest.approx(1.0)
    found = [law.quantile(p) for p in (0.1, 0.5, 0.9, 0.99)]
    assert found == sorted(found)
    alone = in_flight(rank, rank_pace(rank, rate), rate, 1)
    assert alone is not None
    assert law.waits <= alone.waits + 1e-9
