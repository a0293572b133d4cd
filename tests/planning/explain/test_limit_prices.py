"""Prices of limits: their order, what counts as rounding, what a step is worth in loss."""

import pytest
from support.questions import found_of

from planner.planning.explain.limit_prices import (
    Change,
    SolvedQuestions,
    _limits,
    _loss,
    binding,
    limit_prices,
    tidy_step,
)
from planner.planning.explain.records import LimitPrice
from planner.planning.price.price import price
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult

GAINS: list[float] = []
"""What the next answers gain: for each limit, relaxed by a step and without it."""


class ScriptedGains(SolvedQuestions):
    """The same plan whatever is changed, said to be better by ``GAINS``."""

    def best_after(self, change: Change) -> SearchResult | None:
        return self.result

    def gain(self, then: SearchResult | None) -> float:
        return GAINS.pop(0)


def priced(*gains: float) -> list[LimitPrice]:
    """Memory, devices, loss and TPOT, with their gains in pairs."""
    found = found_of(tpot_seconds=0.05)
    GAINS[:] = gains
    rows, solves = limit_prices(
        ScriptedGains((found.space.model.question,), found),
        price(found.space, found.candidate, found.segments),
    )
    assert not GAINS
    assert solves == len(gains) == 2 * len(rows)
    return list(rows)


def test_what_a_step_costs_most_is_first_then_what_costs_most_in_all() -> None:
    rows = priced(0.0, 0.1, 0.0, 0.3, 0.2, 0.25, 0.0, 0.2)
    assert [row.name for row in rows] == ["max-loss", "devices", "tpot", "memory"]
    assert [row.without for row in rows] == [0.25, 0.3, 0.2, 0.1]
    assert [row.binding for row in rows] == [True, False, False, False]


def test_gains_of_rounding_are_none_and_no_limit_is_dearer_by_a_step_than_in_all() -> None:
    rows = {row.name: row for row in priced(1e-7, -0.5, 0.3, 0.1, 0.02, 0.2, 0.01, 0.0)}
    assert (rows["memory"].gain, rows["memory"].without) == (0.0, 0.0)
    assert rows["devices"].without == rows["devices"].gain == 0.3
    assert rows["tpot"].without == 0.01
    assert rows["max-loss"].loss == pytest.approx(rows["max-loss"].step)
    assert rows["tpot"].loss == pytest.approx(rows["max-loss"].step / 2)
    assert binding(tuple(rows.values())) == "devices, max-loss, tpot"


def test_a_step_is_a_tenth_of_the_power_of_ten() -> None:
    assert [tidy_step(value) for value in (0.05, 0.0999, 0.1, 3.0, 10.0)] == pytest.approx(
        [0.001, 0.001, 0.01, 0.1, 1.0]
    )


def test_every_limit_is_relaxed_by_its_step() -> None:
    found = found_of(tpot_seconds=0.05, ttft_seconds=2.0)
    question = found.space.model.question
    limits = {
        one.name: one for one in _limits(found, price(found.space, found.candidate, found.segments))
    }
    assert set(limits) == {"memory", "devices", "max-loss", "tpot", "ttft"}
    relaxed = {name: one.relaxed(question) for name, one in limits.items()}
    assert relaxed["memory"].usable_bytes == question.usable_bytes + limits["memory"].step
    assert max(relaxed["devices"].sizes) == 2 * max(question.sizes)
    allowed = loss_limit(found.space.model)
    assert allowed is not None
    assert relaxed["max-loss"].loss_limit == pytest.approx(allowed + limits["max-loss"].step)
    assert relaxed["tpot"].tpot_seconds == pytest.approx(0.05 + limits["tpot"].step)
    assert relaxed["ttft"].ttft_seconds == pytest.approx(2.0 + limits["ttft"].step)


def test_a_limit_of_no_loss_has_a_step_too() -> None:
    found = found_of()
    figures = price(found.space, found.candidate, found.segments)
    assert _loss(found.space.model, 0.0, figures).step == 0.1
    assert _loss(found.space.model, 0.2, figures).step == pytest.approx(tidy_step(0.2))
