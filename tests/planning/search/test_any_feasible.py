"""Whether there is a plan at all: yes, no, and not known are told apart."""

import numpy as np
import pytest
from support.questions import model_of

from planner.base.errors import SolverError
from planner.planning.search import question_search
from planner.planning.search.question_search import any_feasible
from planner.planning.search.spaces import grid_space
from planner.planning.solver.problem import INFEASIBLE, OPTIMAL, UNPROVED, Solution


@pytest.mark.parametrize(
    ("status", "bound", "answer"),
    [(OPTIMAL, 1.0, True), (INFEASIBLE, np.inf, False), (UNPROVED, 0.0, None)],
)
def test_a_candidate_that_cannot_be_is_an_answer_and_one_that_was_left_is_none(
    monkeypatch: pytest.MonkeyPatch, status: str, bound: float, answer: bool | None
) -> None:
    space = grid_space(model_of())
    assert space is not None
    made = Solution(status, np.zeros((1, 1), dtype=np.int64), bound, bound, 0.0)
    monkeypatch.setattr(question_search, "solve_with_ttft", lambda *_, **__: made)
    if answer is None:
        with pytest.raises(SolverError, match="no candidate was answered"):
            any_feasible([space])
    else:
        assert any_feasible([space]) is answer
