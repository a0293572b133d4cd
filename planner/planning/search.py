"""Best-first search over candidates: bound all, solve in order of bound, stop when none can win.

An engine serves a model in several ways, each with candidates of its own: all stand in one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.planning.best_in import whole_space
from planner.planning.candidates import Space
from planner.planning.costs import Model
from planner.planning.limits import (
    bounds,
    decision_sum,
    layer_weights,
    single_problem,
)
from planner.planning.problem import (
    BEATEN,
    Array,
    Problem,
    Solution,
    cheapest,
    objective_of,
    violation,
)
from planner.planning.refine import Tried
from planner.planning.segments import (
    Segment,
    part_sum,
    tied_segments,
    untied_problem,
    untied_segments,
)
from planner.planning.solve import GAP, LAYERS_GAP, STAGES_GAP, is_paced, solve
from planner.records import cached_record

SAME = 1e-9
"""Relative difference below which two objective values are called equal."""
Key = tuple[float, int, int, float, int]
"""What orders candidates: bound or value, space, devices, pace, place in the space."""


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


def search(model: Model) -> Found | None:
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
        if better is None or better.value >= best.value * (1 - SAME):
            best = replace(best, candidates=count)
            continue
        grid = spaces[next(i for i, space in finer if space is better.space)]
        best = replace(better, grid=grid, bound=min(best.bound, better.bound), candidates=count,
                       solved=best.solved + better.solved)


def best_of(spaces: Sequence[Space], lower: Sequence[Array], incumbent: Found | None,
            ) -> Found | None:
    """Solve the candidates of all ``spaces`` in order of their bounds ``lower``, which what is
    solved raises; equal values go to the first space, fewer devices, then first listed. ``bound``
    holds for all of them."""
    order = sorted(key for i, space in enumerate(spaces) for key in _keys(i, space, lower[i]))
    best: Found | None = None
    best_value = incumbent.value if incumbent is not None else float("inf")
    best_key: Key = (float("inf"), 0, 0, 0.0, 0)
    solved = 0
    open_bound = float("inf")
    count = sum(map(len, spaces))
    for key in order:
        _, i, ranks, second, c = key
        if lower[i][c] > best_value * (1 + SAME) or (best is not None and key >= best_key):
            open_bound = min(open_bound, float(lower[i][c]))
            break
        cutoff = best_value * (1 - _spare(spaces[i], c))
        solution, segments = solve_candidate(spaces[i], c, cutoff=cutoff)
        solved += 1
        lower[i][c] = max(lower[i][c], _proved(solution, cutoff))
        if solution.status == BEATEN:
            open_bound = min(open_bound, lower[i][c])
        if not solution.found:
            continue
        key = (float(f"{solution.value:.9e}"), i, ranks, second, c)
        if key < best_key and solution.value <= best_value * (1 + SAME):
            best_key, best_value = key, min(best_value, solution.value)
            best = Found(spaces[i], c, solution, segments, solution.bound, count, solved, spaces[i])
    if best is None:
        return None
    return replace(best, bound=min(best.bound, open_bound), solved=solved)


def _spare(space: Space, c: int) -> float:
    """What a candidate must be better by, relative: nothing (less SAME, for ties), but what its own
    gap leaves open where stages count their layers."""
    counted = space.model.question.untie and space.pts.pp[c] > 1
    return STAGES_GAP if counted else -SAME


def _proved(solution: Solution, cutoff: float) -> float:
    """A lower bound of a solved candidate's objective."""
    if solution.found:
        return solution.bound
    return cutoff if solution.status == BEATEN else float("inf")


def _keys(i: int, space: Space, lower: Array) -> list[Key]:
    """What orders the candidates of the ``i``-th space that may be feasible."""
    second = secondary(space)
    ranks = [space.tables.layouts[layout].ranks for layout in space.pts.layout]
    return [(float(f"{lower[c]:.9e}"), i, ranks[c], float(second[c]), c)
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
        gap = STAGES_GAP if is_paced(problem) else GAP
        solution = _settled(problem, tied, second, gap, cutoff)
        return solution, untied_segments(model, parts, solution) if solution.found else ()
    problem = single_problem(space, c)
    second = decision_sum(model, times, layer_weights(model)) if times is not None else None
    gap = GAP if model.question.profile is None else LAYERS_GAP
    solution = _settled(problem, tied, second, gap, cutoff)
    picked = solution.counts.argmax(axis=1)
    choice = [int(picked[u.decision]) if u.decision >= 0 else -1 for u in model.units]
    return solution, tied_segments(model, choice)


def _settled(problem: Problem, tied: Solution | None, second: Array | None,
             gap: float, cutoff: float) -> Solution:
    """An optimum, or the preferred one of those that equal ``tied``."""
    solution = tied if tied is not None and second is None \
        else solve(problem, tie_break=second, gap=gap, cutoff=cutoff)
    if tied is None or not solution.found:
        return solution
    return prefer_catalogue(problem, solution, second)


def prefer_catalogue(problem: Problem, solution: Solution, second: Array | None) -> Solution:
    """Move each decision, in order, to the earliest choice that costs no more and breaks nothing.

    ``second`` [D, S] is what decided between equal optima: no move may make it worse.
    """
    counts = solution.counts.copy()
    scale = abs(solution.value) or 1.0
    for d in range(counts.shape[0]):
        for now in np.nonzero(counts[d])[0]:
            for other in np.nonzero(problem.legal[d, :now])[0]:
                if second is not None and second[d, other] > second[d, now]:
                    continue
                trial = counts.copy()
                trial[d, other] += trial[d, now]
                trial[d, now] = 0
                dearer = objective_of(problem, trial) - objective_of(problem, counts)
                if dearer <= 1e-12 * scale and violation(problem, trial) is None:
                    counts = trial
                    break
    return replace(solution, counts=counts, value=objective_of(problem, counts))


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
    if objective in ("throughput", "cost"):
        return None
    times = space.prefill if objective == "latency" else space.decode
    return np.asarray(times[c])
