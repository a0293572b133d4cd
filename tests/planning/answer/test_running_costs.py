"""Energy, money and replicas of a plan, worked out again from its price."""

from dataclasses import replace
from math import ceil

import pytest
from support.questions import found_of

from planner.planning.answer.running_costs import running_costs
from planner.planning.plan.notes import written
from planner.planning.price.price import price


def test_money_and_replicas_follow_from_time_and_batch() -> None:
    found = found_of()
    priced = price(found.space, found.candidate, found.segments)
    question = replace(found.space.model.question, price_per_hour=7.2, requests_per_s=1000.0)
    notes = {note.key: note.value for note in written(running_costs(question, priced))}
    money = 7.2 / 3600 / priced.rate * 1e6
    assert notes["price"].startswith(f"7.20 USD a device-hour: {money:.3g} USD per million")
    each = priced.rate / question.workload.osl
    assert notes["replicas"].startswith(f"{ceil(1000 / each)} of 1 devices for 1000 requests/s")


def test_energy_lies_between_idle_and_the_power_limit() -> None:
    found = found_of()
    priced = price(found.space, found.candidate, found.segments)
    question = replace(found.space.model.question, price_per_hour=None)
    (note,) = written(running_costs(question, priced))
    assert note.key == "energy"
    joules, limit = float(note.value.split()[0]), question.device.power_watts
    assert limit is not None
    most = limit.value / priced.rate
    assert 0.1 * most < joules < most
    silent = replace(question, device=replace(question.device, power_watts=None))
    assert list(running_costs(silent, priced)) == []


def test_twice_the_rate_costs_half() -> None:
    found = found_of()
    one = price(found.space, found.candidate, found.segments)
    question = replace(found.space.model.question, price_per_hour=2.0)

    def joules(priced: object) -> float:
        return float(next(iter(running_costs(question, priced))).value.split()[0])

    assert joules(replace(one, rate=2 * one.rate)) == pytest.approx(joules(one) / 2, rel=0.01)
