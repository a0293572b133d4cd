"""A placed assignment as the solver would tell it."""

import pytest
from support.choices import llama
from support.questions import found_of
from support.search_sums import search_sums

from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.option_counts import layers_differ, with_counts


def test_a_searched_plan_stays_as_it_is() -> None:
    found = found_of()
    assert with_counts(found) is found


def test_a_placed_plan_is_counted_and_priced() -> None:
    for one in llama().options:
        found = one.rival.result
        told = with_counts(found)
        sums = search_sums(found.space, found.candidate, found.segments)
        assert told.solution.value == pytest.approx(sums.score, rel=1e-9)
        assert told.segments == found.segments
        counts = told.solution.counts
        assert (counts.sum(axis=1) > 0).all()
        assert not counts[~candidate_problem(told.space, told.candidate).problem.legal].any()
        assert not layers_differ(told.segments)
