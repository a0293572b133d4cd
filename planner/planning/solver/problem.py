"""One candidate's assignment as a multiple-choice problem, in arrays.

    minimise   Σ_d objective[d, x_d]
    subject to Σ_d rows[r, d, x_d] ≤ limit[r],   one legal choice for every decision

A decision of multiplicity m > 1 is split: n[d, s] layers take choice s, Σ_s n[d, s] = m, and all
coefficients are per layer.

A step waits for its slowest pipeline stage, so that an objective may be a largest of several sums:
``objective`` is that of one stage, and a row named PACE counts by how much another one is above it,
which the objective pays for (its largest excess) instead of forbidding it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record

Array = NDArray[np.float64]
Number = TypeVar("Number", np.float64, np.int64)
OPTIMAL = "optimal"
"""Status of a solution that nothing beats by more than its gap."""
STOPPED = "stopped"
"""Status of a solution at which the solver's limit of nodes or seconds was reached: its gap says
what may be missed."""
INFEASIBLE = "infeasible"
BEATEN = "beaten"
"""Status of a problem whose optimum is above the cutoff that was given."""
UNPROVED = "unproved"
"""Status of a problem that the limits of the solver left without any solution, and with a bound."""
TOLERANCE = 1e-9
"""Share by which a limit that is no count may be exceeded: sums round."""
EQUAL = 1e-8
"""Relative difference of the objective up to which two choices are equal: ten times the gap to
which the solver proves, so that no machine tells them apart; the catalogue's order decides."""
PACE = "pace"
"""Name of the rows that raise the objective by their excess, in its unit."""


@cached_record
class Row:
    """One limit: coefficients [decision, choice] (0 where illegal), right-hand side, its name.

    ``exact`` holds int64 coefficients and limit where the quantity is a count of bytes; the solver
    sees floats, the check after it integers.
    """

    name: str
    coefficients: Array
    limit: float
    exact: NDArray[np.int64] | None = None
    exact_limit: int | None = None


@cached_record
class Problem:
    """See module docstring. ``objective`` [D, S]; ``legal`` bool [D, S]; ``multiplicity`` [D]."""

    objective: Array
    constant: float
    legal: NDArray[np.bool_]
    multiplicity: NDArray[np.int64]
    rows: tuple[Row, ...]

    @cached_property
    def _exact(self) -> NDArray[np.int64]:
        """Integer coefficients of the rows that have them, in order [R, D·S]."""
        exact = [row.exact for row in self.rows if row.exact is not None]
        return np.array(exact, dtype=np.int64).reshape(len(exact), self.legal.size)

    def exact_use(self, counts: NDArray[np.int64]) -> list[int]:
        """What ``counts`` use of each limit that has integer coefficients, in order of the rows."""
        used: list[int] = (self._exact @ counts.ravel()).tolist()
        return used


@cached_record
class Solution:
    """Counts int64 [D, S]; ``bound`` proves ``value`` within ``gap`` (relative). ``status`` is one
    of OPTIMAL, STOPPED, INFEASIBLE, BEATEN, UNPROVED."""

    status: str
    counts: NDArray[np.int64]
    value: float
    bound: float
    gap: float

    @property
    def has_assignment(self) -> bool:
        """Whether ``counts`` are an assignment within all limits."""
        return self.status in (OPTIMAL, STOPPED)


def is_minimax(problem: Problem) -> bool:
    """Whether the objective is the largest of several sums."""
    return any(row.name == PACE for row in problem.rows)


def proved(solution: Solution, cutoff: float) -> float:
    """The lower bound of the objective that ``solution`` proves, looked for up to ``cutoff``."""
    if solution.status == BEATEN:
        return cutoff
    return np.inf if solution.status == INFEASIBLE else solution.bound


def objective_of(problem: Problem, counts: NDArray[np.int64]) -> float:
    """Objective of an assignment ``counts`` [D, S], constant and the excess over the pace
    included."""
    return float(
        (np.where(problem.legal, problem.objective, 0.0) * counts).sum() + problem.constant
    ) + pace_excess(problem, counts)


def relative_gap(difference: float, scale: float) -> float:
    """``difference`` of two objectives as a share of ``scale``, to six digits; 0 where they are
    equal."""
    share = difference / scale
    return 0.0 if abs(share) < EQUAL else float(f"{share:.6g}")


def pace_excess(problem: Problem, counts: NDArray[np.int64]) -> float:
    """By how much the slowest stage of ``counts`` [D, S] is above the one that ``objective``
    counts, at least 0."""
    return max(
        [
            0.0,
            *(
                float((row.coefficients * counts).sum()) - row.limit
                for row in problem.rows
                if row.name == PACE
            ),
        ]
    )


def of_all_stages(problem: Problem) -> Problem:
    """``problem`` with the mean of its stages for the slowest: never more than its objective."""
    others = [row for row in problem.rows if row.name == PACE]
    count = len(others) + 1
    more = sum((row.coefficients for row in others), np.zeros(problem.objective.shape))
    return replace(
        problem,
        objective=problem.objective + more / count,
        rows=limits_of(problem),
        constant=problem.constant - sum(row.limit for row in others) / count,
    )


def limits_of(problem: Problem) -> tuple[Row, ...]:
    """The rows that forbid."""
    return tuple(row for row in problem.rows if row.name != PACE)


def tolerant_limit(row: Row) -> float:
    """The limit, with the tolerance of :func:`violation`."""
    return (
        float(row.exact_limit)
        if row.exact_limit is not None
        else row.limit * (1 + TOLERANCE) + 1e-15
    )


def violation(problem: Problem, counts: NDArray[np.int64]) -> Row | None:
    """The first limit that ``counts`` [D, S] break, checked in integers where the limit is a
    count."""
    used = iter(problem.exact_use(counts))
    for row in limits_of(problem):
        if row.exact is not None and row.exact_limit is not None:
            if next(used) > row.exact_limit:
                return row
        elif float((row.coefficients * counts).sum()) > row.limit * (1 + TOLERANCE) + 1e-15:
            return row
    return None


def without_dominated(problem: Problem, besides: Array) -> Problem:
    """``problem`` without the choices that another of their decision is as good as in the
    objective (in every stage), in every limit and in ``besides`` [D, S]; of equals the first stays.
    Its optimum and what is feasible are the same."""
    legal = problem.legal
    worse = np.ones((*legal.shape, legal.shape[1]), dtype=bool)  # [D, s, t]: t is no dearer than s
    strict = np.zeros_like(worse)
    stages = [
        problem.objective + row.coefficients if row.name == PACE else row.coefficients
        for row in problem.rows
    ]
    for values in (problem.objective, besides, *stages):
        mine, other = values[:, :, None], values[:, None, :]
        worse &= other <= mine
        strict |= other < mine
    earlier = np.tril(np.ones(worse.shape[1:], dtype=bool), -1)
    worse &= (strict | earlier) & legal[:, None, :]
    return replace(problem, legal=legal & ~worse.any(axis=2))


def lower_bounds(
    objective: Array, constant: Array, legal: NDArray[np.bool_], rows: list[tuple[Array, Array]]
) -> Array:
    """A Lagrangian lower bound of every candidate [C].

    Each row's multiplier is found by bisection on the sign of its subgradient, all candidates at
    once; with several rows the ascent goes round them twice. Any multiplier gives a valid bound.

    Args:
        objective: [C, D, S] per decision (multiplicity folded in); constant [C]; legal [C, D, S].
        rows: (coefficients [C, D, S], limit [C]) of each coupled limit.
    Returns:
        The best bound met; inf where a decision has no legal choice.
    """
    return _priced(objective, constant, legal, rows)[0]


def reduced_costs(
    objective: Array, constant: Array, legal: NDArray[np.bool_], rows: list[tuple[Array, Array]]
) -> tuple[Array, Array]:
    """(costs with the limits priced [C, D, S], inf where illegal; what is beside them [C]) of
    :func:`lower_bounds`: no assignment within the limits is below the sum of its own."""
    return _priced(objective, constant, legal, rows)[1:]


def _priced(
    objective: Array, constant: Array, legal: NDArray[np.bool_], rows: list[tuple[Array, Array]]
) -> tuple[Array, Array, Array]:
    """(the best bound met [C], costs with each limit at its multiplier, what is beside them)."""
    base = np.where(legal, objective, np.inf)
    pick = _picks(base)
    best = np.asarray(base.take(pick).sum(axis=1) + constant)
    prices = np.zeros((len(rows), len(constant)))
    limits = np.array([limit for _, limit in rows]).reshape(prices.shape)
    for again in range(2 if len(rows) > 1 else 1):
        for r, (coefficients, limit) in enumerate(rows):
            # What keeps a limit anyway has no price, and without any the second time is the first.
            at = (
                np.flatnonzero((prices > 0).any(axis=0))
                if again
                else np.flatnonzero(
                    (coefficients.take(pick).sum(axis=1) > limit) & np.isfinite(best)
                )
            )
            if not len(at):
                continue
            own, cost = coefficients[at], base[at]
            if again:
                cost = cost - prices[r, at][:, None, None] * own
            others = np.delete(prices[:, at] * limits[:, at], r, axis=0).sum(axis=0)
            prices[r, at], bound = _ascend(cost, own, limit[at], constant[at] - others, 9)
            best[at] = np.fmax(best[at], bound)
            base[at] = cost + prices[r, at][:, None, None] * own
            if not again:
                pick[at] = _picks(base[at]) % base[0].size + at[:, None] * base[0].size
    return best, base, constant - (prices * limits).sum(axis=0)


def _picks(cost: Array) -> NDArray[np.int64]:
    """Flat places of the cheapest choices [C, D]."""
    return np.asarray(
        np.arange(0, cost.size, cost.shape[2]).reshape(cost.shape[:2]) + cost.argmin(axis=2)
    )


MIXES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
FEW, MANY = 4, 1000
"""Columns, and rows, for which the least of a row is found column by column."""


def excluded(legal: NDArray[np.bool_], rows: list[tuple[Array, Array]]) -> NDArray[np.bool_]:
    """Candidates that provably have no feasible assignment, bool [C].

    Every limit, and every pair of limits in fixed mixes, is itself a valid limit on the mixed
    coefficients; where the least mixed use exceeds it, nothing can be feasible.
    """
    out = np.zeros(legal.shape[0], dtype=bool)
    scaled = []
    for coefficients, limit in rows:
        use, room = _shares(legal, coefficients, limit)
        out |= (limit <= -1e-15) | (row_minimum(use).sum(axis=1) > room + 1e-9)
        scaled.append((use, room))
    open_ = np.flatnonzero(~out)
    scaled = [(use[open_], room[open_]) for use, room in scaled]
    left = np.flatnonzero(~_all_kept(scaled))
    open_, scaled = open_[left], [(use[left], room[left]) for use, room in scaled]
    for i, (first, first_room) in enumerate(scaled if len(open_) else ()):
        for second, second_room in scaled[i + 1 :]:
            for mix in MIXES:
                use = row_minimum(mix * first + (1 - mix) * second).sum(axis=1)
                out[open_] |= use > mix * first_room + (1 - mix) * second_room + 1e-9
    return out


def _shares(legal: NDArray[np.bool_], coefficients: Array, limit: Array) -> tuple[Array, Array]:
    """(what each choice uses of a limit [C, D, S], inf where illegal; what there is of it [C])."""
    size = np.where(np.abs(limit) > 1e-30, np.abs(limit), 1.0)
    return np.where(legal, coefficients / size[:, None, None], np.inf), limit / size


def _all_kept(scaled: list[tuple[Array, Array]]) -> NDArray[np.bool_]:
    """Candidates of which the assignment that uses the least of some limit keeps all, bool [C]:
    no mix of limits excludes them."""
    kept = np.zeros(len(scaled[0][1]) if scaled else 0, dtype=bool)
    for use, _ in scaled:
        pick = _picks(use)
        kept |= np.logical_and.reduce(
            [other.take(pick).sum(axis=1) <= room for other, room in scaled]
        )
    return kept


def row_minimum(values: NDArray[Number]) -> NDArray[Number]:
    """The least of the last axis [..., S]. Numpy's ``min`` of short rows takes ten times as
    long."""
    flat = values.reshape(-1, values.shape[-1])
    if flat.shape[1] > FEW and len(flat) < MANY:
        least = flat[np.arange(len(flat)), flat.argmin(axis=1)]
    else:
        least = flat[:, 0].copy()
        for column in range(1, flat.shape[1]):
            np.minimum(least, flat[:, column], out=least)
    return np.asarray(least.reshape(values.shape[:-1]))


def _ascend(
    cost: Array,
    coefficients: Array,
    limit: Array,
    constant: Array,
    steps: int,
) -> tuple[Array, Array]:
    """(multiplier [C], best bound [C]) of one row by bisection in log space; 0 where the cheapest
    assignment keeps the limit: from there on the bound only falls."""
    pick = _picks(cost)
    best = np.asarray(cost.take(pick).sum(axis=1) + constant)
    chosen = np.zeros(len(limit))
    above = np.flatnonzero((coefficients.take(pick).sum(axis=1) > limit) & np.isfinite(best))
    if not len(above):
        return chosen, best
    cost, coefficients, limit, constant = (
        cost[above],
        coefficients[above],
        limit[above],
        constant[above],
    )
    rows = np.arange(0, cost.size, cost.shape[2]).reshape(cost.shape[:2])
    scale = _spread(cost) / np.maximum(np.abs(limit), 1e-30)
    low, high = np.full(len(limit), -9.0), np.full(len(limit), 4.0)
    met, at = best[above], np.zeros(len(limit))
    relaxed = np.empty(cost.shape)
    for _ in range(steps):
        middle = (low + high) / 2
        factor = scale * 10.0**middle
        np.multiply(factor[:, None, None], coefficients, out=relaxed)
        relaxed += cost
        pick = rows + relaxed.argmin(axis=2)
        more = coefficients.take(pick).sum(axis=1) > limit
        bound = relaxed.take(pick).sum(axis=1) + constant - factor * limit
        better = bound > met
        met, at = np.where(better, bound, met), np.where(better, factor, at)
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    best[above], chosen[above] = met, at
    return chosen, best


def _spread(cost: Array) -> Array:
    """Difference between the dearest and cheapest assignment [C]: the scale of a multiplier."""
    high = -row_minimum(np.where(np.isfinite(cost), -cost, np.inf))
    low = row_minimum(cost)
    gap = np.where(np.isfinite(high) & np.isfinite(low), high - low, 0.0)
    return np.asarray(gap.sum(axis=1) + 1e-30)
