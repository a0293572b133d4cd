"""Stocks that do not serve the rates: which model, which rate, and what would do."""

from types import SimpleNamespace

import pytest

from planner.sizing.fleet.problem import DeviceStock, FleetProblem, FleetWay
from planner.sizing.fleet.refusals import no_device_serves, stock_too_small
from planner.sizing.level import PercentileTimes
from planner.sizing.refusals import no_replica
from planner.sizing.service_level import ServiceLevel

NAMES, DEVICES = ("chat", "rag"), ("cheap", "dear")
WAYS = (
    FleetWay(0, 0, 1, ((1, 1.0),)),
    FleetWay(1, 0, 1, ((1, 2.0),)),
    FleetWay(0, 1, 2, ((1, 4.0),)),
)


def problem(chat: float, rag: float, *, price: float | None = 1.0) -> FleetProblem:
    return FleetProblem((chat, rag), (DeviceStock(4, 1, price), DeviceStock(1, 1, 3.0)), WAYS)


def test_a_model_that_all_devices_together_do_not_serve_is_named_with_what_they_serve() -> None:
    error = stock_too_small(problem(5.0, 1.0), NAMES, DEVICES)
    assert error.exit_code == 1
    assert "chat at 5/s: all devices together serve 4/s of it" in error.message
    assert "rag at" not in error.message
    assert "60 % of all rates are served" in error.message
    assert error.hint.startswith(
        "the smallest stock that would do: 6 × cheap (2 more), the "
        "cheapest addition at 2.00 USD an hour"
    )


def test_models_that_are_served_alone_are_told_what_each_gets_beside_the_others() -> None:
    error = stock_too_small(problem(3.0, 4.0), NAMES, DEVICES)
    assert "each model alone is served, all together are not" in error.message
    assert "chat at 3/s: beside the others 2/s" in error.message
    assert "rag at 4/s: beside the others 2/s" in error.message
    assert "5 × cheap (1 more)" in error.hint


def test_without_prices_the_fewest_devices_are_bought() -> None:
    error = stock_too_small(problem(7.0, 2.0, price=None), NAMES, DEVICES)
    assert "4 × dear" not in error.hint
    assert "2 × dear (1 more), the fewest devices more; or" in error.hint


def test_a_model_without_a_way_is_told_why_on_every_kind() -> None:
    error = no_device_serves(
        "chat", 20.0, ServiceLevel(None, 1e-5, 95.0), [("cheap", "too slow"), ("dear", "no room")]
    )
    assert error.message == (
        "chat at 20/s within TPOT ≤ 10 µs for 95 % of requests is served by "
        "no kind of device here: cheap: too slow; dear: no room"
    )
    assert "max_loss" in error.hint


def test_no_number_of_devices_serves_what_has_no_way() -> None:
    ways = WAYS[:1]
    error = stock_too_small(FleetProblem((1.0, 1.0), problem(1, 1).stock, ways), NAMES, DEVICES)
    assert "rag at 1/s: all devices together serve 0/s of it" in error.message
    assert error.hint.startswith("no number of these devices")


@pytest.mark.parametrize(
    ("alone", "told"),
    [
        (
            (0.1, 0.01),
            "more than 131,072 replicas would be needed to keep TTFT ≤ 1 s and TPOT ≤ 50 ms "
            "for 90 % of requests",
        ),
        (
            (0.1, 0.06),
            "no replica keeps TTFT ≤ 1 s and TPOT ≤ 50 ms for 90 % of requests: one that "
            "meets no other takes TTFT 100 ms and TPOT 60 ms",
        ),
    ],
)
def test_too_many_requests_are_not_told_as_a_slow_replica(
    alone: tuple[float, float], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = PercentileTimes(*alone, 1.0, *alone, 0.0, 0.0, 0.0)
    monkeypatch.setattr("planner.sizing.refusals.unloaded_times", lambda rank: times)
    one = SimpleNamespace(rank=None)
    assert no_replica([one], ServiceLevel(1.0, 0.05, 90.0)).message == told  # type: ignore[list-item]
