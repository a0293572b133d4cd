"""Pipelines whose layers are counted one by one: the slowest stage, by a search over paces.

Stages share the limit on loss and nothing else. For a pace T each stage alone has a least loss
l_s(T) that it can reach within T and its memory, a small problem; the pace can be kept if
Σ l_s(T) is within the limit, and bisection finds the least T. As one problem the same takes HiGHS
up to a minute, since its relaxation gives every stage a part of the loss that no whole layer has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.solver.problem import (
    BEATEN,
    INFEASIBLE,
    OPTIMAL,
    PACE,
    Array,
    Problem,
    Row,
    Solution,
    limits_of,
    objective_of,
    violation,
)

Int = NDArray[np.int64]
Solver = Callable[[Problem, float], Solution]
"""(problem, cutoff) → its optimum, unless that is above the cutoff."""
SMALL = 1e-3
"""A decision belongs to a stage if others see less than this of its time."""
SLACK = 1e-9
DIGITS = 11
_MOST_STEPS = 40


@record
class Stage:
    """One stage: its decisions, their seconds of the pace [d, S], what the pace has beside them,
    their part of the shared limit [d, S], and the limits of the stage alone."""

    decisions: Int
    seconds: Array
    constant: float
    shared: Array
    rows: tuple[Row, ...]


@record
class Feasibility:
    """Whether a pace can be kept: counts that do, or a proof that none do, or neither."""

    counts: Int | None
    refused: bool


def stagewise(problem: Problem, solver: Solver, *, gap: float, cutoff: float) -> Solution | None:
    """The optimum of a problem with PACE rows to a relative ``gap``; None where more than one limit
    is shared by stages (or one that a choice may give back), or a decision by two. ``solver``
    solves the problem of one stage.

    Above ``cutoff`` nothing is looked for.
    """
    parts = _stages(problem)
    if parts is None:
        return None
    paces = _Paces(problem, *parts, solver)
    empty = np.zeros(problem.legal.shape, dtype=np.int64)
    best = paces.at(cutoff)
    if best.counts is None:
        status = BEATEN if np.isfinite(cutoff) else INFEASIBLE
        return Solution(status, empty, np.inf, np.inf, 0.0) if best.refused else None
    counts, high = best.counts, objective_of(problem, best.counts)
    low = proved = paces.least()
    for _ in range(_MOST_STEPS):
        if high - low <= gap * abs(high):
            break
        middle = 0.5 * (low + high)
        feasibility = paces.at(middle)
        if feasibility.counts is None:
            low, proved = middle, middle if feasibility.refused else proved
            continue
        value = objective_of(problem, feasibility.counts)
        if value < high:
            counts, high = feasibility.counts, value
        high = min(high, max(middle, value))
    value = objective_of(problem, counts)
    bound = min(proved, value)
    return Solution(OPTIMAL, counts, value, bound, (value - bound) / abs(value) if value else 0.0)


def _stages(problem: Problem) -> tuple[list[Stage], float] | None:
    """(the stages, the shared limit) of ``problem``."""
    paces = [(problem.objective, problem.constant)] + [
        (problem.objective + row.coefficients, problem.constant - row.limit)
        for row in problem.rows
        if row.name == PACE
    ]
    layers = problem.multiplicity[:, None]
    sizes = np.array(
        [np.where(problem.legal, np.abs(stage), 0.0).sum(axis=1) for stage, _ in paces]
    )
    owner = sizes.argmax(axis=0)
    if (np.sort(sizes, axis=0)[-2] > SMALL * sizes.max(axis=0)).any():
        return None
    alone: dict[int, list[Row]] = {}
    shared: list[Row] = []
    for row in limits_of(problem):
        used = np.unique(owner[(np.where(problem.legal, row.coefficients, 0.0) != 0).any(axis=1)])
        if len(used) <= 1:
            alone.setdefault(int(used[0]) if len(used) else 0, []).append(row)
        else:
            shared.append(row)
    if len(shared) > 1 or any((row.coefficients[problem.legal] < 0).any() for row in shared):
        return None
    unit = float(sizes.max()) or 1.0
    loss = shared[0].coefficients if shared else np.zeros(problem.legal.shape)
    out = []
    for k, (seconds, constant) in enumerate(paces):
        own = np.flatnonzero(owner == k)
        least = np.where(problem.legal, seconds, np.inf).min(axis=1, keepdims=True) * layers
        beside = float(least.sum() - least[own].sum())
        out.append(
            Stage(
                own,
                _rounded(seconds[own], unit),
                float(_rounded(np.array(constant + beside), unit)),
                loss[own],
                tuple(_part(row, own) for row in alone.get(k, [])),
            )
        )
    return out, shared[0].limit if shared else np.inf


def _rounded(values: Array, unit: float) -> Array:
    """To DIGITS of ``unit``: differences of sums leave noise in stages that are alike."""
    return np.asarray(np.round(values / unit, DIGITS) * unit)


def _part(row: Row, own: Int) -> Row:
    return replace(
        row, coefficients=row.coefficients[own], exact=None if row.exact is None else row.exact[own]
    )


class _Paces:
    """Answers for paces; stages that are alike are solved once a pace."""

    def __init__(self, problem: Problem, stages: list[Stage], limit: float, solver: Solver) -> None:
        self.problem, self.stages, self.limit, self.solver = problem, stages, limit, solver
        self.twins = [self._twin(stage) for stage in stages]
        self.proved: dict[bytes, list[tuple[float, float]]] = {}

    def least(self) -> float:
        """A pace that no assignment keeps less than: of every stage without its limits."""
        return max(
            float(
                (
                    np.where(self.problem.legal[s.decisions], s.seconds, np.inf).min(axis=1)
                    * self.problem.multiplicity[s.decisions]
                ).sum()
            )
            + s.constant
            for s in self.stages
        )

    def at(self, pace: float) -> Feasibility:
        """Whether every stage can keep ``pace`` within the shared limit."""
        counts = np.zeros(self.problem.legal.shape, dtype=np.int64)
        room = self.limit * (1 + SLACK) + 1e-15
        known: dict[bytes, Solution] = {}
        least = [self._least(twin, pace) for twin in self.twins]
        value = 0.0
        left = room - sum(least)
        for stage, twin, had in zip(self.stages, self.twins, least, strict=True):
            left += had
            if twin not in known:
                known[twin] = self.solver(self._of(stage, pace), left)
            solution = known[twin]
            if not solution.has_assignment:
                return Feasibility(
                    None, solution.status in (INFEASIBLE, BEATEN) or solution.bound > left
                )
            self.proved.setdefault(twin, []).append((pace, solution.bound))
            value, left = value + solution.value, left - solution.bound
            if left < 0:
                return Feasibility(None, refused=True)
            counts[stage.decisions] = solution.counts
        if value > room or violation(self.problem, counts) is not None:
            return Feasibility(None, refused=False)
        return Feasibility(counts, refused=False)

    def _least(self, twin: bytes, pace: float) -> float:
        """What a stage needs at least: a slower pace never needs more."""
        return max((need for at, need in self.proved.get(twin, ()) if at >= pace), default=0.0)

    def _of(self, stage: Stage, pace: float) -> Problem:
        """The least of the shared limit's quantity that ``stage`` needs at ``pace``."""
        rows = stage.rows
        if np.isfinite(pace):
            rows = (Row("time", stage.seconds, pace - stage.constant), *rows)
        return Problem(
            stage.shared,
            0.0,
            self.problem.legal[stage.decisions],
            self.problem.multiplicity[stage.decisions],
            rows,
        )

    def _twin(self, stage: Stage) -> bytes:
        """What two stages share whose problems are the same at every pace."""
        parts = [
            stage.seconds,
            stage.shared,
            self.problem.legal[stage.decisions],
            self.problem.multiplicity[stage.decisions],
            np.array([stage.constant]),
            *(a for row in stage.rows for a in (row.coefficients, np.array([row.limit]))),
        ]
        return b"|".join(np.ascontiguousarray(a).tobytes() for a in parts)
