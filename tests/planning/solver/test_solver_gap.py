"""What HiGHS answers: the value is that of the counts, and the gap what its bound leaves."""

import numpy as np
import pytest

from planner.planning.solver.highs import Repairs, run
from planner.planning.solver.problem import OPTIMAL, Problem, Row


@pytest.mark.parametrize("constant", [0.0, 100.0])
def test_the_gap_is_what_lies_between_value_and_bound(constant: float) -> None:
    """Three decisions that want their first choice, of which the limit allows two."""
    objective = np.array([[1.0, 2.0], [1.0, 4.0], [1.0, 8.0]])
    use = np.array([[1.0, 0.0]] * 3)
    problem = Problem(
        objective, constant, objective > 0, np.ones(3, dtype=np.int64), (Row("memory", use, 2.0),)
    )
    found = run(problem, Repairs(np.zeros(1), []))
    assert found.status == OPTIMAL
    assert found.counts.tolist() == [[0, 1], [1, 0], [1, 0]]
    assert found.value == pytest.approx(constant + 4.0)
    assert found.bound <= found.value
    assert found.gap == pytest.approx((found.value - found.bound) / found.value)
    assert found.gap < 1e-6
