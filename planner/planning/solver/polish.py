"""A good assignment from that of the relaxation: choices are changed, by one and by two at a time,
as long as that breaks limits less or costs less. It is a cutoff for the search, not its answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.planning.solver.duals import Relaxed
from planner.planning.solver.problem import PACE, Array, Problem, tolerant_limit, violation

Int = NDArray[np.int64]
MOST_MOVES = 60
PENALTY = 1e3
"""Objectives of the size of 1 that a limit broken by all of itself costs."""


def polished(problem: Problem, start: Relaxed) -> Int | None:
    """Counts [D, S] of an assignment (every multiplicity 1) within all limits; None where none was
    met."""
    pick = np.where(problem.legal, start.reduced, np.inf).argmin(axis=1)
    every = np.arange(len(pick))
    decisions, choices = np.nonzero(problem.legal)
    table = _Table(problem, abs(start.value) or 1.0)
    sums = table.values[:, every, pick].sum(axis=1)
    best = float(table.merit(sums))
    for _ in range(MOST_MOVES):
        moves = table.values[:, decisions, choices] - table.values[:, decisions, pick[decisions]]
        merits = table.merit(sums[:, None] + moves)
        at = [int(merits.argmin())]
        if not merits[at[0]] < best:
            pairs = table.merit(sums[:, None, None] + moves[:, :, None] + moves[:, None, :])
            pairs[decisions[:, None] == decisions] = np.inf
            at = [int(i) for i in np.unravel_index(int(pairs.argmin()), pairs.shape)]
            if not pairs[at[0], at[1]] < best:
                break
        pick[decisions[at]] = choices[at]
        sums = table.values[:, every, pick].sum(axis=1)
        best = float(table.merit(sums))
    counts = np.zeros(problem.legal.shape, dtype=np.int64)
    counts[every, pick] = 1
    return counts if violation(problem, counts) is None else None


class _Table:
    """The objective, the limits and the paces of a problem as ``values`` [1 + R + Q, D, S]."""

    def __init__(self, problem: Problem, scale: float) -> None:
        limits = [row for row in problem.rows if row.name != PACE]
        paces = [row for row in problem.rows if row.name == PACE]
        rows = [row.coefficients for row in (*limits, *paces)]
        self.values = np.array([problem.objective, *rows])
        self.most = np.array([tolerant_limit(row) for row in limits])
        self.size = np.array([abs(row.limit) or 1.0 for row in limits])
        self.pace = np.array([row.limit for row in paces])
        self.scale = scale

    def merit(self, sums: Array) -> Array:
        """What is made less: the objective, and more than that what limits are broken by; ``sums``
        [1 + R + Q, ...]."""
        count, beside = len(self.most), (1,) * (sums.ndim - 1)
        over = np.maximum(sums[1 : 1 + count] - self.most.reshape(-1, *beside), 0.0)
        broken = (over / self.size.reshape(-1, *beside)).sum(axis=0)
        cost = sums[0]
        if len(self.pace):
            above = (sums[1 + count :] - self.pace.reshape(-1, *beside)).max(axis=0)
            cost = cost + np.maximum(above, 0.0)
        return np.asarray(cost / self.scale + PENALTY * broken)
