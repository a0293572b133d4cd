"""A shorter list of formats finds no cheaper assignment; the simplest of equal ones is taken."""

from copy import deepcopy
from typing import Any

import pytest
from support.fleets import ASKED

import planner
from planner.sizing.fleet.assign import cheapest_assignment
from planner.sizing.fleet.fleet_record import Fleet
from planner.sizing.fleet.problem import DeviceStock, FleetProblem, FleetWay

MODEL = {
    "name": "chat",
    "model": "qwen3-8b",
    "rate": 25,
    "ttft_ms": 1500,
    "tpot_ms": 40,
    "workload": "chat",
}


def fleet(**more: Any) -> Fleet:
    table = deepcopy(ASKED)
    table["device"] = [{"name": "l40s", "count": 32, "price": 0.9}]
    table["model"] = [{**MODEL, **more}]
    return planner.fleet(table)


@pytest.mark.sample(1)
@pytest.mark.parametrize("schemes", [["fp8-block"], ["fp8-channel"], ["int8-w8a8"], ["bf16"]])
def test_a_list_of_one_scheme_is_no_cheaper_than_all(schemes: list[str]) -> None:
    whole, listed = fleet().usd_per_hour, fleet(schemes=schemes).usd_per_hour
    assert whole is not None
    assert listed is not None
    assert whole <= listed * (1 + 1e-9)


def test_published_weights_alone_cost_no_less() -> None:
    found = fleet()
    made = [pool for pool in found.pools if pool.needs_new_weights]
    assert (found.usd_per_hour_existing is None) == (not made)
    if found.usd_per_hour_existing is not None and found.usd_per_hour is not None:
        assert found.usd_per_hour_existing >= found.usd_per_hour


def test_of_equal_costs_the_simplest_formats_are_taken() -> None:
    stock = (DeviceStock(8, 8, 1.0),)
    ways = [FleetWay(0, 0, 1, ((1, 1.0),), rank) for rank in (2, 0, 1)]
    for order in (ways, ways[::-1]):
        choice = cheapest_assignment(FleetProblem((2.0,), stock, tuple(order)))
        assert choice is not None
        (taken,) = [way for way, n in zip(order, choice.replicas, strict=True) if n]
        assert taken.rank == 0


def test_a_simple_format_that_costs_more_is_not_taken() -> None:
    stock = (DeviceStock(8, 8, 1.0),)
    slow, fast = FleetWay(0, 0, 1, ((1, 1.0),), 0), FleetWay(0, 0, 1, ((1, 2.0),), 5)
    choice = cheapest_assignment(FleetProblem((4.0,), stock, (slow, fast)))
    assert choice is not None
    assert choice.replicas == (0, 2)
