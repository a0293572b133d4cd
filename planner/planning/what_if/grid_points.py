"""Positions of a grid that share requests, devices, batch and formats: what their limits on TPOT
and loss, cache layouts and engines make of them.

Each is the answer of the question that its flags ask, found by the same search. What is looser is
answered first: an answer that keeps a stricter limit as well is its answer too, and what has none
has none under a stricter one. So it is with ways to serve: the best of many is the best of some
that hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise, product
from typing import TypeVar

from planner.formats.schemes import scheme
from planner.placement.layout import Layout
from planner.placement.shards import module_bytes
from planner.planning.answer.capacity import most_at_requests
from planner.planning.answer.measured_anchor import measured_anchor
from planner.planning.answer.units import scheme_of
from planner.planning.plan.record import Plan
from planner.planning.price.intervals import performance
from planner.planning.price.price import RankBytes, cached_loss, price
from planner.planning.question.question import Question
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.engine_search import best_result
from planner.planning.search.first_token import keeps_ttft
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.mode_search import ServingModes, groups_of, mixed_question
from planner.planning.search.served_batch import at_served_batch
from planner.planning.search.spaces import with_question
from planner.planning.solver.problem import EQUAL, violation
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.printed_loss import quality
from planner.planning.what_if.grid import InfeasiblePoint, Loss, PlannedPoint, Point
from planner.planning.what_if.grid_refusals import Refusals
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE

Ways = tuple[Question, ...]
Name = tuple[str, str]
"""A cache layout and an engine, as their axes have them."""
Some = TypeVar("Some", bound="Answers")
Limits = tuple[int, int]
"""Places of a limit on TPOT and of one on loss."""
PROVED = 3 * EQUAL
"""Relative gap of an answer up to which nothing else is one: under limits that it keeps as well,
the search would end at it."""


class PlaceAnswers:
    """The answers at the places of a grid that differ in the cache layout alone.

    ``ways`` are the questions of each (cache layout, engine) of the axes (none: it cannot serve
    what is named), ``tpots`` seconds from loose to strict (None: no limit). Where a layout or an
    engine may be served in all ways of another, what is known of that one tells its answers.
    """

    def __init__(
        self, ways: Mapping[Name, Ways], tpots: Sequence[float | None], losses: Sequence[Loss]
    ) -> None:
        self._ways, self._tpots, self._losses = ways, tpots, losses
        self._made: dict[int, PlannedPoint | None] = {}
        self._single: list[OneEngine] = []
        self._best: list[BestEngine] = []
        parts = {name: _by_engine(own) for name, own in ways.items() if own}
        named = {name: self._one(own[0]) for name, own in parts.items() if len(own) == 1}
        self._answers: dict[Name, Answers] = {
            name: named.get(name)
            or self._several(
                name,
                own,
                [engine_answers for (kv, _), engine_answers in named.items() if kv == name[0]],
            )
            for name, own in parts.items()
        }

    def points(self, name: Name) -> list[Point]:
        """Every point of a cache layout and an engine, in the order TPOT, loss."""
        at = list(product(range(len(self._tpots)), range(len(self._losses))))
        return [self._point(name, limits) for limits in at]

    def _point(self, name: Name, at: Limits) -> Point:
        if not self._ways[name]:
            return InfeasiblePoint("engine")
        result = self._answers[name].result_at(at)
        if result is not None and id(result) not in self._made:
            self._made[id(result)] = planned_point(result)
        made = None if result is None else self._made[id(result)]
        if made is None:
            return self._answers[name].refusals.point(self._tpots[at[0]], self._losses[at[1]])
        return made

    def _one(self, questions: Ways) -> OneEngine:
        """What answers the questions of one engine: the same for the same questions."""
        own = _plain(questions)
        same = next(
            (
                engine_answers
                for engine_answers in self._single
                if len(engine_answers.questions) == len(own)
                and all(map(_same, _plain(engine_answers.questions), own))
            ),
            None,
        )
        if same is None:
            same = OneEngine(questions, self._tpots, self._losses, _wider(own, self._single))
            self._single.append(same)
        return same

    def _several(self, name: Name, parts: Sequence[Ways], named: Sequence[OneEngine]) -> BestEngine:
        """What answers a name that asks several engines; those of ``named`` are asked for
        anyway."""
        ways = self._ways[name]
        engines = [self._one(part) for part in parts]
        best = BestEngine(
            ways,
            self._tpots,
            self._losses,
            _wider(_plain(ways), self._best),
            engines=engines,
            named=[engine for engine in engines if any(engine is n for n in named)],
        )
        self._best.append(best)
        return best


def _by_engine(questions: Ways) -> list[Ways]:
    """The questions of each engine, in their order."""
    by_engine: dict[tuple[str, str], list[Question]] = {}
    for question in questions:
        by_engine.setdefault((question.engine, question.engine_version), []).append(question)
    return [tuple(own) for own in by_engine.values()]


def _plain(questions: Iterable[Question]) -> list[Question]:
    """The questions without limits on TPOT and loss, and without what is told of them."""
    return [
        replace(
            q,
            notes=(),
            chosen_from=(),
            kv_given=False,
            tpot_seconds=None,
            loss_scheme=None,
            loss_limit=None,
        )
        for q in questions
    ]


def _same(question: Question, other: Question) -> bool:
    """Whether two plain questions ask the same; what tells most apart is compared first."""
    return (question.kv, question.schemes, question.engine, question.engine_version) == (
        other.kv,
        other.schemes,
        other.engine,
        other.engine_version,
    ) and question == other


def _wider(own: Sequence[Question], known: Iterable[Some]) -> Some | None:
    """One of ``known`` whose ways hold all of ``own`` in their order, besides others."""
    for known_limits in known:
        others = iter(_plain(known_limits.questions))
        if all(any(_same(question, other) for other in others) for question in own):
            return known_limits
    return None


@dataclass
class Answers:
    """The answers of some questions under each pair of limits, as far as they were asked for."""

    questions: Ways
    tpots: Sequence[float | None]
    losses: Sequence[Loss]
    wider: Answers | None = None
    known: dict[Limits, SearchResult | None] = field(default_factory=dict)

    def result_at(self, at: Limits) -> SearchResult | None:
        """The answer under the limits ``at``, None where there is none."""
        if at not in self.known:
            wide = self.wider
            self.known[at] = (
                wide.known[at]
                if wide is not None and self._also_answers(wide, at)
                else self._search(at)
            )
        return self.known[at]

    def _also_answers(self, wide: Answers, at: Limits) -> bool:
        """Whether the answer in more ways is known, and is one in these ways too."""
        if at not in wide.known:
            return False
        result = wide.known[at]
        if result is None or not _is_optimum(result):
            return result is None
        (taken,) = _plain([result.space.model.question])
        return any(_same(taken, own) for own in _plain(self.questions))

    def _search(self, at: Limits) -> SearchResult | None:
        return best_result(self.limited(at))

    def limited(self, at: Limits) -> Ways:
        """The questions under the limits ``at``."""
        name, nats = self.losses[at[1]]
        return tuple(
            replace(q, tpot_seconds=self.tpots[at[0]], loss_scheme=name, loss_limit=nats)
            for q in self.questions
        )

    @cached_property
    def refusals(self) -> Refusals:
        """What positions without an answer say."""
        return Refusals(self.questions, self.tpots, self.losses, self.result_at)


class OneEngine(Answers):
    """The answers of one engine: each is looked for unless looser limits tell it."""

    @cached_property
    def _looser_loss(self) -> dict[int, int]:
        """The next looser limit on loss of each, where all ways agree which is looser."""
        limits = []
        for group in groups_of(self.questions):
            model = build_model(mixed_question(group), load_prior())
            limits.append([_limit(model, loss) for loss in self.losses])
        order = sorted(range(len(self.losses)), key=lambda i: -limits[0][i])
        return {
            strict: loose
            for loose, strict in pairwise(order)
            if all(own[loose] >= own[strict] for own in limits)
        }

    def _search(self, at: Limits) -> SearchResult | None:
        tpot, loss = at
        looser = [(tpot - 1, loss)] if tpot else []
        looser += [(tpot, self._looser_loss[loss])] if loss in self._looser_loss else []
        for place in looser:
            before = self.result_at(place)
            if before is None or self._keeps(before, at):
                return before
        return best_result(self.limited(at))

    def _keeps(self, result: SearchResult, at: Limits) -> bool:
        """Whether a proved answer keeps the stricter limits ``at``."""
        if not _is_optimum(result):
            return False
        name, nats = self.losses[at[1]]
        candidate = candidate_problem(
            with_question(
                result.space, tpot_seconds=self.tpots[at[0]], loss_scheme=name, loss_limit=nats
            ),
            result.candidate,
        )
        counts = result.solution.counts
        return violation(candidate.problem, counts) is None and keeps_ttft(candidate, counts)


def _is_optimum(result: SearchResult) -> bool:
    """Whether nothing else is an answer, so that it stays one among fewer."""
    question = result.space.model.question
    return (
        not question.untie
        and question.objective != "quality"
        and result.bound >= result.value * (1 - PROVED)
    )


def _limit(model: CostModel, loss: Loss) -> float:
    limit = loss_limit(
        model.with_question(replace(model.question, loss_scheme=loss[0], loss_limit=loss[1]))
    )
    return float("inf") if limit is None else limit


@dataclass
class BestEngine(Answers):
    """The best of several engines, the first of equals; those of ``named`` are asked for anyway,
    the others where they may be better."""

    engines: Sequence[OneEngine] = ()
    named: Sequence[OneEngine] = ()

    def _search(self, at: Limits) -> SearchResult | None:
        if self.questions[0].objective == "quality":
            return best_result(self.limited(at))
        results = {
            id(engine_answers): engine_answers.result_at(at) for engine_answers in self.named
        }
        for engine in self.engines:
            if id(engine) not in results:
                least = min((f.value for f in results.values() if f is not None), default=None)
                if least is None or _may_be(engine.limited(at), least * (1 + EQUAL)):
                    results[id(engine)] = engine.result_at(at)
        best: SearchResult | None = None
        for engine in self.engines:
            other = results.get(id(engine))
            if other is not None and (best is None or other.value < best.value * (1 - EQUAL)):
                best = other
        return best


def _may_be(questions: Ways, value: float) -> bool:
    """Whether some way may have a plan as good as ``value``."""
    wholes = map(ServingModes, groups_of(questions))
    return any(
        serving_modes.least <= value and bool(serving_modes.promising(serving_modes.group, value))
        for serving_modes in wholes
    )


def planned_point(answer: SearchResult) -> PlannedPoint | None:
    """The point of an answer at the batch that keeps its limits; None where none does."""
    result = at_served_batch(answer)
    if result is None:
        return None
    return point_at(result.space, result.candidate, result.segments)


def point_at(space: Space, candidate: int, segments: Sequence[Segment]) -> PlannedPoint:
    """The point of an assignment on a candidate, as it is."""
    model = space.model
    question = model.question
    priced = price(space, candidate, segments)
    replicas = question.replicas(priced.layout.ranks)
    engine = (
        ""
        if question.engine == ANY_ENGINE
        else f"{question.engine} {question.engine_version}".rstrip()
    )
    return PlannedPoint(
        priced.layout,
        replicas,
        priced.batch,
        performance(model, priced, replicas),
        replace(
            quality(model, priced.loss, cached=cached_loss(model, priced)),
            measured_anchor=measured_anchor(model, priced),
        ),
        priced.fullest,
        most_at_requests(model, priced),
        tuple(_format(model, segment) for segment in segments),
        engine,
    )


def point_of_plan(plan: Plan) -> PlannedPoint:
    """A plan as a position holds it."""
    memory, room = plan.memory_per_device, plan.capacity.max_concurrency_at_requests
    la = plan.layout
    return PlannedPoint(
        Layout(la.tp, la.dp, la.pp, la.ep),
        la.replicas,
        plan.workload.batch,
        plan.performance,
        plan.quality,
        RankBytes(
            memory.weights_bytes,
            memory.kv_cache_bytes,
            memory.activation_bytes,
            memory.runtime_bytes,
        ),
        plan.capacity.max_concurrency_at_context if room is None else room,
        tuple(
            (
                unit.kind,
                unit.layers,
                unit.kv_layout or unit.scheme,
                0 if unit.kv_layout else unit.weight_bytes,
            )
            for unit in plan.units
        ),
        ""
        if plan.engine.name == ANY_ENGINE
        else f"{plan.engine.name} {plan.engine.version or ''}".rstrip(),
    )


def _format(model: CostModel, segment: Segment) -> tuple[str, tuple[int, ...], str, int]:
    unit = model.units[segment.unit]
    name = scheme_of(model, unit.role, unit.row, segment.choice)[0]
    size = (
        0
        if unit.role == "cache"
        else segment.count
        * (
            model.released[unit.row].stored_bytes
            if unit.role == "released"
            else module_bytes(model.planned[unit.row], scheme(name))
        )
    )
    return unit.kind, segment.layers, name, size
