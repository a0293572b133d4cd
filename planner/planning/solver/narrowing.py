"""What no assignment within the limits and the cutoff can take, left out before a search.

Every limit, the objective under a cutoff and each stage's pace under it are sums with one choice a
decision: a choice that exceeds one of them beside the least choices of all others is in no
assignment that is looked for. Then limits that nothing can exceed, and choices that another
undercuts in everything, go too. The optimum and its value stay; HiGHS, which starts without
presolve, finds it in a half of the time, and most candidates that cannot win are told here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.planning.solver.problem import (
    PACE,
    Array,
    Problem,
    tolerant_limit,
    without_dominated,
)

SLACK = 1e-9
"""Share of a limit by which a sum may exceed it here: rounding must exclude nothing."""
ROUNDS = 6


def narrowed(problem: Problem, cutoff: float = np.inf) -> Problem | None:
    """``problem`` (every multiplicity 1) with fewer choices and rows and the same optimum, where
    that is at most ``cutoff``; None where no assignment is within the limits and the cutoff."""
    legal = (
        _able(problem.legal, *_sums(problem, cutoff)) if problem.legal.any(axis=1).all() else None
    )
    if legal is None:
        return None
    rows = tuple(
        row
        for row in problem.rows
        if row.name == PACE
        or np.where(legal, row.coefficients, -np.inf).max(axis=1).sum() > row.limit
    )
    fewer = replace(problem, legal=legal, rows=rows)
    return without_dominated(fewer, np.zeros(legal.shape))


def _sums(problem: Problem, cutoff: float) -> tuple[Array, Array]:
    """(coefficients [R, D, S], the most that their sum may be [R]) of all limits."""
    values = [problem.objective]
    limits = [cutoff - problem.constant]
    for row in problem.rows:
        paced = row.name == PACE
        values.append(problem.objective + row.coefficients if paced else row.coefficients)
        limits.append(cutoff - problem.constant + row.limit if paced else tolerant_limit(row))
    most = np.array(limits)
    kept = np.isfinite(most)
    size = np.maximum(np.abs(most), abs(cutoff) if np.isfinite(cutoff) else 0.0)
    return np.array(values)[kept], (most + SLACK * size)[kept]


def _able(legal: NDArray[np.bool_], values: Array, most: Array) -> NDArray[np.bool_] | None:
    """The choices that no sum excludes; None where a decision has none left."""
    for _ in range(ROUNDS):
        use = np.where(legal, values, np.inf)
        least = use.min(axis=2)
        spare = most - least.sum(axis=1)
        if (spare < 0).any():
            return None
        fewer = legal & (use - least[:, :, None] <= spare[:, None, None]).all(axis=0)
        if (fewer == legal).all():
            break
        legal = fewer
    return legal
