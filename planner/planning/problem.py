"""One candidate's assignment as a multiple-choice problem, in arrays.

    minimise   Σ_d objective[d, x_d]
    subject to Σ_d rows[r, d, x_d] ≤ limit[r],   one legal choice for every decision

A decision of multiplicity m > 1 is split: n[d, s] layers take choice s, Σ_s n[d, s] = m, and all
coefficients are per layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Problem:
    """See module docstring. ``objective`` [D, S]; ``legal`` bool [D, S]; ``multiplicity`` [D]."""

    objective: Array
    constant: float
    legal: NDArray[np.bool_]
    multiplicity: NDArray[np.int64]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Solution:
    """Counts int64 [D, S]; ``bound`` proves ``value`` within ``gap`` (relative)."""

    status: str
    counts: NDArray[np.int64]
    value: float
    bound: float
    gap: float

    @property
    def found(self) -> bool:
        return self.status == "optimal"


def objective_of(problem: Problem, counts: NDArray[np.int64]) -> float:
    """Objective of an assignment, constant included."""
    return float((np.where(problem.legal, problem.objective, 0.0) * counts).sum()
                 + problem.constant)


def violation(problem: Problem, counts: NDArray[np.int64]) -> Row | None:
    """The first limit that ``counts`` breaks, checked in integers where the limit is a count."""
    for row in problem.rows:
        if row.exact is not None and row.exact_limit is not None:
            used = int((row.exact * counts).sum())
            if used > row.exact_limit:
                return row
        elif float((row.coefficients * counts).sum()) > row.limit * (1 + 1e-9) + 1e-15:
            return row
    return None


def lower_bounds(objective: Array, constant: Array, legal: NDArray[np.bool_],
                 rows: list[tuple[Array, Array]]) -> Array:
    """A Lagrangian lower bound of every candidate [C] from a fixed grid of multipliers.

    Args:
        objective: [C, D, S] per decision (multiplicity folded in); constant [C]; legal [C, D, S].
        rows: (coefficients [C, D, S], limit [C]) of each coupled limit.
    Returns:
        The best bound over the grid; inf where a decision has no legal choice.
    """
    cost = np.where(legal, objective, np.inf)
    best = cost.min(axis=2).sum(axis=1) + constant
    spread = _spread(cost)
    for coefficients, limit in rows:
        scale = spread / np.maximum(np.abs(limit), 1e-30)
        for factor in (0.03, 0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 10.0):
            weight = (factor * scale)[:, None, None]
            relaxed = np.where(legal, objective + weight * coefficients, np.inf).min(axis=2)
            best = np.maximum(best, relaxed.sum(axis=1) + constant - factor * scale * limit)
    return np.asarray(best)


def _spread(cost: Array) -> Array:
    """Difference between the dearest and cheapest assignment [C]: the scale of a multiplier."""
    high = np.where(np.isfinite(cost), cost, -np.inf).max(axis=2)
    low = cost.min(axis=2)
    gap = np.where(np.isfinite(high) & np.isfinite(low), high - low, 0.0)
    return np.asarray(gap.sum(axis=1) + 1e-30)
