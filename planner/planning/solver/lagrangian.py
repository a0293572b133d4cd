"""Multiple choice under a few budgets by Lagrange multipliers, with a certified bound.

For multipliers λ ≥ 0 of the rows, L(λ) = Σ_d min_s (cost + Σ_r λ_r·row_r)[d, s] − Σ_r λ_r·limit_r
bounds the optimum from below, whatever λ. The largest L is found by cutting planes (Kelley): every
evaluation gives a cut L(λ) ≤ c_k + λ·g_k, where c_k and g_k are cost and excess use of the
assignment that it picked. An assignment within the limits comes from the last picks: moves that
cost least for the excess they remove, then moves that use the room that is left.

With R rows the relaxation splits at most R decisions, so the gap shrinks as 1/decisions. A decision
of multiplicity m takes one choice for all its layers here; :mod:`planner.planning.solver.solve`
splits it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.planning.solver.highs import stdout_kept
from planner.planning.solver.problem import Array, Problem, Row, Solution, objective_of, violation
from planner.planning.solver.solve import solve

Int = NDArray[np.int64]
MAX_STEPS = 60
CLOSE = 1e-5
"""Relative distance of the cutting planes' roof from the best bound at which the ascent stops."""
BOX = 1e3
"""Multipliers are searched up to this many times objective spread / limit."""
NEAR = 5e-5
"""Relative gap at which no further assignment is repaired."""
ROUNDING = 1e-13
_PASSES = 40
_MOVES = 256


@dataclass(frozen=True)
class _Scaled:
    """``cost`` [D, S] (inf where illegal), ``use`` [R, D, S] as shares of the limits, room [R]."""

    cost: Array
    use: Array
    room: Array

    def picked(self, choice: Int) -> tuple[float, Array]:
        """(cost, use [R]) of a choice for every decision."""
        every = np.arange(len(choice))
        return float(self.cost[every, choice].sum()), self.use[:, every, choice].sum(axis=1)


def lagrange(problem: Problem, *, start: Array | None = None) -> Solution:
    """The best assignment found within all limits and a certified bound.

    ``start`` [R]: multipliers to begin with, such as those of a neighbouring budget. The status is
    ``optimal`` where an assignment was found (``gap`` says how far it may be from the best) and
    ``infeasible`` where a bound proves that there is none; else ``unproved``.
    """
    return _solved(problem, start)[0]


def row_prices(problem: Problem) -> Array:
    """What a unit of each row's limit is worth in the objective [R], by the best bound found."""
    return _solved(problem, None)[1]


def sweep_budgets(problem: Problem, row: int, limits: Sequence[float], *,
                  gap: float = 1e-4) -> list[Solution]:
    """``problem`` under each of ``limits`` for its row ``row``, in the order given; each starts
    from the multipliers of the one before. The limit of an exact row is the whole number below.

    Where the certified gap is not below ``gap`` (few decisions, or layers to be counted apart),
    the exact solver answers. A solution's own gap says how far it may be from the best.
    """
    out: list[Solution] = []
    multipliers: Array | None = None
    for limit in limits:
        old = problem.rows[row]
        exact = None if old.exact_limit is None else int(np.floor(limit))
        changed = replace(old, limit=float(limit), exact_limit=exact)
        rows = (*problem.rows[:row], changed, *problem.rows[row + 1:])
        one = replace(problem, rows=rows)
        solution, multipliers = _solved(one, multipliers)
        if solution.status != "infeasible" and not solution.gap < gap:
            solution = closed(one, solution, multipliers, gap)
        out.append(solution)
    return out


def closed(problem: Problem, found: Solution, multipliers: Array, gap: float) -> Solution:
    """``found`` improved until its gap is below ``gap``: choices that provably lead to nothing
    better go, and the exact solver decides what is left.

    A choice whose reduced cost at ``multipliers`` [R] (per unit of each row) exceeds value − bound
    is in no better assignment.
    """
    if not found.found:
        return solve(problem, gap=gap)
    cost = np.where(problem.legal, problem.objective, np.inf)
    priced = cost + sum((m * row.coefficients for m, row in
                         zip(multipliers, problem.rows, strict=True)), np.zeros(cost.shape))
    reduced = priced - priced.min(axis=1)[:, None]
    room = found.value - found.bound + 1e-9 * abs(found.value)
    legal = problem.legal & ((reduced <= room) | (found.counts > 0))
    open_ = np.nonzero(legal.sum(axis=1) > 1)[0]
    if not len(open_):
        return replace(found, bound=found.value, gap=0.0)
    fixed = np.where(legal, problem.multiplicity[:, None], 0)
    fixed[open_] = 0
    part = Problem(problem.objective[open_],
                   float((np.where(problem.legal, problem.objective, 0.0) * fixed).sum())
                   + problem.constant, legal[open_], problem.multiplicity[open_],
                   tuple(_rest(row, fixed, open_) for row in problem.rows))
    inner = solve(part, gap=gap / 2)
    if not inner.found:
        return solve(problem, gap=gap)
    counts = fixed.astype(np.int64)
    counts[open_] = inner.counts
    if violation(problem, counts) is not None or inner.value > found.value:
        counts = found.counts
    value = objective_of(problem, counts)
    bound = min(max(inner.bound, found.bound), value)
    return Solution("optimal", counts, value, bound,
                    (value - bound) / abs(value) if value else value - bound)


def _rest(row: Row, fixed: NDArray[np.int64], open_: Int) -> Row:
    """What is left of a limit for the decisions ``open_`` when the others are ``fixed``."""
    exact = row.exact
    limit = None if exact is None or row.exact_limit is None \
        else row.exact_limit - int((exact * fixed).sum())
    left = row.limit - float((row.coefficients * fixed).sum()) if limit is None else float(limit)
    return Row(row.name, row.coefficients[open_], left,
               None if exact is None else exact[open_], limit)


def _solved(problem: Problem, start: Array | None) -> tuple[Solution, Array]:
    """(solution, multipliers per unit of each row)."""
    empty = np.zeros(problem.legal.shape, dtype=np.int64)
    nothing = Solution("infeasible", empty, np.inf, np.inf, 0.0)
    zero = np.zeros(len(problem.rows))
    if not problem.legal.any(axis=1).all():
        return nothing, zero
    scaled, sizes = _scale(problem)
    if _beyond(scaled):
        return nothing, zero
    with stdout_kept():
        bound, multipliers, picks = _ascend(scaled, None if start is None else start * sizes)
    best: tuple[float, Int] | None = None
    for choice in picks:
        fixed = _repaired(scaled, choice, multipliers)
        if fixed is None:
            continue
        fixed = _improved(scaled, fixed)
        value = scaled.picked(fixed)[0]
        better = best is None or value < best[0]
        if better and violation(problem, _counts(problem, fixed)) is None:
            best = (value, fixed)
            if value - bound <= NEAR * abs(value + problem.constant):
                break
    scale = multipliers / np.where(sizes > 0, sizes, 1.0)
    if best is None:
        return Solution("unproved", empty, np.inf, bound + problem.constant, np.inf), scale
    value = best[0] + problem.constant
    lower = min(bound + problem.constant, value)
    gap = (value - lower) / abs(value) if value else value - lower
    return Solution("optimal", _counts(problem, best[1]), value, lower, gap), scale


def _counts(problem: Problem, choice: Int) -> Int:
    counts = np.zeros(problem.legal.shape, dtype=np.int64)
    counts[np.arange(len(choice)), choice] = problem.multiplicity
    return counts


def _scale(problem: Problem) -> tuple[_Scaled, Array]:
    """(the problem with uses as shares of the limits, the limits' sizes [R])."""
    weight = problem.multiplicity[:, None].astype(np.float64)
    cost = np.where(problem.legal, problem.objective * weight, np.inf)
    sizes = np.array([abs(row.limit) or 1.0 for row in problem.rows])
    use = np.array([np.where(problem.legal, row.coefficients * weight, 0.0) / size
                    for row, size in zip(problem.rows, sizes, strict=True)])
    room = np.array([row.limit / size for row, size in zip(problem.rows, sizes, strict=True)])
    if not problem.rows:
        use = np.zeros((0, *cost.shape))
    return _Scaled(cost, use, room), sizes


def _beyond(scaled: _Scaled) -> bool:
    """Whether a single row excludes every assignment: its least use exceeds the room."""
    illegal = ~np.isfinite(scaled.cost)
    for use, room in zip(scaled.use, scaled.room, strict=True):
        if np.where(illegal, np.inf, use).min(axis=1).sum() > room + 1e-9 * max(1.0, abs(room)):
            return True
    return False


def _ascend(scaled: _Scaled, start: Array | None) -> tuple[float, Array, list[Int]]:
    """(best bound, its multipliers, assignments to repair: the bound's, then the last)."""
    rows = len(scaled.room)
    finite = np.where(np.isfinite(scaled.cost), scaled.cost, np.nan)
    spread = float(np.nansum(np.nanmax(finite, axis=1) - np.nanmin(finite, axis=1))) or 1.0
    cuts: list[tuple[float, Array]] = []
    picks: list[Int] = []
    best, chosen = -np.inf, np.zeros(rows)
    point = np.zeros(rows)
    for step in range(MAX_STEPS):
        choice = _relaxed(scaled, point)
        cost, use = scaled.picked(choice)
        excess = use - scaled.room
        # Sums of many terms round; the bound gives way by as much.
        value = cost + float(point @ excess) - ROUNDING * (abs(cost) + float(point @ abs(use)))
        if value > best:
            best, chosen = value, point
        cuts.append((cost, excess))
        picks.append(choice)
        if rows == 0 or (step == 0 and (excess <= 0).all()):
            break
        if step == 0 and start is not None and start.any():
            point = np.maximum(start, 0.0)
            continue
        roof, point = _roof(cuts, BOX * spread)
        if roof - best <= CLOSE * max(abs(best), 1e-300):
            break
    return best, chosen, [_relaxed(scaled, chosen), *picks[:-7:-1]]


def _relaxed(scaled: _Scaled, multipliers: Array) -> Int:
    """The cheapest choice of every decision at ``multipliers`` [D]."""
    priced = scaled.cost
    if multipliers.any():
        priced = priced + np.tensordot(multipliers, scaled.use, axes=1)
    return np.asarray(priced.argmin(axis=1))


def _roof(cuts: Sequence[tuple[float, Array]], box: float) -> tuple[float, Array]:
    """(height, point [R]) of the highest point under all cuts with 0 ≤ λ ≤ box."""
    constants = np.array([c for c, _ in cuts])
    slopes = np.array([g for _, g in cuts])
    return _roof_line(constants, slopes[:, 0], box) if slopes.shape[1] == 1 \
        else _roof_plane(constants, slopes, box)


def _roof_line(constants: Array, slopes: Array, box: float) -> tuple[float, Array]:
    """One multiplier: the highest of the points where two cuts meet and of the ends."""
    rising, falling = slopes > 0, slopes < 0
    points = [np.array([0.0, box])]
    if rising.any() and falling.any():
        width = slopes[rising][:, None] - slopes[falling][None, :]
        points.append(((constants[falling][None, :] - constants[rising][:, None]) / width).ravel())
    at = np.clip(np.concatenate(points), 0.0, box)
    height = (constants[:, None] + slopes[:, None] * at[None, :]).min(axis=0)
    best = int(height.argmax())
    return float(height[best]), at[best:best + 1]


def _roof_plane(constants: Array, slopes: Array, box: float) -> tuple[float, Array]:
    """Several multipliers: a linear programme in R + 1 variables."""
    import highspy

    rows, width = slopes.shape
    size = float(np.abs(constants).max()) or 1.0
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = width + 1, rows
    model.col_cost_ = np.concatenate([np.zeros(width), [-1.0]])
    model.col_lower_ = np.concatenate([np.zeros(width), [-np.inf]])
    model.col_upper_ = np.concatenate([np.full(width, box / size), [np.inf]])
    model.row_lower_ = np.full(rows, -np.inf)
    model.row_upper_ = constants / size
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.arange(rows + 1, dtype=np.int32) * (width + 1)
    model.a_matrix_.index_ = np.tile(np.arange(width + 1, dtype=np.int32), rows)
    model.a_matrix_.value_ = np.concatenate([-slopes, np.ones((rows, 1))], axis=1).ravel()
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in (("output_flag", False), ("threads", 1), ("presolve", "off")):
        solver.setOptionValue(name, value)
    solver.passModel(model)
    solver.run()
    point = np.clip(np.array(solver.getSolution().col_value[:width]) * size, 0.0, box)
    return float((constants + slopes @ point).min()), point


def _repaired(scaled: _Scaled, choice: Int, multipliers: Array) -> Int | None:
    """``choice`` moved within every limit by the moves of least reduced cost for the excess that
    they remove, or None where no moves are left."""
    choice = choice.copy()
    every = np.arange(len(choice))
    priced = scaled.cost + np.tensordot(multipliers, scaled.use, axes=1)
    for _ in range(_PASSES):
        excess = scaled.picked(choice)[1] - scaled.room
        over = excess > 0
        if not over.any():
            return choice
        change = scaled.use[:, every, choice][:, :, None] - scaled.use
        less = change[over].sum(axis=0) - np.maximum(-change[~over], 0.0).sum(axis=0)
        dearer = priced - priced[every, choice][:, None]
        ratio = np.where((less > 0) & np.isfinite(dearer), dearer, np.inf) \
            / np.where(less > 0, less, 1.0)
        to = ratio.argmin(axis=1)
        order = np.argsort(ratio[every, to], kind="stable")
        order = order[np.isfinite(ratio[order, to[order]])]
        if not len(order):
            return None
        removed = np.cumsum(less[order, to[order]])
        enough = int(np.searchsorted(removed, excess[over].sum())) + 1
        moved = order[:enough]
        choice[moved] = to[moved]
    return None


def _improved(scaled: _Scaled, choice: Int) -> Int:
    """``choice`` with moves that cost less and stay within what room is left, dearest first."""
    choice = choice.copy()
    every = np.arange(len(choice))
    for _ in range(_PASSES):
        slack = scaled.room - scaled.picked(choice)[1]
        change = scaled.cost - scaled.cost[every, choice][:, None]
        more = scaled.use - scaled.use[:, every, choice][:, :, None]
        fits = (more <= np.maximum(slack, 0.0)[:, None, None]).all(axis=0) & (change < 0)
        if not fits.any():
            return choice
        gain = np.where(fits, change, np.inf)
        to = gain.argmin(axis=1)
        order = np.argsort(gain[every, to], kind="stable")[:_MOVES]
        for d in order:
            if not np.isfinite(gain[d, to[d]]):
                break
            needed = more[:, d, to[d]]
            if (needed <= slack).all():
                slack = slack - needed
                choice[d] = to[d]
    return choice
