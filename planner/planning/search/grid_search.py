"""One grid: candidates are bounded, solved in order of bound, and done when none can win.

An engine serves a model in several ways, each with candidates of its own: all stand in one order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.base.errors import SolverError
from planner.base.records import cached_record
from planner.planning.question.question import RATES, TIMED
from planner.planning.search.candidate_problem import (
    CandidateProblem,
    candidate_problem,
    error_context,
)
from planner.planning.search.first_token import (
    inner_rows,
    keeps_ttft,
    solve_relaxed_ttft,
    solve_with_ttft,
)
from planner.planning.solver.problem import (
    EQUAL,
    Array,
    Solution,
    proved,
)
from planner.planning.solver.solve import STAGES_GAP
from planner.planning.solver.ties import first_of_ties
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space, fastest_sum

Tie = tuple[int, int, float, int]
"""What orders equal candidates: space, devices, speed, place in the space."""


@cached_record
class SearchResult:
    """The winning candidate of ``space`` with its proof.

    ``segments`` say which layers of which unit take which choice. ``bound`` is a proven lower
    bound of the objective over all candidates. ``grid`` has every layout that fits, where ``space``
    may hold the winner's neighbours alone; rivals are looked for in it.
    """

    space: Space
    candidate: int
    solution: Solution
    segments: tuple[Segment, ...]
    bound: float
    candidates: int
    solved: int
    grid: Space

    @property
    def value(self) -> float:
        return self.solution.value


TRIALS = 16
"""Intervals whose first slot is solved without closing them: the others are cut unsolved."""
ANY = 0.5
"""A gap at which any assignment will do."""
PERCENT = 0.01
PROVED = 1e-6
"""The gap up to which an optimum is called proved."""
BATCH_GAP = 1e-3
"""The gap between batches at the most."""


def solve_grid(
    spaces: Sequence[Space],
    lower: Sequence[Array],
    incumbent: SearchResult | None,
) -> SearchResult | None:
    """Solve the candidates of all ``spaces`` in order of their bounds ``lower``, which what is
    solved raises. Of those within EQUAL of the best, the first space's is taken, then that of fewer
    devices, of the best speed, the first listed. ``bound`` holds for all of them.

    Raises:
        SolverError: nothing was found, and some candidate was left without an answer.
    """
    order = sorted(
        (float(lower[i][c]), tie)
        for i, space in enumerate(spaces)
        for tie, c in _ties(i, space, lower[i])
    )
    met = Incumbent(spaces, lower, incumbent)
    for bound, tie in order:
        if bound > met.least * (1 + EQUAL):
            met.open_bound = min(met.open_bound, bound)
            break
        met.relaxed(bound, tie)
    # Last those whose prompts are read too late: by now most cannot win.
    for bound, tie in sorted(met.late):
        met.exact(bound, tie)
    best = met.best()
    if best is None and incumbent is None and np.isfinite(met.open_bound):
        i, c = order[0][1][0], order[0][1][-1]
        with error_context(spaces[i], c):
            raise SolverError(
                "no candidate was answered within the solver's limits", hint=SolverError.NARROWER
            )
    return best


class Incumbent:
    """What was found on the way, and the least that is left open."""

    def __init__(
        self, spaces: Sequence[Space], lower: Sequence[Array], incumbent: SearchResult | None
    ) -> None:
        self.spaces, self.lower = spaces, lower
        self.least = incumbent.value if incumbent is not None else float("inf")
        self.open_bound = float("inf")
        self.met: list[tuple[Tie, SearchResult]] = []
        self.late: list[tuple[float, Tie]] = []
        self.solved = self.fruitless = 0

    def relaxed(self, bound: float, tie: Tie) -> None:
        """Solve a candidate with the shortest queue that it may have; what is proved of all slots
        that it stands for raises its bound: looked for is that none is below the best."""
        space, c = self.spaces[tie[0]], tie[-1]
        later = any(other < tie for other, _ in self.met)
        if later and bound >= self.least:
            return
        wide = bool(space.upper[c] > space.slots[c]) and np.isfinite(self.least)
        if wide and self.fruitless >= TRIALS:
            return
        candidate = candidate_problem(space, c)
        cutoff = self.least * (1 - _spare(candidate, later))
        above = cutoff * _spread(space, c) if np.isfinite(cutoff) else cutoff
        solution = solve_relaxed_ttft(candidate, cutoff=above)
        lower = self.lower[tie[0]]
        lower[c] = max(lower[c], proved(solution, above))
        self.fruitless += wide and lower[c] < above
        if (
            solution.has_assignment
            and solution.value <= cutoff
            and not keeps_ttft(candidate, solution.counts)
        ):
            self.late.append((max(bound, solution.bound), tie))
            return
        self._take(candidate, tie, bound, solution, cutoff)

    def exact(self, bound: float, tie: Tie) -> None:
        """Solve a candidate under its full price, unless it cannot win by now."""
        later = any(other < tie for other, _ in self.met)
        if bound > self.least * (1 + EQUAL) or (later and bound >= self.least):
            self.open_bound = min(self.open_bound, bound)
            return
        candidate = candidate_problem(self.spaces[tie[0]], tie[-1])
        cutoff = self.least * (1 - _spare(candidate, later))
        self._take(candidate, tie, bound, solve_with_ttft(candidate, cutoff=cutoff), cutoff)

    def _take(
        self, candidate: CandidateProblem, tie: Tie, bound: float, solution: Solution, cutoff: float
    ) -> None:
        self.solved += 1
        self.open_bound = min(self.open_bound, max(bound, proved(solution, cutoff)))
        if not solution.has_assignment:
            return
        self.least = min(self.least, solution.value)
        self.met = [some for some in self.met if some[1].value <= self.least * (1 + EQUAL)]
        if solution.value <= self.least * (1 + EQUAL):
            self.met.append(
                (
                    tie,
                    SearchResult(
                        candidate.space,
                        candidate.c,
                        solution,
                        candidate.segments(solution),
                        solution.bound,
                        0,
                        0,
                        candidate.space,
                    ),
                )
            )

    def best(self) -> SearchResult | None:
        """The first of equals; None where nothing is better than what was known."""
        if not self.met:
            return None
        best = min(self.met, key=lambda entry: entry[0])[1]
        return replace(
            best,
            bound=min(best.bound, self.open_bound),
            solved=self.solved,
            candidates=sum(map(len, self.spaces)),
        )


def shown_gap(gap: float) -> float:
    """A proved ``gap`` rounded up, to a whole percent or below one to a power of ten, EQUAL at the
    least: its own digits depend on the path that the solver took, and so on the machine."""
    if gap > PERCENT:
        return math.ceil(gap / PERCENT - EQUAL) * PERCENT
    return 10.0 ** math.ceil(math.log10(gap) - EQUAL) if gap > EQUAL else EQUAL


def _spread(space: Space, c: int) -> float:
    """By how much the first slot's objective may be less in the last slot, as a factor."""
    if space.model.question.objective not in RATES:
        return 1.0
    return float(space.upper[c] / space.slots[c])


def _spare(candidate: CandidateProblem, later: bool) -> float:
    """What a candidate must be better by, relative: what its own gap leaves open where stages count
    their layers, else nothing, and less EQUAL where it goes before the best of equals."""
    counted = candidate.space.model.question.untie and candidate.space.pts.pp[candidate.c] > 1
    return STAGES_GAP if counted else 0.0 if later else -EQUAL


def _ties(i: int, space: Space, lower: Array) -> list[tuple[Tie, int]]:
    """What orders equals among the candidates of the ``i``-th space that may be feasible."""
    second = tie_break_values(space)
    ranks = [space.tables.layouts[layout].ranks for layout in space.pts.layout]
    return [
        ((i, ranks[c], float(f"{second[c]:.6e}"), c), c)
        for c in np.nonzero(np.isfinite(lower))[0].tolist()
    ]


def solve_candidate(
    space: Space,
    c: int,
    *,
    cutoff: float = np.inf,
) -> tuple[Solution, tuple[Segment, ...]]:
    """Solve one candidate, tied or layer by layer as the question says, unless its optimum is above
    ``cutoff``."""
    candidate = candidate_problem(space, c)
    solution = solve_with_ttft(candidate, cutoff=cutoff)
    return solution, candidate.segments(solution) if solution.has_assignment else ()


def break_ties(best: SearchResult) -> SearchResult:
    """``best`` with the assignment to take of those that are equal."""
    candidate = candidate_problem(best.space, best.candidate)
    solution = first_of_equals(candidate, best.solution)
    return replace(best, solution=solution, segments=candidate.segments(solution))


def first_of_equals(candidate: CandidateProblem, solution: Solution) -> Solution:
    """The assignment to take of those that equal the optimum ``solution`` of a candidate. Where the
    first of all breaks the limit on TTFT, that of those whose prompts take no more time."""
    times = tie_break_times(candidate.space, candidate.c)
    second = None if times is None else candidate.total(times)
    loss = candidate.total(candidate.space.model.decided.loss)
    first = first_of_ties(candidate.problem, solution, second, third=loss, gap=candidate.gap)
    if keeps_ttft(candidate, first.counts):
        return first
    rows = (*candidate.problem.rows, *inner_rows(candidate, solution))
    return first_of_ties(
        replace(candidate.problem, rows=rows), solution, second, third=loss, gap=candidate.gap
    )


def tie_break_values(space: Space) -> Array:
    """What decides between candidates of equal objective and device count [C]: best speed."""
    pts = space.pts
    return np.asarray(
        (fastest_sum(space, space.decode) + space.hop_step)
        * pts.group
        * pts.pp
        / np.maximum(pts.batch, 1)
    )


def tie_break_times(space: Space, c: int) -> Array | None:
    """Seconds [K, O] that decide among equal optima: of all stages where the slowest is the
    objective, prefill under latency, decode under quality and memory, none under throughput and
    cost (their optima differ unless the choices do not)."""
    objective = space.model.question.objective
    if objective in TIMED and space.pts.pp[c] > 1:
        return np.asarray(space.decode[c])
    if objective in RATES:
        return None
    return np.asarray((space.prefill if objective == "latency" else space.decode)[c])
