"""Best-first search over candidates: bound all, solve in order of bound, stop when none can win.

An engine serves a model in several ways, each with candidates of its own: all stand in one order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.errors import SolverError
from planner.planning.question.question import RATES
from planner.planning.search.asked import naming_the_question
from planner.planning.search.formulate import (
    bounds,
    decision_sum,
    layer_weights,
    single_problem,
)
from planner.planning.search.refine_batches import Tried
from planner.planning.search.requery import whole_space
from planner.planning.search.untied import part_sum, untied_problem, untied_segments
from planner.planning.solver.highs import GAP
from planner.planning.solver.problem import (
    EQUAL,
    Array,
    Solution,
    cheapest,
    is_minimax,
    proved,
)
from planner.planning.solver.solve import LAYERS_GAP, STAGES_GAP, solve
from planner.planning.solver.ties import first_of_ties
from planner.planning.space.assignment import Segment, tied_segments
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel
from planner.records import cached_record

Tie = tuple[int, int, float, int]
"""What orders equal candidates: space, devices, speed, place in the space."""


@cached_record
class Found:
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


PROVED = 1e-6
"""The gap up to which an optimum is called proved."""


def shown_gap(gap: float) -> float:
    """A proved ``gap`` rounded up to a power of ten, EQUAL at the least: its own digits depend on
    the path that the solver took, and so on the machine."""
    return 10.0 ** math.ceil(math.log10(gap) - EQUAL) if gap > EQUAL else EQUAL


def search(model: CostModel) -> Found | None:
    """The best plan over all layouts and batches, or None where nothing is feasible."""
    return searched(list(filter(None, [whole_space(model)])))


def searched(spaces: Sequence[Space]) -> Found | None:
    """The best plan of several spaces, one for every way to serve: of their grids first, then
    between the slots of the grids. All share one incumbent: what cannot beat it is never solved."""
    lower = [bounds(space) for space in spaces]
    best = best_of(spaces, lower, None)
    if best is None:
        return None
    if best.space.model.question.batch is None:
        best = refined(spaces, lower, best)
    solution, segments = solve_candidate(best.space, best.candidate, tied=best.solution)
    return replace(best, solution=solution, segments=segments)


def refined(spaces: Sequence[Space], lower: Sequence[Array], best: Found) -> Found:
    """``best`` of the grids, or what is better between their slots."""
    tried = Tried(spaces, lower)
    while True:
        at = next(i for i, space in enumerate(spaces) if space is best.grid)
        pts = best.space.pts
        finer = list(tried.finer(best.value, (at, int(pts.layout[best.candidate]),
                                              int(pts.slot[best.candidate]))))
        if not finer:
            return best
        fine, low = [space for _, space in finer], [bounds(space) for _, space in finer]
        better = best_of(fine, low, best)
        for (i, space), each in zip(finer, low, strict=True):
            tried.add(i, space, each)
        count = best.candidates + sum(map(len, fine))
        if better is None or better.value >= best.value * (1 - EQUAL):
            best = replace(best, candidates=count)
            continue
        grid = spaces[next(i for i, space in finer if space is better.space)]
        best = replace(better, grid=grid, bound=min(best.bound, better.bound), candidates=count,
                       solved=best.solved + better.solved)


def best_of(spaces: Sequence[Space], lower: Sequence[Array], incumbent: Found | None,
            ) -> Found | None:
    """Solve the candidates of all ``spaces`` in order of their bounds ``lower``, which what is
    solved raises. Of those within EQUAL of the best, the first space's is taken, then that of fewer
    devices, of the best speed, the first listed. ``bound`` holds for all of them.

    Raises:
        SolverError: nothing was found, and some candidate was left without an answer.
    """
    order = sorted((float(lower[i][c]), tie) for i, space in enumerate(spaces)
                   for tie, c in _ties(i, space, lower[i]))
    least = incumbent.value if incumbent is not None else float("inf")
    met: list[tuple[Tie, Found]] = []
    solved, open_bound = 0, float("inf")
    for bound, tie in order:
        i, c = tie[0], tie[-1]
        if bound > least * (1 + EQUAL):
            open_bound = min(open_bound, bound)
            break
        later = any(other < tie for other, _ in met)
        if later and bound >= least:
            continue
        cutoff = least * (1 - _spare(spaces[i], c, later))
        solution, segments = solve_candidate(spaces[i], c, cutoff=cutoff)
        solved += 1
        lower[i][c] = max(lower[i][c], proved(solution, cutoff))
        open_bound = min(open_bound, float(lower[i][c]))
        if not solution.found:
            continue
        least = min(least, solution.value)
        met = [one for one in met if one[1].value <= least * (1 + EQUAL)]
        if solution.value <= least * (1 + EQUAL):
            met.append((tie, Found(spaces[i], c, solution, segments, solution.bound, 0, 0,
                                   spaces[i])))
    if met:
        best = min(met, key=lambda one: one[0])[1]
        return replace(best, bound=min(best.bound, open_bound), solved=solved,
                       candidates=sum(map(len, spaces)))
    if incumbent is None and np.isfinite(open_bound):
        i, c = order[0][1][0], order[0][1][-1]
        with naming_the_question(spaces[i], c):
            raise SolverError("no candidate was answered within the solver's limits",
                              hint=SolverError.NARROWER)
    return None


def _spare(space: Space, c: int, later: bool) -> float:
    """What a candidate must be better by, relative: what its own gap leaves open where stages count
    their layers, else nothing, and less EQUAL where it goes before the best of equals."""
    counted = space.model.question.untie and space.pts.pp[c] > 1
    return STAGES_GAP if counted else 0.0 if later else -EQUAL


def _ties(i: int, space: Space, lower: Array) -> list[tuple[Tie, int]]:
    """What orders equals among the candidates of the ``i``-th space that may be feasible."""
    second = secondary(space)
    ranks = [space.tables.layouts[layout].ranks for layout in space.pts.layout]
    return [((i, ranks[c], float(f"{second[c]:.6e}"), c), c)
            for c in np.nonzero(np.isfinite(lower))[0].tolist()]


def solve_candidate(space: Space, c: int, *, tied: Solution | None = None,
                    cutoff: float = np.inf) -> tuple[Solution, tuple[Segment, ...]]:
    """Solve one candidate, tied or layer by layer as the question says, unless its optimum is above
    ``cutoff``. With its optimum ``tied``, settle which of several equal optima is taken."""
    model = space.model
    times = second_times(space, c) if tied is not None else None
    if model.question.untie:
        problem, parts = untied_problem(space, c)
        second = part_sum(parts, times) if times is not None else None
        gap = STAGES_GAP if is_minimax(problem) else GAP
    else:
        problem, parts = single_problem(space, c), ()
        second = decision_sum(model, times, layer_weights(model)) if times is not None else None
        gap = GAP if model.question.profile is None else LAYERS_GAP
    with naming_the_question(space, c):
        solution = solve(problem, gap=gap, cutoff=cutoff) if tied is None \
            else first_of_ties(problem, tied, second, gap=gap, last=widest(model))
    if parts:
        return solution, untied_segments(model, parts, solution) if solution.found else ()
    picked = solution.counts.argmax(axis=1)
    choice = [int(picked[u.decision]) if u.decision >= 0 else -1 for u in model.units]
    return solution, tied_segments(model, choice)


def widest(model: CostModel) -> tuple[int, ...]:
    """Choices that go behind all others among equals: FP32, in which nothing is released. The
    catalogue begins with it."""
    return tuple(i for i, name in enumerate(model.choices) if name == "fp32")


def secondary(space: Space) -> Array:
    """What decides between candidates of equal objective and device count [C]: best speed."""
    best = cheapest(np.where(space.legal & np.isfinite(space.decode), space.decode, np.inf))
    units = space.model.units
    layers = np.array([u.count if u.decision >= 0 else 0 for u in units], dtype=np.float64)
    step = (np.where(np.isfinite(best), best, 0.0) * layers).sum(axis=1)
    pts = space.pts
    return np.asarray((step + space.decode_constant) * pts.group * pts.pp
                      / np.maximum(pts.batch, 1))


def second_times(space: Space, c: int) -> Array | None:
    """Seconds [U, S] that decide among equal optima: prefill under latency, decode under quality
    and memory, none under throughput and cost (their optima differ unless the choices do not)."""
    objective = space.model.question.objective
    if objective in RATES:
        return None
    times = space.prefill if objective == "latency" else space.decode
    return np.asarray(times[c])
