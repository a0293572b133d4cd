"""What the next best choice of every unit costs: alone, and with everything else adapting to it.

Both are at the plan's layout and batch. ``alone`` moves one decision; ``next_best`` forbids its
choice and solves the candidate again, so that its change of the objective is exact. Where nothing
else fits there, the other layouts and batches are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.planning.answer.reasons import Why, explain
from planner.planning.explain.records import Alternative, UnitChoice
from planner.planning.plan.record import layer_range
from planner.planning.price.price import Priced, price
from planner.planning.search.asked import naming_the_question
from planner.planning.search.best_first import Found, second_times, widest
from planner.planning.search.equal_loss import problem_of, segments_of
from planner.planning.search.formulate import decision_sum, layer_weights
from planner.planning.search.requery import best_in
from planner.planning.search.untied import StagePart, part_sum
from planner.planning.search.variants import by_layer
from planner.planning.solver.highs import GAP
from planner.planning.solver.problem import EQUAL, Array, Problem, Solution, told
from planner.planning.solver.solve import LAYERS_GAP, solve
from planner.planning.solver.ties import first_of_ties
from planner.planning.space.assignment import Segment

MOST = 80
"""Decisions up to which each is solved again without its choice."""
ALIKE = 1e-3


@dataclass(frozen=True)
class _Here:
    """The winner's candidate as a problem, and its parts for pricing."""

    found: Found
    problem: Problem
    parts: tuple[StagePart, ...]
    priced: Priced

    def segments(self, solution: Solution) -> tuple[Segment, ...]:
        return segments_of(self.found.space, self.parts, solution)

    def priced_as(self, segments: Sequence[Segment]) -> Priced:
        return price(self.found.space, self.found.candidate, segments)

    def rows(self, decision: int) -> list[int]:
        """The problem's rows of a decision: one, or one for every pipeline stage."""
        if not self.parts:
            return [decision]
        units = self.found.space.model.units
        return sorted({p.decision for p in self.parts if units[p.unit].decision == decision})


def unit_choices(found: Found, *, again: bool,
                 ) -> tuple[tuple[UnitChoice, ...], tuple[str, ...]]:
    """(every decision and choice of the plan, units kept as released). ``again``: each is solved
    again without its choice, up to MOST decisions."""
    here = _here(found)
    model, why = found.space.model, explain(found)
    groups: dict[tuple[int, int], list[Segment]] = {}
    released = []
    for segment in found.segments:
        unit = model.units[segment.unit]
        if segment.choice < 0:
            released.append(unit.id)
        else:
            groups.setdefault((unit.decision, segment.choice), []).append(segment)
    again = again and len(groups) <= MOST
    return tuple(_choice(here, key, members, why[members[0].unit, key[1]], again)
                 for key, members in groups.items()), tuple(released)


def _here(found: Found) -> _Here:
    space, c = found.space, found.candidate
    problem, parts = problem_of(space, c)
    return _Here(found, problem, parts, price(space, c, found.segments))


def _choice(here: _Here, key: tuple[int, int], members: Sequence[Segment], why: Why,
            again: bool) -> UnitChoice:
    model = here.found.space.model
    decision, choice = key
    legal = here.problem.legal[here.rows(decision)].all(axis=0)
    layers = tuple(sorted({n for s in members for n in s.layers}))
    alone = None
    if why.next_best is not None:
        start = len(model.question.schemes) if model.units[members[0].unit].role == "cache" else 0
        other = model.choices.index(why.next_best.scheme, start)
        alone = _alone(here, members, other, why.next_best.delta)
    return UnitChoice(
        tuple(dict.fromkeys(model.units[s.unit].id for s in members)), layer_range(layers),
        model.choices[choice], int(legal.sum()), why.reason, alone,
        _without(here, decision, choice, members) if again else None)


def _twins(here: _Here, decision: int, choice: int) -> list[int]:
    """Choices that cost and use the same, and lose the same to ALIKE of the plan's loss: nothing
    that matters tells them apart."""
    problem, model, rows = here.problem, here.found.space.model, here.rows(decision)
    columns = [problem.objective[rows], *(row.coefficients[rows] for row in problem.rows
                                          if row.name != "max-loss")]
    if model.question.objective == "quality":
        columns = columns[1:]
    loss = decision_sum(model, model.layer_loss, layer_weights(model))[decision]
    near = ALIKE * here.priced.loss + 1e-12
    return [other for other in range(problem.legal.shape[1])
            if other != choice and problem.legal[rows, other].all()
            and abs(loss[other] - loss[choice]) <= near
            and all(np.allclose(c[:, other], c[:, choice], rtol=EQUAL, atol=1e-15)
                    for c in columns)]


def _alone(here: _Here, members: Sequence[Segment], other: int, delta: float) -> Alternative:
    """The plan with these layers, and nothing else, in another choice."""
    moved = [replace(s, choice=other) if s in members else s for s in here.found.segments]
    return _alternative(here, here.found.space.model.choices[other], delta,
                        here.priced_as(moved), 0)


def _without(here: _Here, decision: int, choice: int, members: Sequence[Segment],
             ) -> Alternative | None:
    """The best plan of this candidate that keeps the choice, and what equals it, from the decision;
    where there is none, the best of the other layouts and batches."""
    banned = (choice, *_twins(here, decision, choice))
    legal = here.problem.legal.copy()
    for one in banned:
        legal[here.rows(decision), one] = False
    if not legal.any(axis=1).all():
        return None
    model = here.found.space.model
    gap = GAP if model.question.profile is None else LAYERS_GAP
    problem = replace(here.problem, legal=legal)
    with naming_the_question(here.found.space, here.found.candidate):
        solution = solve(problem, gap=gap)
    if not solution.found:
        return _elsewhere(here, decision, banned, members)
    solution = first_of_ties(problem, solution, _second(here), gap=gap, last=widest(model))
    segments = here.segments(solution)
    return _moved(here, members, segments, solution.value, here.priced_as(segments), "")


def _second(here: _Here) -> Array | None:
    """Seconds that decide between equal optima, as in the search [D, S]."""
    space, c = here.found.space, here.found.candidate
    times = second_times(space, c)
    if times is None:
        return None
    return part_sum(here.parts, times) if here.parts \
        else decision_sum(space.model, times, layer_weights(space.model))


def _elsewhere(here: _Here, decision: int, banned: Sequence[int], members: Sequence[Segment],
               ) -> Alternative | None:
    """The best plan over the grid of layouts and batches without ``banned`` in the decision."""
    grid = here.found.grid
    legal = grid.legal.copy()
    for i, unit in enumerate(grid.model.units):
        if unit.decision == decision:
            legal[:, i, list(banned)] = False
    answer, _ = best_in(replace(grid, legal=legal))
    if answer is None:
        return None
    la = grid.tables.layouts[grid.pts.layout[answer.candidate]]
    where = f"tp{la.tp} dp{la.dp} pp{la.pp} ep{la.ep}, batch {grid.pts.batch[answer.candidate]:.0f}"
    return _moved(here, members, answer.segments, answer.value,
                  price(grid, answer.candidate, answer.segments), where)


def _moved(here: _Here, members: Sequence[Segment], segments: Sequence[Segment], value: float,
           other: Priced, where: str) -> Alternative:
    """The plan of ``segments`` against the plan: what the unit takes, and how many others move."""
    units = here.found.space.model.units
    now, then = (by_layer(here.found.space, s) for s in (here.found.segments, segments))
    mine = [(units[s.unit].kind, n) for s in members for n in s.layers]
    taken = dict.fromkeys(then[key] for key in mine)
    others = {(key[0], now[key], then[key]) for key in now
              if key not in set(mine) and now[key] != then[key]}
    scale = abs(here.found.value) or 1.0
    return _alternative(here, " + ".join(taken), (value - here.found.value) / scale, other,
                        len(others), where)


def _alternative(here: _Here, scheme: str, delta: float, other: Priced, moved: int,
                 where: str = "") -> Alternative:
    now = here.priced
    delta = told(delta, 1.0)
    return Alternative(scheme, delta, other.tpot - now.tpot,
                       other.fullest.total - now.fullest.total, other.loss - now.loss, moved,
                       where)
