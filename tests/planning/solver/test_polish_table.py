"""What polishing reads of a problem: limits with their tolerance, paces apart."""

import numpy as np

from planner.planning.solver.duals import _Table
from planner.planning.solver.problem import PACE, Problem, Row, tolerant_limit


def test_limits_and_paces_are_told_apart() -> None:
    ones = np.ones((2, 3))
    rows = (
        Row("memory", 2 * ones, 10.0),
        Row(PACE, 3 * ones, 4.0),
        Row("loss", 5 * ones, 0.0),
        Row(PACE, 7 * ones, 6.0),
    )
    table = _Table(Problem(ones, 0.0, ones > 0, np.ones(2, dtype=np.int64), rows), 2.5)
    assert table.most.tolist() == [tolerant_limit(rows[0]), tolerant_limit(rows[2])]
    assert table.size.tolist() == [10.0, 1.0]
    assert table.pace.tolist() == [4.0, 6.0]
    assert [one.max() for one in table.values] == [1.0, 2.0, 5.0, 3.0, 7.0]
    assert table.scale == 2.5
