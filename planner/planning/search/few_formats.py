"""The best plan of k formats for k = 1, 2, 3, and of any number: formats against the objective.

A module that stays in what it is released in needs no format. Bounds of candidates hold whatever
the formats: candidates are opened in order of bound as far as they may be better than the best plan
that is known of as few formats, and each is solved by sets of formats
(:mod:`planner.planning.solver.format_sets`). Differences below GAP are not looked for;
``Found.bound`` says what is proved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.policies import stands_for
from planner.planning.search.best_first import Found, first_of_equals
from planner.planning.search.first_token import solve_posed, with_prompts
from planner.planning.search.posed import Posed, posed
from planner.planning.search.slot_pool import SlotPool
from planner.planning.search.spaces import asked
from planner.planning.solver.format_sets import Formats, best_of_sets
from planner.planning.solver.problem import Problem, Solution, proved
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel

GAP = 1e-3
"""Share of the objective below which nothing better is looked for."""
MOST = 3
"""Formats up to which the best plan of so many is looked for."""


def few_formats(spaces: Sequence[Space], known: Sequence[Found], start: Found,
                ) -> tuple[Found, ...]:
    """The best plans of 1, 2, 3 and any number of formats over ``spaces``, each only where it is
    better by more than GAP than every plan of fewer, ``known`` ones included. ``start`` is one of
    the known, on whose candidate each search begins."""
    return tuple(_Frontier(spaces, known, start).found())


def changed_schemes(model: CostModel, segments: Sequence[Segment]) -> frozenset[str]:
    """The schemes of modules that are not what these are released in."""
    return frozenset(model.choices[s.choice] for s in segments
                     if s.choice >= 0 and model.units[s.unit].role == "module"
                     and model.choices[s.choice] != released_in(model, model.units[s.unit]))


def released_in(model: CostModel, unit: DecisionUnit) -> str:
    """What the modules of a unit are released in, or what stands for it on the device."""
    return stands_for(model.question, model.planned[unit.row].released_as)


class _Frontier:
    """The search: the pool of candidates, and what is known by number of formats."""

    def __init__(self, spaces: Sequence[Space], known: Sequence[Found], start: Found) -> None:
        self.pool = SlotPool(spaces)
        self.known = [(_count(one), one) for one in known]
        self.solved = 0
        changes = {"loss_scheme": None, "loss_limit": spaces[0].model.question.loss_limit}
        self.start = asked(start.space, **changes), start.candidate
        self.lower = 0.0

    def found(self) -> Iterator[Found]:
        """From one format on."""
        free, self.lower = self._best(None)
        own = MOST + 1 if free is None else _count(free)
        before = self._least(0)
        for most in range(1, MOST + 1):
            best = free if own <= most else self._best(most)[0]
            if best is not None and best.value < before * (1 - GAP):
                self.known.append((most, best))
                yield best
            before = min(before, self._least(most))
        if free is not None and free.value < before * (1 - GAP):
            yield free

    def _least(self, most: int | None) -> float:
        """The value of the best that is known of ``most`` formats."""
        return min((one.value for count, one in self.known if most is None or count <= most),
                   default=np.inf)

    def _best(self, most: int | None) -> tuple[Found | None, float]:
        """(what is better by more than GAP than all that is known of ``most`` formats, a lower
        bound of all such plans)."""
        cutoff = self._least(most) * (1 - GAP)
        if cutoff <= self.lower:
            return None, self.lower
        best: tuple[Posed, Solution] | None = None
        left, tried = np.inf, set[tuple[int, int]]()
        queue = [(0.0, *self.start)]
        while queue:
            for bound, space, c in queue:
                tried.add((id(space), c))
                if bound >= cutoff:
                    break
                one = posed(space, c)
                solution, lower = self._solved(one, most, cutoff)
                left = min(left, max(bound, lower))
                if solution is not None and solution.value < cutoff:
                    best, cutoff = (one, solution), solution.value * (1 - GAP)
            queue = [one for one in self.pool.below(cutoff) if (id(one[1]), one[2]) not in tried]
        if best is None:
            return None, min(left, cutoff)
        return self._told(*best, min(left, cutoff), most), min(left, cutoff)

    def _solved(self, one: Posed, most: int | None, cutoff: float,
                ) -> tuple[Solution | None, float]:
        """(the best assignment of a candidate below ``cutoff``, a lower bound of all others)."""
        self.solved += 1

        def solve(problem: Problem, cutoff: float) -> Solution:
            return solve_posed(replace(one, problem=problem), cutoff=cutoff)

        if most is None:
            solution = solve(one.problem, cutoff)
            return solution if solution.found else None, proved(solution, cutoff)
        return best_of_sets(one.problem, formats_of(one), most, solve, cutoff,
                            with_prompts(one))

    def _told(self, one: Posed, solution: Solution, bound: float, most: int | None) -> Found:
        """The plan to take of those that are equal."""
        if most is not None:
            formats = formats_of(one)
            legal = one.problem.legal & formats.within(tuple(formats.used(solution.counts)))
            one = replace(one, problem=replace(one.problem, legal=legal))
        solution = first_of_equals(one, solution)
        bound = min(bound, solution.value)
        return Found(one.space, one.c, solution, one.segments(solution), bound,
                     self.pool.candidates, self.solved, one.space)


def _count(found: Found) -> int:
    return len(changed_schemes(found.space.model, found.segments))


def formats_of(one: Posed) -> Formats:
    """The format of every option of a candidate's decisions."""
    model = one.space.model
    scheme = np.full(one.problem.legal.shape, -1, dtype=np.int64)
    changed = scheme.copy()
    for d, decision in enumerate(model.decided.decisions):
        if model.units[decision.units[0]].role != "module":
            continue
        for o, option in enumerate(decision.options):
            other = any(model.choices[choice] != released_in(model, model.units[unit])
                        for unit, choice in zip(decision.units, option, strict=True))
            for row in one.rows_of(d):
                scheme[row, o] = option[0]
                changed[row, o] = option[0] if other else -1
    return Formats(changed, scheme)
