"""Why each unit takes its choice, and what the next best costs: every alternative is tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.planning.plan.record import NextBest
from planner.planning.search.best_first import Found
from planner.planning.search.formulate import decision_legal, single_problem
from planner.planning.search.untied import StagePart, untied_problem
from planner.planning.solver.problem import Problem, objective_of, told, violation
from planner.records import record


@record
class Why:
    """One decision's explanation: a sentence and the best other choice."""

    reason: str
    next_best: NextBest | None


def explain(found: Found) -> dict[tuple[int, int], Why]:
    """{(unit index, choice): Why} for every segment of the winner."""
    space, c = found.space, found.candidate
    model = space.model
    parts: tuple[StagePart, ...] = ()
    if model.question.untie:
        problem, parts = untied_problem(space, c)
    else:
        problem = single_problem(space, c)
    legal = decision_legal(model, space.legal[c])
    out: dict[tuple[int, int], Why] = {}
    memo: dict[tuple[int, int], Why] = {}
    for segment in found.segments:
        unit = model.units[segment.unit]
        if segment.choice < 0:
            out[segment.unit, -1] = Why("kept as released", None)
            continue
        row = unit.decision
        if model.question.untie:
            row = _counted_row(found, parts, segment.choice, unit.decision)
        key = (row, segment.choice)
        if key not in memo:
            why = _why(model.choices, problem, found.solution.counts, row, segment.choice,
                       int(legal[unit.decision].sum()), found.value)
            memo[key] = why if model.question.objective != "quality" else _paced(why)
        out[segment.unit, segment.choice] = memo[key]
    return out


def _counted_row(found: Found, parts: Sequence[StagePart], choice: int, decision: int) -> int:
    """A row of the untied problem of ``parts`` that belongs to ``decision`` and uses ``choice``."""
    for part in parts:
        unit = found.space.model.units[part.unit]
        if unit.decision == decision and found.solution.counts[part.decision, choice]:
            return part.decision
    raise AssertionError("a segment without a counted decision")


def _why(names: Sequence[str], problem: Problem, counts: NDArray[np.int64], row: int,
         choice: int, legal: int, value: float) -> Why:
    """Swap the whole decision to every other legal choice and see what happens."""
    if legal == 1:
        return Why("only: no other legal choice", None)
    blocked: tuple[float, str, str] | None = None
    best: tuple[float, int] | None = None
    scale = abs(value) or 1.0
    for other in np.nonzero(problem.legal[row])[0]:
        if other == choice:
            continue
        trial = counts.copy()
        moved = trial[row, choice]
        trial[row, choice] -= moved
        trial[row, other] += moved
        delta = told(objective_of(problem, trial) - objective_of(problem, counts), scale)
        broken = violation(problem, trial)
        if broken is None:
            if best is None or (delta, other) < best:
                best = (delta, int(other))
        elif delta < 0 and (blocked is None or delta < blocked[0]):
            blocked = (delta, names[int(other)], broken.name)
    following = NextBest(names[best[1]], best[0]) if best else None
    if blocked is not None:
        return Why(f"{blocked[2]}: {blocked[1]} would be {_share(-blocked[0])} better "
                   "but breaks it", following)
    if following is not None and following.delta > 0:
        return Why(f"best: {following.scheme} is {_share(following.delta)} worse", following)
    if following is not None and following.delta < 0:
        return Why(f"not best: {following.scheme} would be {_share(-following.delta)} better",
                   following)
    if following is not None:
        return Why(f"best: no worse than {following.scheme}", following)
    return Why("limits: every other choice breaks one", None)


def _paced(why: Why) -> Why:
    """Under the objective quality a less lossy choice may be left for pace, inside the band."""
    if not why.reason.startswith("not best: "):
        return why
    return Why("pace: " + why.reason.removeprefix("not best: ") + ", inside the band, and is "
               "slower", why.next_best)


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 0.0005 else "<0.1%"
