"""The best plan of k formats for k = 1, 2, 3, and of any number: formats against the objective.

A module that stays in what it is released in needs no format. Bounds of candidates hold whatever
the formats: candidates are opened in order of bound as far as they may be better than the best plan
that is known of as few formats, and each is solved by sets of formats
(:mod:`planner.planning.solver.format_sets`). Differences below GAP are not looked for, and of
what is within GAP the plan of fewer pieces is taken; ``SearchResult.bound`` says what is proved.

A piece is a scheme of a kind, and a kind that is not in the scheme of most bytes. What a solver
finds differs from layer range to layer range by what no measurement tells apart: whole kinds, and
single ranges of layers, move to a scheme that the assignment has, or to what they are released in,
as long as that leaves fewer pieces, keeps every limit and costs no more than is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.search.candidate_problem import CandidateProblem, candidate_problem
from planner.planning.search.first_token import keeps_ttft, solve_with_ttft
from planner.planning.search.format_subsets import (
    SetBounds,
    best_within,
    bounds_of_sets,
    changed_schemes,
    formats_of,
    formats_on,
)
from planner.planning.search.grid_search import SearchResult, first_of_equals
from planner.planning.search.slot_pool import SlotPool
from planner.planning.search.spaces import with_question
from planner.planning.solver.format_sets import FormatTable
from planner.planning.solver.problem import Solution, objective_of, proved, violation
from planner.planning.solver.solve import LOOSE
from planner.planning.space.candidates import Space

Int = NDArray[np.int64]
GAP = 1e-3
"""Share of the objective below which nothing better is looked for."""
MOST = 3
"""Formats up to which the best plan of so many is looked for."""
LAYERS = 1e-2
"""The share where layers are decided one by one."""
WORST = 1.25
"""Objective, in those of the best known plan, beyond which no plan of few formats is looked for."""
ANY = 99
"""More formats than there are."""


def best_by_formats(
    spaces: Sequence[Space],
    known: Sequence[SearchResult],
    start: SearchResult,
) -> tuple[SearchResult, ...]:
    """The best plans of 1, 2, 3 and any number of formats over ``spaces``, each only where it is
    better by more than GAP than every plan of fewer, ``known`` ones included. ``start`` is one of
    the known, on whose candidate each search begins; what is worse than WORST times the best known
    is not looked for.

    Where layers are decided one by one a problem takes seconds: nothing but that candidate and
    that of the best known of one format are searched then, to LAYERS of the objective; with untied
    layers the plans whose layers are tied count too. Under the objective quality there are none:
    of plans whose losses cannot be told apart the fastest is taken, and that has no least.
    """
    if spaces[0].model.question.objective == "quality":
        return ()
    frontier = _Frontier(spaces, known, start)
    results = tuple(frontier.results())
    if not spaces[0].model.question.untie:
        return results
    tied = [
        replace(best_by_format, bound=min(best_by_format.bound, frontier.lower))
        for best_by_format in best_by_formats(
            [with_question(space, untie=False) for space in spaces], known, start
        )
    ]
    return _merged((*tied, *results))


def _merged(results: Sequence[SearchResult]) -> tuple[SearchResult, ...]:
    """The best of each number of formats, where it is better than those of fewer."""
    out: list[SearchResult] = []
    for result in sorted(
        results, key=lambda search_result: (_count(search_result), search_result.value)
    ):
        if not out or result.value < out[-1].value * (1 - GAP):
            out.append(result)
    return tuple(out)


@record
class _Best:
    """The best assignment that is known of so many formats: a candidate with its solution, or none
    better than ``value``."""

    value: float
    one: CandidateProblem | None = None
    solution: Solution | None = None


class _Frontier:
    """The search: the pool of candidates, and what is known by number of formats."""

    def __init__(
        self, spaces: Sequence[Space], known: Sequence[SearchResult], start: SearchResult
    ) -> None:
        question = spaces[0].model.question
        self.layered = question.untie or question.profile is not None
        self.gap = LAYERS if self.layered else GAP
        self.counts = [(_count(result), result.value) for result in known]
        self.solved, self.lower = 0, 0.0
        worst = WORST * min(value for _, value in self.counts)
        self.best = {
            most: _Best(min([worst, *(value for count, value in self.counts if count <= most)]))
            for most in (*range(1, MOST + 1), ANY)
        }
        here = with_question(
            start.space, loss_scheme=None, loss_limit=question.loss_limit, untie=question.untie
        )
        begin = [(0.0, here, start.candidate)]
        if self.layered:
            search_result = min(
                (result for result in known if _count(result) <= 1),
                key=lambda result: result.value,
                default=start,
            )
            begin.append(
                (
                    0.0,
                    with_question(
                        search_result.space, loss_scheme=None, loss_limit=question.loss_limit
                    ),
                    search_result.candidate,
                )
            )
        for most in sorted(self.best, reverse=True):
            if self.best[most].one is None:
                self._look(most, begin)
            self._hand_down(most)
        self.pool = SlotPool(spaces, self._cutoff(1))
        self.pool.below(self._cutoff(1))  # the most that is asked for, cut at once

    def results(self) -> Iterator[SearchResult]:
        """The plans from one format on."""
        before = min((value for count, value in self.counts if not count), default=np.inf)
        lower = self.lower = self._lower_bound(ANY, 0.0)
        for most in range(1, MOST + 1):
            bound = self._lower_bound(most, lower)
            if (plan := self._plan_of(most, before, bound)) is not None:
                yield plan
            before = min(before, self.best[most].value)
        if (plan := self._plan_of(ANY, before, lower)) is not None:
            yield plan

    def _hand_down(self, most: int) -> None:
        """What takes fewer formats than ``most`` is the best of as few as well."""
        best = self.best[most]
        if best.one is None or best.solution is None:
            return
        count = len(formats_on(best.one).used(best.solution.counts))
        for fewer in self.best:
            if count <= fewer < most and best.value < self.best[fewer].value:
                self.best[fewer] = best

    def _cutoff(self, most: int) -> float:
        """What is looked for is below this."""
        return self.best[most].value * (1 - self.gap)

    def _lower_bound(self, most: int, lower: float) -> float:
        """Look at what may be better; a lower bound of all plans of ``most`` formats, where
        ``lower`` is one of any number."""
        for other in self.best:
            if other < most and self.best[other].value < self.best[most].value:
                self.best[most] = self.best[other]
        left, tried = np.inf, set[tuple[int, int]]()
        if self.layered:
            return max(lower, min(self.best[most].value, self.pool.least()))
        if self._cutoff(most) <= self.best[ANY].value and most != ANY:
            return min(lower, self.best[most].value)
        while self._cutoff(most) > lower:
            queue = [
                entry
                for entry in self.pool.below(self._cutoff(most))
                if (id(entry[1]), entry[2]) not in tried
            ]
            if not queue:
                break
            tried |= {(id(space), c) for _, space, c in queue}
            left = min(left, self._look(most, queue))
        return max(lower, min(left, self.pool.least_open(), self._cutoff(most)))

    def _look(self, most: int, queue: Sequence[tuple[float, Space, int]]) -> float:
        """Solve candidates in order of their bounds; a lower bound of what is not found in them."""
        left = np.inf
        for bound, space, c, sets in self._bounded(most, queue):
            cutoff = self._cutoff(most)
            if bound >= cutoff:
                return min(left, bound)
            candidate = candidate_problem(space, c)
            solution, lower = self._solved(candidate, sets, cutoff)
            left = min(left, max(bound, lower))
            if solution is not None and solution.value < cutoff:
                self.best[most] = _Best(solution.value, candidate, solution)
        return left

    def _bounded(
        self,
        most: int,
        queue: Sequence[tuple[float, Space, int]],
    ) -> list[tuple[float, Space, int, SetBounds | None]]:
        """The queue anew with the bounds of each candidate's sets of ``most`` formats, in order."""
        if most == ANY:
            return [(*entry, None) for entry in queue]
        out = []
        for space in {id(entry[1]): entry[1] for entry in queue}.values():
            own = [(bound, c) for bound, other, c in queue if other is space]
            formats = formats_of(space.model)
            sets = formats.sets(most)
            table = bounds_of_sets(
                space.take(np.array([c for _, c in own], dtype=np.int64)),
                formats,
                sets,
                self._cutoff(most),
            )
            for (bound, c), line in zip(own, table, strict=True):
                least = max(bound, float(line.min()))
                out.append((least, space, c, dict(zip(sets, line.tolist(), strict=True))))
        return sorted(out, key=lambda entry: float(f"{entry[0]:.9e}"))

    def _solved(
        self,
        candidate: CandidateProblem,
        sets: SetBounds | None,
        cutoff: float,
    ) -> tuple[Solution | None, float]:
        """(the best assignment of a candidate below ``cutoff``, a lower bound of all others)."""
        self.solved += 1
        gap = LOOSE if self.layered else None
        if sets is None:
            solution = solve_with_ttft(candidate, cutoff=cutoff, gap=gap)
            return solution if solution.has_assignment else None, proved(solution, cutoff)
        return best_within(candidate, sets, cutoff, gap)

    def _plan_of(self, most: int, before: float, bound: float) -> SearchResult | None:
        """The plan of ``most`` formats where it is better than those of fewer, ``before``: that to
        take of its equals."""
        best = self.best[most]
        if best.one is None or best.solution is None or best.value >= before * (1 - self.gap):
            return None
        formats = formats_on(best.one)
        legal = best.one.problem.legal & formats.within(formats.used(best.solution.counts))
        candidate = replace(best.one, problem=replace(best.one.problem, legal=legal))
        solution = (
            best.solution
            if self.layered
            else self._fewer_pieces(
                candidate, formats, first_of_equals(candidate, best.solution), before
            )
        )
        return SearchResult(
            candidate.space,
            candidate.c,
            solution,
            candidate.segments(solution),
            min(bound, solution.value),
            self.pool.candidates,
            self.solved,
            candidate.space,
        )

    def _fewer_pieces(
        self,
        candidate: CandidateProblem,
        formats: FormatTable,
        solution: Solution,
        before: float,
    ) -> Solution:
        """Fewer pieces within GAP of it, still better than the plan of fewer formats."""
        most = min(solution.value * (1 + GAP), before * (1 - GAP))
        counts = fewest_pieces(candidate, formats, solution.counts, most)
        value = objective_of(candidate.problem, counts)
        return replace(
            solution, counts=counts, value=value, gap=(value - solution.bound) / abs(value)
        )


def _count(result: SearchResult) -> int:
    return len(changed_schemes(result.space.model, result.segments))


def fewest_pieces(
    candidate: CandidateProblem, formats: FormatTable, counts: Int, most: float
) -> Int:
    """``counts`` [D, O] of a tied assignment, or fewer pieces with an objective of at most
    ``most``."""
    pieces = _Pieces(candidate, formats, counts)
    best, least = counts, pieces.count(counts)
    improved = True
    while improved:
        improved = False
        for moved in pieces.moves(best):
            fewer = pieces.count(moved)
            if (
                fewer < least
                and objective_of(candidate.problem, moved) <= most
                and violation(candidate.problem, moved) is None
                and keeps_ttft(candidate, moved)
            ):
                best, least, improved = moved, fewer, True
                break
    return best


class _Pieces:
    """What there is to count and to move: decisions by kind, what each option is in, the scheme of
    most bytes. A cache's options have names of their own."""

    def __init__(self, candidate: CandidateProblem, formats: FormatTable, counts: Int) -> None:
        model = candidate.space.model
        self.legal, self.changed = candidate.problem.legal, formats.changed
        self.used = [-1, *formats.used(counts)]
        self.schemes = len(model.choices)
        self.name = np.where(
            formats.scheme >= 0, formats.scheme, self.schemes + np.arange(counts.shape[1])
        )
        self.kinds: dict[tuple[str, ...], list[int]] = {}
        for d, decision in enumerate(model.decided.decisions):
            self.kinds.setdefault(tuple(model.units[u].kind for u in decision.units), []).append(d)
        self.main = self._main(candidate, formats, counts)

    def _main(self, candidate: CandidateProblem, formats: FormatTable, counts: Int) -> int:
        """The scheme of most bytes of weights, the first of equals; -1 where there is none."""
        used = sum(
            (row.coefficients for row in candidate.problem.rows if row.name == "memory"),
            np.zeros(counts.shape),
        )
        names: list[int] = sorted(set(formats.scheme[counts > 0].tolist()) - {-1})
        return max(
            names, default=-1, key=lambda s: (float((used * counts)[formats.scheme == s].sum()), -s)
        )

    def count(self, counts: Int) -> int:
        """Schemes of kinds, and kinds of modules that are not in the main one."""
        picks = counts.argmax(axis=1)
        own = [{int(self.name[d, picks[d]]) for d in kind} for kind in self.kinds.values()]
        return sum(map(len, own)) + sum(
            some != {self.main} for some in own if max(some) < self.schemes
        )

    def moves(self, counts: Int) -> Iterator[Int]:
        """Whole kinds, then single decisions, in each of what any of the kind is in or released
        in, and modules in what others are in."""
        taken = counts > 0
        weights = self.name[(taken | (self.changed < 0)) & self.legal]
        for some in (*self.kinds.values(), *([d] for kind in self.kinds.values() for d in kind)):
            for name in sorted(set(weights.tolist())):
                moved = counts.copy()
                for d in some:
                    able = (
                        self.legal[d] & (self.name[d] == name) & np.isin(self.changed[d], self.used)
                    )
                    if able.any():
                        moved[d] = 0
                        moved[d, int(able.argmax())] = 1
                if (moved != counts).any():
                    yield moved
