"""The assignment against trying every one, hosts packed by trying too."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from support.examples import examples
from support.fleet_problems import by_trying, every_assignment, packs, problems

from planner.sizing.fleet.assemble import marginal_value
from planner.sizing.fleet.assign import (
    GROWTH_GAP,
    cheapest_assignment,
    growth_factor,
    largest_growth,
    smallest_stock,
)
from planner.sizing.fleet.problem import (
    DeviceStock,
    FleetProblem,
    FleetWay,
    devices_used,
    fitting_sizes,
    served_rates,
)


@settings(max_examples=examples(12, 200), deadline=None)
@given(problems())
def test_cost_and_growth_are_those_of_trying_everything(problem: FleetProblem) -> None:
    usd, most = by_trying(problem)
    found, grown = cheapest_assignment(problem), largest_growth(problem)
    assert growth_factor(problem).factor == pytest.approx(most, rel=2 * GROWTH_GAP)
    assert growth_factor(problem).proved
    assert grown is not None
    assert grown.value == pytest.approx(most, abs=1e-6)
    assert (found is None) == (usd is None)
    if found is None or usd is None:
        return
    assert found.value == pytest.approx(usd, rel=1e-6)
    assert found.replicas in set(every_assignment(problem)), "it has room in the hosts"
    assert all(
        room >= rate * (1 - 1e-6)
        for room, rate in zip(served_rates(problem, found.replicas), problem.rates, strict=True)
    )
    assert found.bound == pytest.approx(found.value, rel=1e-6)


@settings(max_examples=examples(4, 60), deadline=None)
@given(problems(most_devices=2))
def test_the_smallest_stock_would_do_and_no_cheaper_one(problem: FleetProblem) -> None:
    if cheapest_assignment(problem) is not None:
        return
    bought = smallest_stock(problem)
    if bought is None:
        assert any(all(way.model != m for way in problem.ways) for m in range(len(problem.rates)))
        return
    prices = [one.price or 0.0 for one in problem.stock]
    usd = sum(p * n for p, n in zip(prices, bought, strict=True))
    assert by_trying(with_more(problem, bought))[0] is not None
    for fewer in product(*(range(min(int(usd // p), 5) + 1) for p in prices)):
        if sum(p * n for p, n in zip(prices, fewer, strict=True)) < usd - 1e-6:
            assert by_trying(with_more(problem, fewer))[0] is None


def with_more(problem: FleetProblem, more: tuple[int, ...]) -> FleetProblem:
    for device, count in enumerate(more):
        problem = problem.more(device, count)
    return problem


@settings(max_examples=examples(4, 60), deadline=None)
@given(problems(most_devices=4))
def test_one_more_device_is_worth_what_trying_everything_says(problem: FleetProblem) -> None:
    usd, most = by_trying(problem)
    if usd is None:
        return
    for device in range(len(problem.stock)):
        dearer, grown = by_trying(problem.more(device))
        assert dearer is not None
        found = marginal_value(problem, device, 1, usd, most)
        assert found.usd_per_hour_saved == pytest.approx(usd - dearer, abs=1e-5)
        assert found.growth == pytest.approx(grown, rel=2 * GROWTH_GAP)
        assert found.growth_gained == pytest.approx(
            max(grown - most, 0.0), abs=3 * GROWTH_GAP * grown
        )
        assert found.proved


CHEAP, DEAR = DeviceStock(2, 1, 1.0), DeviceStock(8, 1, 3.0)


def test_a_model_is_divided_where_the_cheap_devices_end() -> None:
    """Four a second: two on cheap devices, and two of the dear ones for the rest."""
    problem = FleetProblem(
        (4.0,), (CHEAP, DEAR), (FleetWay(0, 0, 1, ((1, 1.0),)), FleetWay(0, 1, 1, ((1, 1.0),)))
    )
    found = cheapest_assignment(problem)
    assert found is not None
    assert found.replicas == (2, 2)
    assert devices_used(problem, found.replicas) == [2, 2]
    assert marginal_value(problem, 0, 1, found.value, 1.0).usd_per_hour_saved == pytest.approx(2.0)
    assert marginal_value(problem, 1, 1, found.value, 1.0).usd_per_hour_saved == 0.0


def test_more_replicas_each_serve_more_and_that_is_used() -> None:
    """Two alone serve 1 each; from three on, 1.5: three serve 4 where four would be asked for."""
    problem = FleetProblem((4.0,), (DEAR,), (FleetWay(0, 0, 1, ((1, 1.0), (3, 1.5))),))
    found = cheapest_assignment(problem)
    assert found is not None
    assert found.replicas == (3,)


def test_of_equal_costs_the_fewest_ways_are_taken() -> None:
    problem = FleetProblem(
        (4.0,),
        (replace(DEAR, price=1.0), replace(DEAR, price=1.0)),
        (FleetWay(0, 0, 1, ((1, 1.0),)), FleetWay(0, 1, 1, ((1, 1.0),))),
    )
    found = cheapest_assignment(problem)
    assert found is not None
    assert sorted(found.replicas) == [0, 4]


def test_a_rest_of_a_host_has_no_room_for_what_is_larger() -> None:
    """Two hosts of 4 and a rest of 2: three replicas of 4 devices do not fit, two of 4 and one of
    2 do."""
    stock = DeviceStock(10, 4, 1.0)
    assert [stock.room(size) for size in (1, 2, 4, 8)] == [10, 10, 8, 8]
    assert packs(stock, [4, 4, 2])
    assert not packs(stock, [4, 4, 1, 2])
    assert not packs(stock, [4, 4, 4])
    problem = FleetProblem((3.0,), (stock,), (FleetWay(0, 0, 4, ((1, 1.0),)),))
    assert cheapest_assignment(problem) is None
    assert smallest_stock(problem) == (2,)


@pytest.mark.parametrize(
    ("host", "sizes", "kept"),
    [
        (8, [1, 2, 4, 8, 16, 32], (1, 2, 4, 8, 16, 32)),
        (8, [3, 6, 12], ()),
        (6, [1, 2, 3, 6], (1, 2, 6)),
        (4, [1, 8, 12], (1, 8)),
        (1, [1, 2, 3], (1, 2)),
        (8, [1, 5, 8], (1, 8)),
    ],
)
def test_sizes_cut_hosts_without_remainders(
    host: int, sizes: list[int], kept: tuple[int, ...]
) -> None:
    assert fitting_sizes(host, sizes) == kept
