"""The largest multiple with a plan, against every multiple looked at one by one."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.planning.infeasible import feasible

OPTIONS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 7)), max_size=4)
"""(most that fits, most with a plan, step) of each option."""


def asked(option: tuple[int, int, int], count: int) -> Any:
    """A question that knows its option and size; an odd one cannot be asked beyond what fits."""
    return None if option[0] % 2 and count > option[0] else (option, count)


@settings(max_examples=examples(150, 1000))
@given(OPTIONS, st.integers(1, 40), st.integers(1, 60))
def test_it_is_the_largest_of_all_that_have_a_plan(
    options: list[tuple[int, int, int]], low: int, high: int
) -> None:
    def fits(question: Any) -> bool:
        (most, _, _), count = question
        return bool(count <= most)

    def planned(question: Any) -> bool:
        (_, most, _), count = question
        return fits(question) and bool(count <= most)

    every = [
        count
        for most, plans, step in options
        for count in range(low, high)
        if count % step == 0 and count <= min(most, plans)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feasible, "fits", fits)
        patch.setattr(feasible, "has_plan", planned)
        found = feasible.largest_multiple([(one, one[2]) for one in options], asked, low, high)
    assert found == max(every, default=None)
