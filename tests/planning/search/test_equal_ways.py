"""Of equally good plans of several groups of ways the one of the first question is taken."""

from typing import Any, cast

import numpy as np
import pytest

from planner.planning.search.grid_search import SearchResult
from planner.planning.search.mode_search import _first
from planner.planning.solver.problem import EQUAL, Solution


def found(value: float, grid: object, candidates: int, bound: float) -> SearchResult:
    solution = Solution("optimal", np.zeros((1, 1), dtype=np.int64), value, bound, 0.0)
    return SearchResult(
        cast(Any, grid), 0, solution, (), bound, candidates, candidates, cast(Any, grid)
    )


@pytest.mark.parametrize("ratio", [1.0, 1 - EQUAL / 2, 1 + EQUAL / 2])
def test_equals_are_told_by_the_order_of_the_questions(ratio: float) -> None:
    one, other = object(), object()
    kept: Any = [(0, one), (1, other)]
    first, second = found(1.0, one, 3, 0.9), found(ratio, other, 5, 0.8)
    told = _first(first, second, kept)
    assert told is not None
    assert (told.value, told.candidates, told.solved, told.bound) == (1.0, 5, 5, 0.8)
    assert _first(second, first, kept) is first


def test_what_is_better_is_taken_whatever_its_place() -> None:
    one, other = object(), object()
    kept: Any = [(0, one), (1, other)]
    first, second = found(1.0, one, 3, 0.9), found(1 - 2 * EQUAL, other, 5, 0.8)
    assert _first(first, second, kept) is second
    assert _first(None, second, kept) is second
    assert _first(first, None, kept) is None
