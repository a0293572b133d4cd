"""Assignments of few formats: which sets of them may hold the best one, and the best of these.

An option is free, as a cache layout and what a module is released in are, or it is in a format. Of
k formats the best assignment lies in one of the sets of k: each is the problem with fewer legal
choices. With the limits priced, the cheapest options of a set bound it from below, so that few sets
are solved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.planning.solver.problem import Array, Problem, Solution, proved

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Sets = tuple[tuple[int, ...], ...]


@cached_record
class FormatTable:
    """The format of each option [D, O]: ``changed`` is −1 where it is free, ``scheme`` where it is
    a cache's alone."""

    changed: Int
    scheme: Int

    @cached_property
    def names(self) -> tuple[int, ...]:
        """The formats that some option is in."""
        return tuple(sorted(set(self.changed[self.changed >= 0].tolist())))

    def within(self, formats: tuple[int, ...]) -> Bool:
        """Options that are free or in one of ``formats`` [D, O]."""
        out = self.changed < 0
        for format_id in formats:
            out |= self.changed == format_id
        return out

    def used(self, counts: Int | Bool) -> tuple[int, ...]:
        """The formats that ``counts`` [D, O] take."""
        return tuple(sorted(set(self.changed[(counts > 0) & (self.changed >= 0)].tolist())))

    def sets(self, most: int) -> Sets:
        """Every set of ``most`` formats, or of all where they are fewer."""
        return tuple(combinations(self.names, min(most, len(self.names))))


def set_bounds(costs: Array, constant: Array, formats: FormatTable, sets: Sets) -> Array:
    """A lower bound of each candidate under each of ``sets`` [C, S], from the costs of options with
    the limits priced [C, D, O] and the ``constant`` beside them [C]."""

    def least(where: Bool) -> Array:
        return np.asarray(np.where(where, costs, np.inf).min(axis=2))

    free = least(formats.changed < 0)
    if not formats.names:  # nothing but what is released
        return np.repeat((free.sum(axis=1) + constant)[:, None], len(sets), axis=1)
    by_format = np.stack([least(formats.changed == name) for name in formats.names], axis=1)
    place = {name: i for i, name in enumerate(formats.names)}
    out = np.empty((len(costs), len(sets)))
    for at, format_set in enumerate(sets):
        cheapest = by_format[:, [place[name] for name in format_set]].min(axis=1, initial=np.inf)
        out[:, at] = np.minimum(free, cheapest).sum(axis=1)
    return out + constant[:, None]


def useful_formats(problem: Problem, formats: FormatTable) -> tuple[int, ...]:
    """The formats without those that another is as good as in the objective and in every limit
    wherever they stand; of equals the first stays."""
    names = formats.used(problem.legal)
    if not names:
        return ()
    values = np.array([problem.objective, *(row.coefficients for row in problem.rows)])
    mine = problem.legal & (formats.scheme == np.array(names)[:, None, None])
    columns = np.where(mine[:, None], values, np.inf).min(axis=3)
    scheme_used = (mine & (formats.changed == formats.scheme)).any(axis=2)
    as_good = ((columns[:, None] <= columns) | ~scheme_used[:, None]).all(axis=(2, 3))
    kept = list(range(len(names)))
    for i in reversed(range(len(names))):
        if any(as_good[j, i] for j in kept if j != i):
            kept.remove(i)
    return tuple(names[i] for i in kept)


def best_of_sets(
    problem: Problem,
    formats: FormatTable,
    bounds: dict[tuple[int, ...], float],
    solver: Callable[[Problem, float], Solution],
    cutoff: float,
) -> tuple[Solution | None, float]:
    """(the best assignment within one of the sets that ``bounds`` holds for, if it is below
    ``cutoff``; a lower bound of all others). ``solver`` proves the optimum of a problem unless it
    is above a cutoff."""
    useful = set(useful_formats(problem, formats))
    bound_by_set: dict[tuple[int, ...], float] = {}
    for format_set, bound in bounds.items():
        fewer = tuple(name for name in format_set if name in useful)
        bound_by_set[fewer] = min(bound, bound_by_set.get(fewer, np.inf))
    best: Solution | None = None
    left = np.inf
    for format_set, bound in sorted(
        bound_by_set.items(), key=lambda item: (float(f"{item[1]:.9e}"), item[0])
    ):
        if bound >= cutoff:
            return best, min(left, bound)
        legal = problem.legal & formats.within(format_set)
        solution = solver(replace(problem, legal=legal), cutoff)
        left = min(left, max(bound, proved(solution, cutoff)))
        if solution.has_assignment and solution.value < cutoff:
            best, cutoff = solution, solution.value
    return best, left
