"""Monotone laws: more requests never need fewer replicas, looser limits never more."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.served_ranks import served_rank

from planner.scheduler.rules import ROUTERS
from planner.sizing.rank import ServedRank
from planner.sizing.replicas import (
    ReplicaGroup,
    least_that_keeps,
    max_request_rate,
    saturation_rate,
    unloaded_times,
)
from planner.sizing.service_level import ServiceLevel

RANKS = st.builds(
    served_rank,
    base=st.floats(5e-3, 30e-3),
    slope=st.floats(1e-5, 4e-4),
    prompt=st.floats(5e-3, 0.3),
    together=st.sampled_from([0.5, 1.0, 4.0]),
    osl=st.integers(16, 512),
    slots=st.integers(4, 128),
)
FEW = settings(max_examples=6)
MANY = 512


def fewest(rank: ServedRank, rate: float, router: str, level: ServiceLevel) -> int:
    found = ReplicaGroup(rank, rate, router, most=MANY).fewest(level)
    return MANY + 1 if found is None else found


@FEW
@given(
    RANKS,
    st.floats(0.1, 20.0),
    st.floats(1.0, 3.0),
    st.sampled_from(ROUTERS),
    st.floats(1.1, 4.0),
    st.floats(1.1, 6.0),
)
def test_more_requests_never_need_fewer(
    rank: ServedRank, load: float, more: float, router: str, slower: float, later: float
) -> None:
    alone = unloaded_times(rank)
    ttft, tpot = alone.ttft, alone.tpot
    level = ServiceLevel(ttft * later, tpot * slower, 90.0)
    rate = load * saturation_rate(rank) * rank.ranks
    assert fewest(rank, rate, router, level) <= fewest(rank, rate * more, router, level)


@FEW
@given(
    RANKS,
    st.floats(0.1, 20.0),
    st.sampled_from(ROUTERS),
    st.floats(1.1, 4.0),
    st.floats(1.1, 6.0),
    st.floats(1.0, 2.0),
    st.floats(1.0, 2.0),
    st.floats(0.0, 40.0),
)
def test_looser_limits_never_need_more(
    rank: ServedRank,
    load: float,
    router: str,
    slower: float,
    later: float,
    tpots: float,
    ttfts: float,
    lower: float,
) -> None:
    alone = unloaded_times(rank)
    ttft, tpot = alone.ttft, alone.tpot
    rate = load * saturation_rate(rank) * rank.ranks
    tight = ServiceLevel(ttft * later, tpot * slower, 90.0)
    loose = ServiceLevel(ttft * later * ttfts, tpot * slower * tpots, 90.0 - lower)
    assert fewest(rank, rate, router, loose) <= fewest(rank, rate, router, tight)


def test_the_most_that_replicas_serve_needs_them() -> None:
    rank, level = served_rank(), ServiceLevel(0.5, 20e-3, 90.0)
    rate = max_request_rate(rank, 3, "least-loaded", level)
    assert fewest(rank, rate * 0.999, "least-loaded", level) == 3
    assert fewest(rank, rate * 1.01, "least-loaded", level) == 4


def test_the_first_of_a_search() -> None:
    for wanted in (1, 2, 3, 7, 100):
        asked: list[int] = []

        def keeps(n: int, wanted: int = wanted, asked: list[int] = asked) -> bool:
            asked.append(n)
            return n >= wanted

        assert least_that_keeps(keeps, 1, 1000) == wanted
        assert len(asked) < 20
    assert least_that_keeps(lambda n: False, 1, 1000) is None
    assert least_that_keeps(lambda n: True, 5, 4) is None


def test_a_level_that_nothing_keeps_has_no_count() -> None:
    rank = served_rank()
    alone = unloaded_times(rank)
    ttft, tpot = alone.ttft, alone.tpot
    group = ReplicaGroup(rank, 1.0, "random", most=64)
    assert group.fewest(ServiceLevel(ttft * 0.9, None, 90.0)) is None
    assert group.fewest(ServiceLevel(None, tpot * 0.9, 90.0)) is None
