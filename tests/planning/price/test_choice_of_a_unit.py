"""The column of a table that belongs to what a unit takes."""

from types import SimpleNamespace
from typing import cast

import numpy as np

from planner.planning.price.step import Assignment, _choice


def test_caches_come_after_all_schemes_and_one_column_is_everybodys() -> None:
    units = [SimpleNamespace(role="module"), SimpleNamespace(role="cache")]
    question = SimpleNamespace(schemes=("bf16", "fp8-tensor", "int8-w8a8"))
    plan = cast(
        Assignment,
        SimpleNamespace(model=SimpleNamespace(units=units, question=question), choice=[2, 4]),
    )
    of_schemes = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    of_caches = np.array([[10.0, 20.0], [30.0, 40.0]])
    np.testing.assert_array_equal(_choice(plan, of_schemes, 0), [3.0, 6.0])
    np.testing.assert_array_equal(_choice(plan, of_caches, 1), [20.0, 40.0])
    for index in (0, 1):
        np.testing.assert_array_equal(_choice(plan, of_caches[:, :1], index), [10.0, 30.0])
