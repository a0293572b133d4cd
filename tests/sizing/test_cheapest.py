"""Formats by what they cost at a rate: chances of common draws, and what is taken of all."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.planning.plan.record import Estimate
from planner.sizing.by_device import named_devices
from planner.sizing.capacity_record import Capacity
from planner.sizing.cheapest import chance_cheaper
from planner.sizing.percentile_intervals import chance_kept

costs = st.lists(st.floats(0.1, 10.0), min_size=1, max_size=30)


@given(costs, st.floats(1.01, 3.0))
def test_what_costs_less_in_every_draw_is_surely_cheaper(draws: list[float], by: float) -> None:
    mine = np.array(draws)
    assert chance_cheaper(mine, mine * by) == 1.0
    assert chance_cheaper(mine * by, mine) == 0.0
    assert chance_cheaper(mine, mine) == 0.5


@given(st.floats(0.01, 1.0), st.floats(1.05, 4.0), st.floats(0.2, 5.0))
def test_a_limit_is_kept_the_surer_the_wider_it_is(value: float, by: float, at: float) -> None:
    time = Estimate(value, value / by, value * by, "prior")
    tight, wide = chance_kept(time, value * at), chance_kept(time, value * at * 1.1)
    assert tight is not None
    assert wide is not None
    assert tight <= wide
    assert chance_kept(time, value) == pytest.approx(0.5)
    assert chance_kept(time, value * by) == pytest.approx(0.9, abs=1e-3)  # the 80 % interval's end
    assert chance_kept(time, None) is None


def test_names_of_several_devices() -> None:
    assert named_devices(" h100, b200 ,h100-sxm") == ["h100", "b200"]
    assert named_devices(["l40s", "l40s"]) == ["l40s"]
    with pytest.raises(planner.InputError, match="no device"):
        named_devices(" , ")


@cache
def sized() -> Capacity:
    return planner.capacity(
        "llama-3.1-70b", "b200-sxm", rate=4.0, ttft_seconds=1.5, tpot_seconds=0.05, percentile=90
    )


def test_a_cheaper_row_is_rejected_for_a_reason_and_no_dearer_one_by_chance() -> None:
    rows = [row for row in sized().options if row.kind == "format"]
    assert rows
    for row in rows:
        assert row.reason
        if row.devices > sized().devices:
            assert "more" in row.reason
        elif row.devices < sized().devices:
            assert "sure" in row.reason or "limit" in row.reason or "weights" in row.reason


def test_the_plan_of_a_replica_is_the_answer() -> None:
    plan, answer = sized().replica, sized().answer
    assert plan.device.count == answer.devices // answer.replicas
    assert plan.layout.replicas == 1
    assert (plan.layout.tp, plan.layout.dp, plan.layout.pp) == (answer.tp, answer.dp, answer.pp)
    assert plan.quality.loss == pytest.approx(answer.loss)
    assert plan.workload.batch >= sized().sequences  # what it admits holds what is in flight
