"""What so many replicas serve: found from below, never less for each of more."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.served_ranks import served_rank

from planner.scheduler.rules import LEAST_LOADED
from planner.sizing.fleet.replica_rates import CLOSE, largest_feasible, rates_by_replicas
from planner.sizing.replicas import ReplicaGroup
from planner.sizing.service_level import ServiceLevel


@given(st.floats(1e-3, 1e3), st.floats(0.0, 1.0), st.floats(1.0, 50.0))
def test_the_largest_that_is_kept_is_found_from_below(
    edge: float,
    known: float,
    above: float,
) -> None:
    ceiling = edge * above
    found = largest_feasible(lambda value: value <= edge, known * edge, ceiling)
    assert found <= edge
    assert found * CLOSE >= edge - ceiling * 1e-3


def test_nothing_above_the_ceiling_is_asked() -> None:
    asked: list[float] = []

    def keeps(value: float) -> bool:
        asked.append(value)
        return True

    assert largest_feasible(keeps, 0.0, 8.0) == pytest.approx(8.0, rel=2e-2)
    assert max(asked) <= 8.0


def test_every_pace_is_kept_and_rises_with_replicas() -> None:
    rank, level = served_rank(together=1.0), ServiceLevel(0.5, 25e-3, 90.0)
    group = ReplicaGroup(rank, 40.0, LEAST_LOADED)
    fewest = group.fewest(level)
    assert fewest is not None
    found = rates_by_replicas(rank, 40.0, LEAST_LOADED, level, fewest, most=2 * fewest)
    counts = [n for n, _ in found]
    assert counts == sorted({*counts, fewest})
    assert {1, 2, fewest} <= set(counts)
    assert counts[-1] > fewest
    for (_, before), (_, after) in pairwise(found):
        assert after >= before
    for replicas, each in found:
        assert ReplicaGroup(rank, replicas * each, LEAST_LOADED).keeps(replicas, level)
        assert not ReplicaGroup(rank, replicas * each * 1.02, LEAST_LOADED).keeps(replicas, level)
    assert dict(found)[fewest] * fewest >= 40.0
