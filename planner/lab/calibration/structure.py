"""Which of several kernels a table's rows show: chosen by cross-validation on the fitted rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from planner.lab.calibration.fit import fit

if TYPE_CHECKING:
    from planner.lab.calibration.problem import FitProblem

CROSS_ROWS = 300
"""Most rows of one fit while kernels are compared, every so many of all."""


def chosen(problem: FitProblem) -> FitProblem:
    """``problem`` with that of its options that predicts left-out groups best, held fixed.

    Rows that are kept back take no part; the first of equals counts.
    """
    if not problem.options:
        return problem
    place = 0
    if problem.folds is not None and len(problem.train):
        place = int(np.argmin([_cross_error(problem, option) for option in problem.options]))
    return replace(problem, fixed={**problem.options[place], **problem.fixed}, options=())


def _cross_error(problem: FitProblem, option: Mapping[str, float]) -> float:
    """Mean |log ratio| on each fold of the fitted groups, predicted from the others."""
    assert problem.folds is not None
    rows = problem.train
    fold = problem.folds[rows]
    misses: list[NDArray[np.float64]] = []
    for one in np.unique(fold).tolist():
        rest, left = rows[fold != one], rows[fold == one]
        if not len(rest):
            continue
        some = rest[:: -(-len(rest) // CROSS_ROWS)]

        def predict(
            p: Mapping[str, float],
            some: NDArray[np.int64] = some,
        ) -> NDArray[np.float64]:
            return problem.predict(p, some)

        found = fit(
            predict, problem.measured[some], problem.parameters, fixed={**option, **problem.fixed}
        )
        misses.append(np.abs(np.log(problem.predict(found, left) / problem.measured[left])))
    return float(np.concatenate(misses).mean()) if misses else float("inf")
