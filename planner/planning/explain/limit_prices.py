"""The price of every limit: the question solved again with the limit relaxed by a step, and
without it.

Every figure of ``gain`` and ``without`` is a real solve over all layouts and batches; ``at_layout``
comes from the dual values of the linear relaxation at the plan's own layout and batch, where
nothing but the formats can follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from planner.base.units import GIB
from planner.messages.message import message
from planner.planning.choose.uncertainty import served_score
from planner.planning.explain.records import LimitPrice
from planner.planning.price.price import Priced
from planner.planning.question.question import Question, improvement, with_time_limit
from planner.planning.search.engine_search import best_served
from planner.planning.search.formulate import loss_limit, single_problem
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import differences
from planner.planning.solver.duals import row_prices
from planner.planning.solver.problem import Problem
from planner.planning.solver.solve import LAYERS_GAP
from planner.planning.space.losses import saturated_loss
from planner.planning.space.model import CostModel

SMALLEST = 1e-6
"""Relative gains below this are rounding."""


Change = Callable[[Question], Question]


@dataclass(frozen=True)
class SolvedQuestions:
    """Questions (one for every way to serve) with their best answer."""

    questions: tuple[Question, ...]
    result: SearchResult

    @property
    def objective(self) -> str:
        """What the questions ask for."""
        return self.result.space.model.question.objective

    def best_after(self, change: Change) -> SearchResult | None:
        """The best answer after ``change``, at the batch that its limits are kept at."""
        return best_served([change(question) for question in self.questions])

    @cached_property
    def value(self) -> float:
        """The objective of the answer as it is served."""
        return _served(self.result)

    def gain(self, then: SearchResult | None) -> float:
        """How much better ``then`` is as it is served. Losses are compared at their least, before
        plans that are as good are told apart by pace."""
        if then is None:
            return 0.0
        if self.objective == "quality":
            least = [saturated_loss(r.space.model, r.bound) for r in (self.result, then)]
            return improvement("quality", *least)
        return improvement(self.objective, self.value, _served(then))


def _served(result: SearchResult) -> float:
    """The objective of an answer as it is served."""
    return served_score(result.space, result.candidate, result.segments)


@dataclass(frozen=True)
class _Limit:
    """A limit before it is priced; ``step`` of 0: it cannot be moved by a step."""

    name: str
    value: float
    unit: str
    used: float
    origin: str
    step: float
    relaxed: Change
    removed: str
    without: Change


def limit_prices(solved: SolvedQuestions, priced: Priced) -> tuple[tuple[LimitPrice, ...], int]:
    """(the limits, those that cost most a step first; solves)."""
    result = solved.result
    noise = SMALLEST if result.space.model.question.profile is None else 2 * LAYERS_GAP
    out = []
    solves = 0
    for limit in _limits(result, priced):
        relaxed = solved.best_after(limit.relaxed)
        free = solved.best_after(limit.without)
        solves += 2
        gain, without = (_rounded(solved.gain(other), noise) for other in (relaxed, free))
        then = relaxed if gain > 0 else free
        out.append(
            LimitPrice(
                limit.name,
                limit.value,
                limit.unit,
                limit.used,
                limit.origin,
                limit.step,
                gain,
                _at_layout(result, limit),
                limit.removed,
                max(gain, without),
                None,
                gain > 0,
                differences(result, then) if then is not None and (gain > 0 or without > 0) else (),
            )
        )
    return _in_loss(sorted(out, key=lambda p: (-p.gain, -p.without))), solves


def binding(prices: tuple[LimitPrice, ...]) -> str:
    """Which limits bind at a step, dearest first, for people."""
    names = [p.name for p in prices if p.binding]
    if names:
        return ", ".join(names)
    dearest = max(prices, key=lambda p: p.without, default=None)
    if dearest is None or dearest.without <= 0:
        return message("verbs.no_limit_costs")
    return message("verbs.none_by_a_step", name=dearest.name)


def _rounded(gain: float, noise: float = SMALLEST) -> float:
    """A gain, 0 where it may be the solver's gap."""
    return float(f"{gain:.6g}") if gain > noise else 0.0


def _in_loss(prices: list[LimitPrice]) -> tuple[LimitPrice, ...]:
    """With what a step is worth in loss, where the limit on loss has a price."""
    loss = next((p for p in prices if p.name == "max-loss" and p.gain > 0), None)
    if loss is None:
        return tuple(prices)
    each = loss.gain / loss.step
    return tuple(replace(p, loss=p.gain / each) for p in prices)


def tidy_step(value: float) -> float:
    """A round step of 1 to 10 % of a value."""
    return 10.0 ** math.floor(math.log10(value) + 1e-9) / 10


def _limits(result: SearchResult, priced: Priced) -> list[_Limit]:
    question = result.space.model.question
    out = [_memory(question, priced), _devices(question, priced)]
    if (limit := loss_limit(result.space.model)) is not None:
        out.append(_loss(result.space.model, limit, priced))
    used = question.limited_times(priced.ttft, priced.tpot)
    for name, seconds in question.time_limits.items():
        origin = "default" if name == "tpot" and question.tpot_default else "given"
        out.append(_time(name, seconds, used[name], origin))
    if question.kept:
        out.append(
            _Limit(
                "kept layers",
                len(question.kept),
                "layers",
                len(question.kept),
                "scenario",
                0.0,
                lambda q: q,
                "dropped",
                lambda q: replace(q, kept=()),
            )
        )
    return [set_limit for set_limit in out if set_limit is not None]


def more_memory(question: Question, extra: float) -> Question:
    """The question with ``extra`` more bytes a device, in the device and in a given limit."""
    given = question.memory_bytes
    return replace(
        question,
        usable_bytes=question.usable_bytes + int(extra),
        memory_bytes=None if given is None else given + int(extra),
    )


def _memory(question: Question, priced: Priced) -> _Limit:
    given = question.memory_bytes
    limit = question.usable_bytes if given is None else min(given, question.usable_bytes)
    step = GIB if limit >= 16 * GIB else GIB // 8
    return _Limit(
        "memory",
        limit,
        "bytes a device",
        priced.fullest.total,
        "usable" if given is None or given >= question.usable_bytes else "given",
        step,
        lambda q: more_memory(q, step),
        "doubled",
        lambda q: more_memory(q, limit),
    )


def _devices(question: Question, priced: Priced) -> _Limit | None:
    count = max(question.sizes)
    if 2 * count > question.net.reach():
        return None
    used = priced.layout.ranks * question.replicas(priced.layout.ranks)

    def doubled(q: Question) -> Question:
        sizes = (2 * count,) if q.devices_given else (*q.sizes, 2 * count)
        return replace(q, sizes=sizes)

    return _Limit(
        "devices",
        count,
        "devices",
        used,
        "given" if question.devices_given else "most searched",
        count,
        doubled,
        "doubled",
        doubled,
    )


def _loss(model: CostModel, limit: float, priced: Priced) -> _Limit:
    """Told as plans tell losses; the step is one of the sum over units, which is the same below the
    losses that no longer add up."""
    step = tidy_step(limit) if limit > 0 else 0.1
    return _Limit(
        "max-loss",
        saturated_loss(model, limit),
        "loss",
        saturated_loss(model, priced.loss),
        model.question.loss_scheme or "given",
        step,
        with_loss(limit + step),
        "removed",
        lambda q: replace(q, loss_scheme=None, loss_limit=None),
    )


def with_loss(limit: float) -> Change:
    """The question under another limit on loss."""
    return lambda q: replace(q, loss_scheme=None, loss_limit=limit)


def _time(name: str, seconds: float, used: float, origin: str) -> _Limit:
    step = tidy_step(seconds)
    return _Limit(
        name,
        seconds,
        "s",
        used,
        origin,
        step,
        with_time(name, seconds + step),
        "removed",
        with_time(name, None),
    )


def with_time(name: str, seconds: float | None) -> Change:
    """The question under another limit on time."""
    return lambda question: with_time_limit(question, name, seconds)


def _at_layout(result: SearchResult, limit: _Limit) -> float | None:
    """The gain of a step by the dual values at the plan's layout and batch: how far the limits of
    its rows move, times what a unit of each is worth."""
    model = result.space.model
    if limit.name in ("devices", "kept layers", "ttft", "e2e") or model.question.untie:
        return None
    moved = replace(result.space, model=replace(model, question=limit.relaxed(model.question)))
    now, then = (single_problem(space, result.candidate) for space in (result.space, moved))
    worth = row_prices(now)
    if worth is None:
        return None
    change = sum(
        float(each) * (b.limit - a.limit)
        for each, a, b in zip(worth, now.rows, then.rows, strict=True)
    )
    return _rounded(
        improvement(model.question.objective, result.value, max(result.value - change, _floor(now)))
    )


def _floor(problem: Problem) -> float:
    """No price can lower the objective below what no limit at all would leave."""
    cost = np.where(problem.legal, problem.objective, np.inf)
    return float((cost.min(axis=1) * problem.multiplicity).sum() + problem.constant)
