"""What would change the answer: for each figure of the question, the smallest change that makes
another plan the best, found by solving the changed question again.

The range is walked outwards until the plan changes, then halved between the last value that keeps
it and the first that does not. A plan that changes and changes back inside a step is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from planner.planning.explain.limit_prices import Change, SolvedQuestions, with_loss, with_time
from planner.planning.explain.records import SwitchingPoint
from planner.planning.question.question import Question
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import batch_of, differences
from planner.planning.space.losses import additive_loss, saturated_loss

STEPS = (1.1, 1.5, 2.0, 4.0)
"""Factors at which each figure is tried, outwards."""
HALVINGS = 3
SOLVES = 40
"""Solves that are spent on the question unless told otherwise."""


@dataclass(frozen=True)
class Variable:
    """A figure of the question that may move. ``change(value)`` gives the question at a value, or
    None where there is none; ``whole`` keeps it a count, ``steps`` are its factors, ``halve`` says
    whether values between them mean anything."""

    name: str
    unit: str
    start: float
    change: Callable[[float], Change | None]
    whole: bool = False
    steps: tuple[float, ...] = STEPS
    halve: bool = True


def switching_points(
    solved: SolvedQuestions, solves: int = SOLVES
) -> tuple[tuple[SwitchingPoint, ...], int]:
    """(the smallest change found of each figure, up and down; solves).

    At most ``solves`` questions are solved: every figure is walked first, then the walks that
    changed the plan are halved in turn.
    """
    walks = [
        _Walk(figure, up, figure.start, None, 0, False)
        for figure in figures(solved.result)
        for up in (True, False)
    ]
    spent = 0
    for i, walk in enumerate(walks):
        if solves - spent >= len(walk.figure.steps):
            walks[i] = _outwards(solved, walk)
            spent += walks[i].solves
    for _ in range(HALVINGS):
        for i, walk in enumerate(walks):
            if spent < solves:
                walks[i] = _halved(solved, walk)
                spent += walks[i].solves - walk.solves
    return tuple(_switching_point(solved, walk) for walk in walks), spent


def figures(result: SearchResult) -> tuple[Variable, ...]:
    """What may move, the workload first."""
    question, model = result.space.model.question, result.space.model
    out = []
    limit = loss_limit(model)
    if limit is not None and limit > 0:
        out.append(
            Variable(
                "max-loss",
                "loss",
                saturated_loss(model, limit),
                lambda loss: with_loss(additive_loss(model, loss)),
            )
        )
    for name, seconds in question.time_limits.items():
        out.append(Variable(name, "s", seconds, partial(with_time, name)))
    out += [
        Variable("context", "tokens", question.workload.context, _at_context(question), True),
        Variable("batch", "sequences", batch_of(result), lambda v: _at_batch(result, v), True),
        Variable("memory", "bytes a device", question.usable_bytes, _at_memory, True),
        Variable(
            "memory bandwidth",
            "bytes/s",
            question.device.bandwidth_bytes_per_s.value,
            _at_bandwidth,
        ),
    ]
    if question.devices_given:
        out.append(
            Variable(
                "devices",
                "devices",
                max(question.sizes),
                _at_devices(question),
                True,
                (2.0, 4.0),
                False,
            )
        )
    return tuple(out)


@dataclass(frozen=True)
class _Walk:
    """A figure in one direction: the last value with the same plan, the first with ``another``
    (value, answer), solves; ``walked`` is False before the range was walked."""

    figure: Variable
    up: bool
    same: float
    another: tuple[float, SearchResult | None] | None
    solves: int
    walked: bool


def _outwards(solved: SolvedQuestions, walk: _Walk) -> _Walk:
    """The first of the figure's steps at which the plan is another."""
    same, count = walk.same, 0
    for step in walk.figure.steps:
        value = _value(walk.figure, step if walk.up else 1 / step)
        change = walk.figure.change(value) if value != same and value > 0 else None
        if change is None:
            continue
        then = solved.best_after(change)
        count += 1
        if _another(solved.result, then):
            return replace(walk, same=same, another=(value, then), solves=count, walked=True)
        same = value
    return replace(walk, same=same, solves=count, walked=True)


def _halved(solved: SolvedQuestions, walk: _Walk) -> _Walk:
    """The walk with its last step cut in two (by ratio)."""
    if walk.another is None or not walk.figure.halve:
        return walk
    middle = _value(walk.figure, math.sqrt(walk.same * walk.another[0]) / walk.figure.start)
    change = walk.figure.change(middle) if middle not in (walk.same, walk.another[0]) else None
    if change is None:
        return walk
    then = solved.best_after(change)
    if _another(solved.result, then):
        return replace(walk, another=(middle, then), solves=walk.solves + 1)
    return replace(walk, same=middle, solves=walk.solves + 1)


def _switching_point(solved: SolvedQuestions, walk: _Walk) -> SwitchingPoint:
    figure, status, other = walk.figure, "none", None
    changes: tuple[str, ...] = ()
    if not walk.walked:
        status = "not tried"
    elif not walk.solves:
        status = "no range"
    if walk.another is not None:
        other, then = walk.another
        status = "infeasible" if then is None else "changes"
        changes = () if then is None else differences(solved.result, then)
    return SwitchingPoint(
        figure.name,
        "up" if walk.up else "down",
        figure.unit,
        figure.start,
        walk.same,
        other,
        status,
        changes,
        walk.solves,
    )


def _another(result: SearchResult, then: SearchResult | None) -> bool:
    return then is None or bool(differences(result, then))


def _value(figure: Variable, factor: float) -> float:
    value = figure.start * factor
    return float(round(value)) if figure.whole else value


def _at_context(question: Question) -> Callable[[float], Change | None]:
    """Prompt and answer grow with the context; None beyond the model's positions."""
    work = question.workload

    def change(value: float) -> Change | None:
        context = int(value)
        isl, osl = (max(1, context * part // work.context) for part in (work.isl, work.osl))
        if context > question.spec.max_context or isl + osl > context:
            return None
        new = replace(work, context=context, isl=isl, osl=osl)
        return lambda q: replace(q, workload=new)

    return change


def _at_batch(result: SearchResult, value: float) -> Change | None:
    """A whole number of sequences for every rank of the plan's layout."""
    pts, c = result.space.pts, result.candidate
    each = int(pts.dp[c] * pts.pp[c])
    batch = max(1, round(value / each)) * each
    return (
        None if batch == batch_of(result) else lambda q: replace(q, batch=batch, concurrency=None)
    )


def _at_memory(value: float) -> Change:
    def change(q: Question) -> Question:
        scale = value / q.usable_bytes
        given = None if q.memory_bytes is None else int(q.memory_bytes * scale)
        return replace(q, usable_bytes=int(value), memory_bytes=given)

    return change


def _at_bandwidth(value: float) -> Change:
    def change(q: Question) -> Question:
        rate = replace(q.device.bandwidth_bytes_per_s, value=value)
        return replace(q, device=replace(q.device, bandwidth_bytes_per_s=rate))

    return change


def _at_devices(question: Question) -> Callable[[float], Change | None]:
    def change(value: float) -> Change | None:
        count = int(value)
        if not 1 <= count <= question.net.reach():
            return None
        return lambda q: replace(q, sizes=(count,))

    return change


def nearest_switch(points: Sequence[SwitchingPoint]) -> SwitchingPoint | None:
    """The smallest relative change of all that changes the plan."""
    changing = [t for t in points if t.other is not None]
    return min(changing, key=lambda t: abs(math.log((t.other or t.start) / t.start)), default=None)
