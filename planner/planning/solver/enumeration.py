"""Multiple choice under one limit that binds, proved by listing what a Lagrangian bound leaves.

For a multiplier λ ≥ 0, L = Σ_d min_s (cost + λ·use)[d, s] − λ·room bounds the optimum from below,
and an assignment within the limit costs at least L plus the reduced costs of its choices (their
distance from each minimum). Assignments whose reduced costs sum up to at most g are listed decision
by decision, without those that another undercuts in cost and in use; the best of them within the
limit is the optimum once it costs no more than L + g. Limits that it happens to keep need no
multiplier; where it breaks one, another stage is slower than the one of the objective, or several
limits bind, nothing is said here.

Pisinger, "A minimal algorithm for the multiple-choice knapsack problem" (1995), lists the same way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.solver.problem import (
    BEATEN,
    INFEASIBLE,
    OPTIMAL,
    Array,
    Problem,
    Solution,
    limits_of,
    objective_of,
    pace_excess,
    tolerant_limit,
    violation,
)

Int = NDArray[np.int64]
MAX_STATES = 20_000
"""Partial assignments beyond which the listing gives up."""
_HALVINGS = 40
_DEEPER = 4.0
_FIRST_GAP = 1e-4
_ROUNDING = 1e-12


@record
class _Bounded:
    """``cost`` [D, S] (inf where illegal) and ``use`` [D, S] against ``room``; ``reduced`` costs
    [D, S] and the ``bound`` that the multiplier gives."""

    cost: Array
    use: Array
    room: float
    reduced: Array
    bound: float


def enumerate_choices(problem: Problem, cutoff: float = np.inf) -> Solution | None:
    """The proved optimum of ``problem`` (every multiplicity 1), its infeasibility, or that it is
    ``beaten``: above ``cutoff``. None where several limits pull at once, or MAX_STATES do not
    suffice."""
    empty = np.zeros(problem.legal.shape, dtype=np.int64)
    if not problem.legal.any(axis=1).all() or exceeds_enumeration(problem):
        return Solution(INFEASIBLE, empty, np.inf, np.inf, 0.0)
    bounded, alone = _bounded(problem)
    cutoff -= problem.constant
    if bounded.bound > cutoff:
        return Solution(BEATEN, empty, np.inf, cutoff + problem.constant, 0.0)
    if not alone:
        return None
    widest = float(np.where(problem.legal, bounded.reduced, 0.0).max(axis=1).sum())
    size = max(abs(bounded.bound), widest, 1e-300)
    most = min(widest, (cutoff - bounded.bound) * (1 + 1e-9) + _ROUNDING * size)
    gap = min(_FIRST_GAP * size, most)
    while True:
        listing = _listing(bounded, gap, _ROUNDING * size)
        if listing is None:
            return None
        cost, choice = listing
        if cost - bounded.bound <= gap or gap >= most:
            break
        gap = min(gap * _DEEPER, (cost - bounded.bound) * (1 + 1e-9), max(most, gap))
    if most < widest and cost - bounded.bound > gap:
        return Solution(BEATEN, empty, np.inf, cutoff + problem.constant, 0.0)
    if not np.isfinite(cost):
        return None
    counts = empty
    counts[np.arange(len(choice)), choice] = 1
    if violation(problem, counts) is not None or pace_excess(problem, counts) > _ROUNDING * size:
        return None
    value = objective_of(problem, counts)
    return Solution(OPTIMAL, counts, value, value, 0.0)


def exceeds_enumeration(problem: Problem) -> bool:
    """Whether the least use of some limit exceeds it."""
    return any(
        np.where(problem.legal, row.coefficients, np.inf).min(axis=1).sum()
        > tolerant_limit(row) + 1e-9 * abs(row.limit)
        for row in limits_of(problem)
    )


def _bounded(problem: Problem) -> tuple[_Bounded, bool]:
    """The best bound by one of the limits that the cheapest choices break, and whether it is the
    only one. Limits that they keep are left out, and checked at the end."""
    cost = np.where(problem.legal, problem.objective, np.inf)
    every, cheapest = np.arange(len(cost)), cost.argmin(axis=1)
    broken = [
        row
        for row in limits_of(problem)
        if row.coefficients[every, cheapest].sum() > tolerant_limit(row)
    ]
    if not broken:
        return _by(cost, np.zeros(cost.shape), 0.0, 0.0), True
    bounds = []
    for row in broken:
        use, room = np.where(problem.legal, row.coefficients, 0.0), tolerant_limit(row)
        bounds.append(_by(cost, use, room, _multiplier(cost, use, room)))
    return max(bounds, key=lambda bounded: bounded.bound), len(bounds) == 1


def _by(cost: Array, use: Array, room: float, multiplier: float) -> _Bounded:
    priced = cost + multiplier * use
    least = priced.min(axis=1)
    return _Bounded(
        cost, use, room, priced - least[:, None], float(least.sum() - multiplier * room)
    )


def _multiplier(cost: Array, use: Array, room: float) -> float:
    """The multiplier of one limit at which the cheapest choices change from over it to within."""
    every = np.arange(len(cost))

    def over(factor: float) -> bool:
        pick = (cost + factor * use).argmin(axis=1)
        return bool(use[every, pick].sum() > room)

    if not over(0.0):
        return 0.0
    finite = np.where(np.isfinite(cost), cost, np.nan)
    spread = float((np.nanmax(finite, axis=1) - np.nanmin(finite, axis=1)).sum())
    low, high = 0.0, spread / max(abs(room), float(np.abs(use).max()), 1e-300)
    for _ in range(_HALVINGS):
        if not over(high):
            break
        low, high = high, high * 4
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if over(middle) else (low, middle)
    return high


def _listing(bounded: _Bounded, gap: float, rounding: float) -> tuple[float, Int] | None:
    """(least cost, its choices [D]) of all assignments within ``gap`` and the limit; inf where
    there is none, None where they are too many."""
    decisions = len(bounded.cost)
    kept = [np.nonzero(reduced <= gap + rounding)[0] for reduced in bounded.reduced]
    order = sorted(range(decisions), key=lambda d: len(kept[d]))
    least = np.where(np.isfinite(bounded.cost), bounded.use, np.inf).min(axis=1)
    rest = float(least.sum())
    room = bounded.room + 1e-9 * abs(bounded.room)
    choice = np.zeros(decisions, dtype=np.int64)
    alone = [d for d in order if len(kept[d]) == 1]  # the first: they need no arrays
    sums = [0.0, 0.0, 0.0]
    for d in alone:
        choice[d] = only = int(kept[d][0])
        rest -= float(least[d])
        for i, column in enumerate((bounded.reduced, bounded.cost, bounded.use)):
            sums[i] += float(column[d, only])
        if sums[0] > gap + rounding or sums[2] + rest > room:
            return np.inf, choice
    above, spent, used = (np.array([value]) for value in sums)
    order = order[len(alone) :]
    steps: list[tuple[Int, Int]] = []
    for d in order:
        some = kept[d]
        rest -= float(least[d])
        more, cost, use = (
            np.add.outer(so_far, column[d, some]).ravel()
            for so_far, column in (
                (above, bounded.reduced),
                (spent, bounded.cost),
                (used, bounded.use),
            )
        )
        keep = np.nonzero((more <= gap + rounding) & (use + rest <= room))[0]
        keep = keep[_undominated(cost[keep], use[keep])]
        if len(keep) > MAX_STATES:
            return None
        above, spent, used = more[keep], cost[keep], use[keep]
        steps.append((keep // len(some), some[keep % len(some)]))
    within = np.nonzero(used <= bounded.room)[0]
    if not len(within):
        return np.inf, choice
    at = int(within[spent[within].argmin()])
    cost_of_best = float(spent[at])
    for d, (parent, picked) in zip(order[::-1], steps[::-1], strict=True):
        choice[d] = picked[at]
        at = int(parent[at])
    return cost_of_best, choice


def _undominated(spent: Array, used: Array) -> Int:
    """Places, in order, of what no other undercuts in both; the first of equals."""
    order = np.lexsort((spent, used))
    least = np.minimum.accumulate(spent[order])
    first = np.ones(len(order), dtype=bool)
    first[1:] = spent[order][1:] < least[:-1]
    return np.sort(order[first])
