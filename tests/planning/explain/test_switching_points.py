"""What would change the answer: which figures move, in which direction, and the nearest of all."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.questions import found_of

from planner.planning.explain.limit_prices import Change, SolvedQuestions
from planner.planning.explain.records import SwitchingPoint
from planner.planning.explain.switching_points import (
    STEPS,
    figures,
    nearest_switch,
    switching_points,
)
from planner.planning.search.grid_search import SearchResult


def tipping(start: float, other: float | None) -> SwitchingPoint:
    status = "none" if other is None else "changes"
    return SwitchingPoint("memory", "up", "bytes", start, start, other, status, (), 1)


@given(st.lists(st.tuples(st.floats(1, 1e9), st.none() | st.floats(1, 1e9)), max_size=6))
def test_the_nearest_has_the_smallest_relative_change(
    values: list[tuple[float, float | None]],
) -> None:
    rows = [tipping(*one) for one in values]
    found = nearest_switch(rows)
    told = [max(t.other / t.start, t.start / t.other) for t in rows if t.other is not None]
    if not told:
        assert found is None
        return
    assert found is not None
    assert found.other is not None
    mine = max(found.other / found.start, found.start / found.other)
    assert math.isclose(mine, min(told), rel_tol=1e-9)


def test_a_halving_is_further_than_half_as_much_again() -> None:
    up, down = tipping(100.0, 150.0), tipping(100.0, 50.0)
    assert nearest_switch([down, up]) is up


def test_limits_that_were_not_set_do_not_move() -> None:
    names = [figure.name for figure in figures(found_of())]
    assert names[:1] == ["max-loss"]
    assert not {"tpot", "ttft"} & set(names)
    limited = {f.name: f for f in figures(found_of(tpot_seconds=0.05))}
    assert limited["tpot"].start == 0.05
    assert limited["batch"].start == 8


def test_a_figure_changes_what_it_is_called_after() -> None:
    found = found_of()
    question = found.space.model.question
    by_name = {figure.name: figure for figure in figures(found)}
    memory = by_name["memory"].change(2.0 * question.usable_bytes)
    assert memory is not None
    assert memory(question).usable_bytes == 2 * question.usable_bytes
    longer = by_name["context"].change(4096.0)
    assert longer is not None
    assert longer(question).workload.context == 4096
    assert longer(question).workload.isl == 2 * question.workload.isl
    shortest = by_name["context"].change(2.0)
    assert shortest is not None
    work = shortest(question).workload
    assert (work.context, work.isl, work.osl) == (2, 1, 1)
    assert by_name["context"].change(1e9) is None
    assert by_name["batch"].change(8.0) is None


def test_without_solves_nothing_is_tried() -> None:
    found = found_of()
    rows, spent = switching_points(SolvedQuestions((found.space.model.question,), found), 0)
    assert spent == 0
    assert {row.status for row in rows} == {"not tried"}
    assert len(rows) == 2 * len(figures(found))
    assert len(STEPS) == len(set(STEPS))


FAR = 1.7
asked: list[float] = []
"""Shares of the memory that were asked for."""


class CountingSolves(SolvedQuestions):
    """The same plan, but none with ``FAR`` times the memory and more or less."""

    def best_after(self, change: Change) -> SearchResult | None:
        question = self.result.space.model.question
        asked.append(change(question).usable_bytes / question.usable_bytes)
        return self.result if 1 / FAR < asked[-1] < FAR else None


@pytest.mark.parametrize("solves", [0, 3, 4, 11, 40, 41, 1000])
def test_what_is_solved_is_counted_and_bounded(solves: int) -> None:
    found = found_of()
    asked.clear()
    rows, spent = switching_points(CountingSolves((found.space.model.question,), found), solves)
    assert spent == sum(row.solves for row in rows) == len(asked) <= max(solves, 0)
    assert all(row.status == "not tried" for row in rows) == (solves == 0)


def test_the_change_is_between_the_last_that_keeps_the_plan_and_the_first_that_does_not() -> None:
    """Steps of 1.5 and 2 hold 1.7 between them; three halvings by ratio leave (2 / 1.5)^(1/8)."""
    found = found_of()
    rows, _ = switching_points(CountingSolves((found.space.model.question,), found), 1000)
    for row in (one for one in rows if one.figure == "memory"):
        assert row.other is not None
        assert row.status == "infeasible"
        same, other = (max(value / row.start, row.start / value) for value in (row.same, row.other))
        assert 1.5 <= same < FAR <= other <= 2
        assert math.isclose(other / same, (2 / 1.5) ** (1 / 8), rel_tol=1e-6)
