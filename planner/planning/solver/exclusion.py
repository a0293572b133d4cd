"""Limits that cannot be kept together: a proof without branching.

For a share μ of one limit and 1 − μ of another, every assignment within both keeps the mixed limit
too. Where the least mixed use is beyond the mixed room at some μ, none is within both. The least
mixed use less its room is concave in μ, and its slope is the difference of the two excesses at the
choices that take it, so that the best μ is found by bisection.
"""

from __future__ import annotations

import numpy as np

from planner.planning.solver.problem import Array, Problem, limits_of, tolerant_limit

STEPS = 20
MARGIN = 1e-9
"""What the mixed use must exceed the mixed room by, as a share of the limits: sums round."""


def has_excluding_pair(problem: Problem) -> bool:
    """Whether two limits of different kinds (:attr:`Row.name`) provably exclude each other. False
    says nothing: three limits may, or the fractions that the mixed choices allow."""
    rows = limits_of(problem)
    pairs = [
        (i, j)
        for i in range(len(rows))
        for j in range(i + 1, len(rows))
        if rows[i].name != rows[j].name
    ]
    if not pairs or not problem.legal.any(axis=1).all():
        return False
    sizes = [abs(row.limit) or 1.0 for row in rows]
    use = np.array(
        [
            np.where(problem.legal, row.coefficients * problem.multiplicity[:, None], np.inf) / size
            for row, size in zip(rows, sizes, strict=True)
        ]
    )
    rooms = np.array([tolerant_limit(row) / size for row, size in zip(rows, sizes, strict=True)])
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    return _bisected(use[first], use[second], rooms[first], rooms[second])


def _bisected(first: Array, second: Array, first_room: Array, second_room: Array) -> bool:
    """Whether any pair [P] of uses [P, D, S] is apart from its rooms [P]."""
    low, high = np.zeros(len(first)), np.ones(len(first))
    for _ in range(STEPS):
        share = (low + high) / 2
        mixed = share[:, None, None] * first + (1 - share)[:, None, None] * second
        pick = mixed.argmin(axis=2)[:, :, None]
        over = np.take_along_axis(first, pick, axis=2).sum(axis=(1, 2)) - first_room
        also = np.take_along_axis(second, pick, axis=2).sum(axis=(1, 2)) - second_room
        if (share * over + (1 - share) * also > MARGIN).any():
            return True
        open_ = (over > 0) | (also > 0)
        if not open_.any():
            return False
        more = over > also
        low, high = np.where(more, share, low)[open_], np.where(more, high, share)[open_]
        first, second = first[open_], second[open_]
        first_room, second_room = first_room[open_], second_room[open_]
    return False
