"""Records of a deployment: the frontier's marks, its grid, and what one replica is asked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.planning.serving.deployment import (
    Deployment,
    Options,
    ServedPoint,
    frontier_grid,
    marked,
)
from planner.throughput.scheduling import Scheduling, StepTimes

RATES = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=8)
POINT = ServedPoint(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, False)


@settings(max_examples=examples(30, 2000))
@given(RATES)
def test_a_point_is_marked_where_none_is_better_in_both(rates: list[tuple[int, int]]) -> None:
    points = [
        replace(
            POINT,
            output_tokens_per_second_per_device=float(device),
            output_tokens_per_second_per_user=float(user),
        )
        for device, user in rates
    ]
    for (device, user), point in zip(rates, marked(points), strict=True):
        beaten = any(d >= device and u >= user and (d, u) != (device, user) for d, u in rates)
        assert point.pareto is not beaten


@pytest.mark.parametrize(
    ("most", "replicas", "grid"),
    [(10, 1, (1, 2, 4, 8, 10)), (8, 2, (2, 4, 8)), (1, 1, (1,)), (3, 3, (3,))],
)
def test_concurrencies_double_from_one_a_replica(
    most: float, replicas: int, grid: tuple[float, ...]
) -> None:
    assert frontier_grid(most, replicas) == grid


def test_replicas_share_requests() -> None:
    times = StepTimes(
        batch=np.array([0.0, 1.0]),
        decode=np.array([0.0, 1.0]),
        mixed=np.array([1.0, 2.0]),
        group=np.array([1.0]),
        chunks=1,
        together=1.0,
    )
    options = Options(isl=100, osl=20, chunk=512, requests=40.0, accepted=1.5, cache_tokens=9e3)
    where = Deployment(times, options, Scheduling(), dp=2, replicas=4, devices=8)
    load = where.load(16.0)
    assert (load.concurrency, load.isl, load.osl, load.requests) == (4.0, 100, 20, 10.0)
    assert where.load(80.0).requests == 20.0  # at least what is in flight
    assert where.steps(16.0) is times
