"""Best-first search over candidates: bound all, solve in order of bound, stop when none can win."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planner.planning.candidates import (
    SLOTS,
    Space,
    build_space,
    fitting_pairs,
    possible_layouts,
)
from planner.planning.costs import LayoutTables, Model, layout_tables
from planner.planning.limits import (
    bounds,
    decision_sum,
    layer_weights,
    single_problem,
)
from planner.planning.problem import (
    Array,
    Problem,
    Solution,
    cheapest,
    objective_of,
    violation,
)
from planner.planning.residency import budget, least, stage_table
from planner.planning.segments import (
    Segment,
    part_sum,
    tied_segments,
    untied_problem,
    untied_segments,
)
from planner.planning.solve import GAP, LAYERS_GAP, solve
from planner.records import cached_record

SAME = 1e-9
"""Relative difference below which two objective values are called equal."""


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
    layouts = possible_layouts(model.question)
    if not layouts:
        return None
    tables = layout_tables(model, layouts)
    stages = stage_table(model, tables)
    pairs = fitting_pairs(model, tables, stages)
    if not pairs:
        return None
    space = build_space(model, tables, stages, pairs)
    found = best_of(space, None)
    if found is None or model.question.batch is not None:
        return found
    return refined(model, tables, found)


def refined(model: Model, tables: LayoutTables, found: Found) -> Found:
    """Try every slot between the winner's neighbours in the grid."""
    layout = int(found.space.pts.layout[found.candidate])
    slot = int(found.space.pts.slot[found.candidate])
    place = SLOTS.index(slot)
    low = SLOTS[place - 1] if place else slot
    high = SLOTS[place + 1] if place + 1 < len(SLOTS) else slot
    step = max(1, (high - low) // 16)
    pairs = [(layout, s) for s in range(low + 1, high, step) if s != slot]
    limit = budget(model.question)
    stages = found.space.stages
    rank = least(model, tables, stages[layout], layout)
    pairs = [(i, s) for i, s in pairs if rank.at(model, tables, i, s) <= limit]
    if not pairs:
        return found
    better = best_of(build_space(model, tables, stages, pairs), found)
    if better is None or better.value >= found.value * (1 - SAME):
        return Found(found.space, found.candidate, found.solution, found.segments, found.bound,
                     found.candidates + len(pairs), found.solved, found.grid)
    return Found(better.space, better.candidate, better.solution, better.segments,
                 min(found.bound, better.bound), found.candidates + len(pairs),
                 found.solved + better.solved, found.grid)


def best_of(space: Space, incumbent: Found | None) -> Found | None:
    """Solve candidates in order of bound; equal values go to fewer devices, then first listed."""
    lower = bounds(space)
    second = secondary(space)
    ranks_of = [space.tables.layouts[i].ranks for i in space.pts.layout]
    order = sorted(np.nonzero(np.isfinite(lower))[0].tolist(),
                   key=lambda c: (float(f"{lower[c]:.9e}"), ranks_of[c], second[c], c))
    best: Found | None = None
    best_value = incumbent.value if incumbent is not None else float("inf")
    best_key = (float("inf"), 0, 0.0, 0)
    solved = 0
    open_bound = float("inf")
    for c in order:
        key = (float(f"{lower[c]:.9e}"), ranks_of[c], float(second[c]), c)
        if lower[c] > best_value * (1 + SAME) or (best is not None and key >= best_key):
            open_bound = float(lower[c])
            break
        solution, segments = solve_candidate(space, c)
        solved += 1
        if not solution.found:
            continue
        key = (float(f"{solution.value:.9e}"), ranks_of[c], float(second[c]), c)
        if key < best_key and solution.value <= best_value * (1 + SAME):
            best_key, best_value = key, min(best_value, solution.value)
            best = Found(space, c, solution, segments, solution.bound, len(space), solved, space)
    if best is None:
        return None
    solution, segments = solve_candidate(space, best.candidate, tied=best.solution)
    return Found(best.space, best.candidate, solution, segments,
                 min(best.bound, open_bound), len(space), solved, space)


def solve_candidate(space: Space, c: int, *, tied: Solution | None = None,
                    ) -> tuple[Solution, tuple[Segment, ...]]:
    """Solve one candidate, tied or layer by layer as the question says. With its optimum ``tied``,
    settle which of several equal optima is taken."""
    model = space.model
    times = second_times(space, c) if tied is not None else None
    if model.question.untie:
        problem, parts = untied_problem(space, c)
        second = part_sum(parts, times) if times is not None else None
        solution = _settled(problem, tied, second, GAP)
        return solution, untied_segments(model, parts, solution) if solution.found else ()
    problem = single_problem(space, c)
    second = decision_sum(model, times, layer_weights(model)) if times is not None else None
    gap = GAP if model.question.profile is None else LAYERS_GAP
    solution = _settled(problem, tied, second, gap)
    picked = solution.counts.argmax(axis=1)
    choice = [int(picked[u.decision]) if u.decision >= 0 else -1 for u in model.units]
    return solution, tied_segments(model, choice)


def _settled(problem: Problem, tied: Solution | None, second: Array | None,
             gap: float) -> Solution:
    """An optimum, or the preferred one of those that equal ``tied``."""
    solution = tied if tied is not None and second is None \
        else solve(problem, tie_break=second, gap=gap)
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
                dearer = problem.objective[d, other] - problem.objective[d, now]
                slower = second is not None and second[d, other] > second[d, now]
                if dearer > 1e-12 * scale or slower:
                    continue
                trial = counts.copy()
                trial[d, other] += trial[d, now]
                trial[d, now] = 0
                if violation(problem, trial) is None:
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
