"""Assignments of few formats: which sets of them may hold the best one, and the best of these.

An option is free, as a cache layout and what a module is released in are, or it is in a format. Of
k formats the best assignment lies in one of the sets of k: each is the problem with fewer legal
choices. A Lagrangian bound of every set leaves few to be solved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from planner.planning.solver.problem import (
    Array,
    Problem,
    Solution,
    is_minimax,
    limits_of,
    lower_bounds,
    of_all_stages,
    proved,
)
from planner.records import cached_record

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]


@cached_record
class Formats:
    """The format of each option [D, O]: ``changed`` is −1 where it is free, ``scheme`` where it is
    a cache's alone."""

    changed: Int
    scheme: Int

    def within(self, formats: tuple[int, ...]) -> Bool:
        """Options that are free or in one of ``formats`` [D, O]."""
        return np.asarray((self.changed < 0) | np.isin(self.changed, formats))

    def used(self, counts: Int | Bool) -> frozenset[int]:
        """The formats that ``counts`` [D, O] take."""
        return frozenset(self.changed[(counts > 0) & (self.changed >= 0)].tolist())


def useful_formats(problem: Problem, formats: Formats) -> tuple[int, ...]:
    """The formats that some option is in, without those that another is as good as in the
    objective and in every limit wherever they stand; of equals the first stays."""
    names = sorted(formats.used(problem.legal))
    values = np.array([problem.objective, *(row.coefficients for row in problem.rows)])
    columns, asked = [], []
    for name in names:
        mine = problem.legal & (formats.scheme == name)
        columns.append(np.where(mine, values, np.inf).min(axis=2))
        asked.append((mine & (formats.changed == name)).any(axis=1))
    kept = list(range(len(names)))
    for i in reversed(range(len(names))):
        if any(_as_good(columns, asked[i], j, i) for j in kept if j != i):
            kept.remove(i)
    return tuple(names[i] for i in kept)


def _as_good(columns: list[Array], where: Bool, one: int, other: int) -> bool:
    """Whether format ``one`` is no dearer than ``other`` wherever that is asked for."""
    return bool((columns[one][:, where] <= columns[other][:, where]).all())


def best_of_sets(problem: Problem, formats: Formats, most: int,
                 solver: Callable[[Problem, float], Solution], cutoff: float,
                 extra: Problem | None = None) -> tuple[Solution | None, float]:
    """(the best assignment of at most ``most`` formats that is below ``cutoff``, a lower bound of
    all that was not looked at or found).

    ``solver`` proves the optimum of a problem unless it is above a cutoff; ``extra`` is the problem
    with limits that bounds may use beside (those that the solver keeps in another way).
    """
    names = useful_formats(problem, formats)
    sets = list(combinations(names, min(most, len(names))))
    masks = np.array([formats.within(one) for one in sets]) & problem.legal
    bound = set_bounds(extra or problem, masks)
    best: Solution | None = None
    left = np.inf
    for i in sorted(range(len(sets)), key=lambda i: (float(f"{bound[i]:.9e}"), i)):
        if bound[i] >= cutoff:
            return best, min(left, float(bound[i]))
        solution = solver(replace(problem, legal=masks[i]), cutoff)
        left = min(left, max(float(bound[i]), proved(solution, cutoff)))
        if solution.found and solution.value < cutoff:
            best, cutoff = solution, solution.value
    return best, left


def set_bounds(problem: Problem, masks: Bool) -> Array:
    """A lower bound of the objective under each mask of legal options [S, D, O]: inf where a
    decision has none left. Limits that no choice can exceed count nothing."""
    layers = problem.multiplicity[:, None].astype(np.float64)
    rows = []
    for row in limits_of(problem):
        use = row.coefficients * layers
        if np.where(problem.legal, use, -np.inf).max(axis=1).sum() > row.limit:
            rows.append((np.broadcast_to(use, masks.shape), np.full(len(masks), row.limit)))
    bounds = []
    for one in (problem, of_all_stages(problem)) if is_minimax(problem) else (problem,):
        bounds.append(lower_bounds(np.broadcast_to(one.objective * layers, masks.shape),
                                   np.full(len(masks), one.constant), masks, rows))
    return np.asarray(np.max(bounds, axis=0))
