"""Sets of formats on candidates: what bounds them, and the best assignment within one.

Modules that stay in what they are released in need no format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.policies import runs_as_released
from planner.planning.search.candidate_problem import CandidateProblem, candidate_problem
from planner.planning.search.first_token import solve_with_ttft
from planner.planning.search.formulate import relaxation
from planner.planning.solver.format_sets import FormatTable, Sets, best_of_sets, set_bounds
from planner.planning.solver.problem import (
    Array,
    Problem,
    Solution,
    lower_bounds,
    proved,
    reduced_costs,
)
from planner.planning.solver.solve import LOOSE
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel

Int = NDArray[np.int64]
SetBounds = dict[tuple[int, ...], float]
"""A lower bound of each set of formats."""
Relaxation = tuple[Array, Array, NDArray[np.bool_], list[tuple[Array, Array]]]
MANY = 8
"""Sets of one candidate from which any number of formats is tried first."""
AT_ONCE = 1024
"""Candidates with a set of formats that are bounded together; where there are more, each candidate
is looked at by itself."""


def changed_schemes(model: CostModel, segments: Sequence[Segment]) -> frozenset[str]:
    """The schemes of modules that are not what these are released in."""
    return frozenset(
        model.choices[s.choice]
        for s in segments
        if s.choice >= 0
        and model.units[s.unit].role == "module"
        and model.choices[s.choice] != released_in(model, model.units[s.unit])
    )


def released_in(model: CostModel, unit: DecisionUnit) -> str:
    """What the modules of a unit are released in, or what stands for it on the device."""
    return runs_as_released(model.question, model.planned[unit.row].released_as)


def best_on(
    space: Space, c: int, most: int, cutoff: float
) -> tuple[CandidateProblem, Solution] | None:
    """The best assignment of at most ``most`` formats on candidate ``c``, to 0.1 % where a profile
    has layers apart; None where none is below ``cutoff``."""
    formats = formats_of(space.model)
    sets = formats.sets(most)
    table = bounds_of_sets(space.take(np.array([c], dtype=np.int64)), formats, sets, cutoff)
    candidate = candidate_problem(space, c)
    gap = None if space.model.question.profile is None else LOOSE
    solution, _ = best_within(
        candidate, dict(zip(sets, table[0].tolist(), strict=True)), cutoff, gap
    )
    return None if solution is None else (candidate, solution)


def best_within(
    candidate: CandidateProblem,
    sets: SetBounds,
    cutoff: float,
    gap: float | None = None,
) -> tuple[Solution | None, float]:
    """(the best assignment of a candidate within one of ``sets`` that is below ``cutoff``, a lower
    bound of all others); ``sets`` have their bounds. Where many may hold it any number of formats
    is tried first: that is one problem."""

    def solve(problem: Problem, cutoff: float) -> Solution:
        return solve_with_ttft(replace(candidate, problem=problem), cutoff=cutoff, gap=gap)

    below = {name: bound for name, bound in sets.items() if bound < cutoff}
    formats = formats_on(candidate)
    if len(below) >= MANY:
        free = solve(candidate.problem, cutoff)
        if not free.has_assignment or len(formats.used(free.counts)) <= max(map(len, sets)):
            return free if free.has_assignment else None, proved(free, cutoff)
        names = tuple(below)
        line = _own_bounds(
            relaxation(candidate.space.take(np.array([candidate.c]))),
            formats_of(candidate.space.model),
            names,
            np.zeros(len(names), np.int64),
            np.arange(len(names)),
        )
        sets = sets | dict(zip(names, np.maximum(line, list(below.values())).tolist(), strict=True))
        below = {name: sets[name] for name in names if sets[name] < cutoff}
    solution, lower = best_of_sets(candidate.problem, formats, below, solve, cutoff)
    return solution, min([lower, *(bound for bound in sets.values() if bound >= cutoff)])


def bounds_of_sets(space: Space, formats: FormatTable, sets: Sets, most: float) -> Array:
    """A lower bound of each candidate with each of ``sets`` [C, S]: by limits priced for all
    options; where that is below ``most`` for few enough, by limits priced for the set's."""
    relaxed = relaxation(space)
    out = set_bounds(*reduced_costs(*relaxed), formats, sets)
    c, s = np.nonzero(out < most)
    if len(c) <= AT_ONCE:
        out[c, s] = np.maximum(out[c, s], _own_bounds(relaxed, formats, sets, c, s))
    return out


def _own_bounds(relaxed: Relaxation, formats: FormatTable, sets: Sets, c: Int, s: Int) -> Array:
    """The bound of each pair of a candidate ``c`` and a set ``s`` [P], by limits of its own
    price."""
    objective, constant, legal, rows = relaxed
    if not len(c):
        return np.empty(0)
    masks = np.array([formats.within(format_set) for format_set in sets])
    return lower_bounds(
        objective[c], constant[c], legal[c] & masks[s], [(use[c], limit[c]) for use, limit in rows]
    )


def formats_of(model: CostModel) -> FormatTable:
    """The format of every option of the decisions of ``model``."""
    decided = model.decided
    scheme = np.full((len(decided.decisions), decided.width), -1, dtype=np.int64)
    changed = scheme.copy()
    for d, decision in enumerate(decided.decisions):
        if model.units[decision.units[0]].role != "module":
            continue
        own = {released_in(model, model.units[unit]) for unit in decision.units}
        for o, option in enumerate(decision.options):
            scheme[d, o] = option[0]
            changed[d, o] = -1 if own == {model.choices[option[0]]} else option[0]
    return FormatTable(changed, scheme)


def formats_on(candidate: CandidateProblem) -> FormatTable:
    """The format of every option of a candidate's problem."""
    formats = formats_of(candidate.space.model)
    place = np.zeros(len(candidate.problem.legal), dtype=np.int64)
    for d in range(len(formats.changed)):
        place[candidate.rows_of(d)] = d
    return FormatTable(formats.changed[place], formats.scheme[place])
