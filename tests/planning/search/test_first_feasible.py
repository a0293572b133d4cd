"""Whether there is a plan at all: yes, no, and not known are told apart."""

from dataclasses import replace

import numpy as np
import pytest
from support.questions import model_of

from planner.base.errors import SolverError
from planner.planning.search import requery
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.first_token import solve_with_ttft
from planner.planning.search.requery import first_feasible
from planner.planning.search.spaces import grid_space
from planner.planning.solver.problem import INFEASIBLE, OPTIMAL, UNPROVED


@pytest.mark.parametrize(
    ("status", "bound", "answer"),
    [(OPTIMAL, 1.0, True), (INFEASIBLE, np.inf, False), (UNPROVED, 0.0, None)],
)
def test_a_candidate_that_cannot_be_is_an_answer_and_one_that_was_left_is_none(
    monkeypatch: pytest.MonkeyPatch, status: str, bound: float, answer: bool | None
) -> None:
    space = grid_space(model_of())
    assert space is not None
    solved = solve_with_ttft(candidate_problem(space, 0))
    kept = candidate_problem(space, 0).segments(solved)
    made = replace(solved, status=status, bound=bound)
    monkeypatch.setattr(requery, "solve_with_ttft", lambda *_, **__: made)
    if answer is None:
        with pytest.raises(SolverError, match="no candidate was answered"):
            first_feasible([space])
    else:
        found = first_feasible([space])
        assert (found is not None) is answer
        assert found is None or found.segments == kept
