"""What the next best choice of every unit costs: alone, and with everything else adapting to it.

Both are at the plan's layout and batch. ``alone`` moves one decision; ``next_best`` forbids its
choice and solves the candidate again, so that its change of the objective is exact. Where nothing
else fits there, the other layouts and batches are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.base.units import format_layers
from planner.planning.answer.reasons import ReasonInputs, explain
from planner.planning.explain.records import Alternative, UnitChoice
from planner.planning.price.price import Priced, price
from planner.planning.search.candidate_problem import CandidateProblem, candidate_problem
from planner.planning.search.first_token import solve_with_ttft
from planner.planning.search.grid_search import SearchResult, first_of_equals
from planner.planning.search.question_search import by_layer
from planner.planning.search.requery import best_in
from planner.planning.solver.problem import EQUAL, relative_gap
from planner.planning.space.assignment import Segment
from planner.planning.space.losses import saturated_loss

MOST = 80
"""Decisions up to which each is solved again without its choice."""
ALIKE = 1e-3


@dataclass(frozen=True)
class _Here:
    """The winner's candidate as a problem, priced."""

    result: SearchResult
    candidate: CandidateProblem
    priced: Priced

    def priced_as(self, segments: Sequence[Segment]) -> Priced:
        return price(self.result.space, self.result.candidate, segments)


def unit_choices(
    result: SearchResult,
    *,
    again: bool,
) -> tuple[tuple[UnitChoice, ...], tuple[str, ...]]:
    """(every decision and choice of the plan, units kept as released). ``again``: each is solved
    again without its choice, up to MOST decisions."""
    here = _here(result)
    model, why = result.space.model, explain(result)
    groups: dict[tuple[int, int, int], list[Segment]] = {}
    released = []
    for segment in result.segments:
        unit = model.units[segment.unit]
        if segment.choice < 0:
            released.append(unit.id)
        else:
            paired = model.decided.decisions[unit.decision].paired
            key = (unit.decision, segment.unit if paired else -1, segment.choice)
            groups.setdefault(key, []).append(segment)
    again = again and len(groups) <= MOST
    return tuple(
        _choice(here, members, why[members[0].unit, key[2]], again)
        for key, members in groups.items()
    ), tuple(released)


def _here(result: SearchResult) -> _Here:
    space, c = result.space, result.candidate
    return _Here(result, candidate_problem(space, c), price(space, c, result.segments))


def _choice(
    here: _Here, members: Sequence[Segment], reason: ReasonInputs, again: bool
) -> UnitChoice:
    model = here.result.space.model
    first = members[0]
    able = _able(here, first)
    layers = tuple(sorted({n for s in members for n in s.layers}))
    alone = None
    if reason.next_best is not None:
        start = len(model.question.schemes) if model.units[first.unit].role == "cache" else 0
        other = model.choices.index(reason.next_best.scheme, start)
        alone = _changed_by_itself(here, members, other, reason.next_best.delta)
    return UnitChoice(
        tuple(dict.fromkeys(model.units[s.unit].id for s in members)),
        format_layers(layers),
        model.choices[first.choice],
        len(able),
        reason.reason,
        alone,
        _without(here, able, members) if again else None,
    )


def _able(here: _Here, segment: Segment) -> dict[int, list[int]]:
    """{choice of the segment's unit: the options of its decision with it that are legal in all of
    its stages}."""
    model = here.result.space.model
    number = model.units[segment.unit].decision
    decision = model.decided.decisions[number]
    place = decision.units.index(segment.unit)
    legal = here.candidate.problem.legal[here.candidate.rows_of(number)]
    legal = np.logical_and.reduce(legal, axis=0)
    out: dict[int, list[int]] = {}
    for i, option in enumerate(decision.options):
        if legal[i]:
            out.setdefault(option[place], []).append(i)
    return out


def _twins(here: _Here, able: dict[int, list[int]], segment: Segment) -> list[int]:
    """Choices that cost and use the same whatever is decided with them, and lose the same to ALIKE
    of the plan's loss: nothing that matters tells them apart."""
    candidate, model = here.candidate, here.result.space.model
    rows = candidate.rows_of(model.units[segment.unit].decision)
    columns = [
        candidate.problem.objective[rows],
        *(row.coefficients[rows] for row in candidate.problem.rows if row.name != "max-loss"),
    ]
    if model.question.objective == "quality":
        columns = columns[1:]
    loss = candidate.total(model.decided.loss)[rows[0]] * candidate.problem.multiplicity[rows[0]]
    near = ALIKE * here.priced.loss + 1e-12
    mine = able[segment.choice]
    return [
        other
        for other, theirs in able.items()
        if other != segment.choice
        and len(theirs) == len(mine)
        and (np.abs(loss[theirs] - loss[mine]) <= near).all()
        and all(np.allclose(c[:, theirs], c[:, mine], rtol=EQUAL, atol=1e-15) for c in columns)
    ]


def _changed_by_itself(
    here: _Here, members: Sequence[Segment], other: int, delta: float
) -> Alternative:
    """The plan with these layers, and nothing else, in another choice."""
    moved = [replace(s, choice=other) if s in members else s for s in here.result.segments]
    return _alternative(
        here, here.result.space.model.choices[other], delta, here.priced_as(moved), 0
    )


def _without(
    here: _Here,
    able: dict[int, list[int]],
    members: Sequence[Segment],
) -> Alternative | None:
    """The best plan of this candidate that keeps the choice, and what equals it, from the unit;
    where there is none, the best of the other layouts and batches."""
    first = members[0]
    number = here.result.space.model.units[first.unit].decision
    banned = [
        option for choice in (first.choice, *_twins(here, able, first)) for option in able[choice]
    ]
    legal = here.candidate.problem.legal.copy()
    for option in banned:
        legal[here.candidate.rows_of(number), option] = False
    if not legal.any(axis=1).all():
        return None
    candidate = replace(here.candidate, problem=replace(here.candidate.problem, legal=legal))
    solution = solve_with_ttft(candidate)
    if not solution.has_assignment:
        return _elsewhere(here, number, banned, members)
    solution = first_of_equals(candidate, solution)
    segments = candidate.segments(solution)
    return _moved(here, members, segments, solution.value, here.priced_as(segments), "")


def _elsewhere(
    here: _Here,
    decision: int,
    banned: Sequence[int],
    members: Sequence[Segment],
) -> Alternative | None:
    """The best plan over the grid of layouts and batches without the options ``banned``."""
    grid = here.result.grid
    legal = grid.legal.copy()
    for k, kernel in enumerate(grid.model.decided.kernels):
        if kernel.decision == decision:
            legal[:, k, list(banned)] = False
    answer, _ = best_in(replace(grid, legal=legal))
    if answer is None:
        return None
    la = grid.tables.layouts[grid.pts.layout[answer.candidate]]
    where = f"tp{la.tp} dp{la.dp} pp{la.pp} ep{la.ep}, batch {grid.pts.batch[answer.candidate]:.0f}"
    return _moved(
        here,
        members,
        answer.segments,
        answer.value,
        price(grid, answer.candidate, answer.segments),
        where,
    )


def _moved(
    here: _Here,
    members: Sequence[Segment],
    segments: Sequence[Segment],
    value: float,
    other: Priced,
    where: str,
) -> Alternative:
    """The plan of ``segments`` against the plan: what the unit takes, and how many others move."""
    units = here.result.space.model.units
    now, then = (by_layer(here.result.space, s) for s in (here.result.segments, segments))
    mine = [(units[s.unit].matrix, n) for s in members for n in s.layers]
    taken = dict.fromkeys(then[key] for key in mine)
    others = {
        (key[0], now[key], then[key])
        for key in now
        if key not in set(mine) and now[key] != then[key]
    }
    scale = abs(here.result.value) or 1.0
    return _alternative(
        here, " + ".join(taken), (value - here.result.value) / scale, other, len(others), where
    )


def _alternative(
    here: _Here, scheme: str, delta: float, other: Priced, moved: int, where: str = ""
) -> Alternative:
    now, model = here.priced, here.result.space.model
    delta = relative_gap(delta, 1.0)
    return Alternative(
        scheme,
        delta,
        other.tpot - now.tpot,
        other.fullest.total - now.fullest.total,
        saturated_loss(model, other.loss) - saturated_loss(model, now.loss),
        moved,
        where,
    )
