"""Positions of a grid that keep formats: those of a plan, or one scheme everywhere.

Nothing is searched: bytes, times and loops of the formats on every layout and batch are arrays, and
under each limit on TPOT the best that keeps it is taken, at the batch that keeps it in the closed
loop. Layouts are the conventional ones of the plan's engine, unless the plan was searched over all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.planning.inspect.assignment import plan_segments
from planner.planning.plan.record import Plan, UnitPlan
from planner.planning.question.named import RELEASED
from planner.planning.question.question import RATES, Question
from planner.planning.question.time_limits import LIMITS
from planner.planning.search.formulate import loss_limit
from planner.planning.search.mode_search import mode_spaces
from planner.planning.search.served_batch import ServedCandidate, served_candidate
from planner.planning.search.spaces import with_question
from planner.planning.search.uniform import (
    PlacedUniform,
    placed_choices,
    uniform_choice,
    uniform_loss,
)
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.printed_loss import equal_up_to
from planner.planning.what_if.grid import InfeasiblePoint, Loss, Point
from planner.planning.what_if.grid_axes import AS_RELEASED, OWN
from planner.planning.what_if.grid_points import point_at
from planner.planning.what_if.grid_refusals import refused_whatever
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE

Int = NDArray[np.int64]
TRIES = 4
"""Ways to serve, in the order of what the arrays say of them, whose loop is tried."""


@dataclass(frozen=True)
class KeptFormats:
    """Formats that a place keeps: weights in ``scheme`` and the cache in ``kv``, each that of
    ``plan`` where it is OWN."""

    plan: Plan
    scheme: str
    kv: str

    def narrowed(self, questions: Sequence[Question], *, exact: bool) -> list[Question]:
        """The ways to serve that have these formats, with no other choices; each once.
        ``exact``: over all layouts, not over what is conventional alone."""
        kept: list[Question] = []
        for question in questions:
            one = next(self._able(question), None)
            if one is None:
                continue
            if not exact and one.engine != ANY_ENGINE and not one.allow_unmeasured:
                one = replace(one, conventional=True)
            if one not in kept:
                kept.append(one)
        return kept

    def _able(self, question: Question) -> Iterator[Question]:
        """The question with as few choices as the formats need: layers apart where they differ."""
        for one in self._narrower(question):
            if one.schemes and one.kv:
                model = build_model(one, load_prior())
                if self.choice(model) is not None:
                    yield one

    def _narrower(self, question: Question) -> Iterator[Question]:
        units = self._units
        own = {u.scheme for u in units if u.kv_layout is None}
        schemes = own if self.scheme == OWN else {self.scheme}
        caches = {u.kv_layout for u in units}
        question = replace(question, notes=(), chosen_from=())
        narrow = replace(
            question,
            schemes=tuple(s for s in question.schemes if s in schemes),
            kv=tuple(name for name in question.kv if name in caches),
        )
        yield narrow
        if self.scheme != OWN:  # what stands in for a scheme, or what modules are released in
            yield replace(question, kv=narrow.kv)
        elif not question.untie:
            yield replace(narrow, untie=True)

    @cached_property
    def _units(self) -> tuple[UnitPlan, ...]:
        """The plan's units with the caches that are kept."""
        if self.kv == OWN:
            return self.plan.units
        return tuple(
            u if u.kv_layout is None else replace(u, scheme=self.kv, kv_layout=self.kv)
            for u in self.plan.units
        )

    def choice(self, model: CostModel) -> Int | None:
        """The choice of every unit [U] (-1 as released); None where one cannot take it, or where
        layers of one unit differ."""
        if self.scheme != OWN:
            name = RELEASED if self.scheme == AS_RELEASED else self.scheme
            kv = self._most_layers(model.question)
            return uniform_choice(model, name, kv) if kv in model.question.kv else None
        try:
            segments = plan_segments(model, replace(self.plan, units=self._units))
        except InputError:
            return None
        if len(segments) != len(model.units):
            return None
        return np.array([s.choice for s in sorted(segments, key=lambda s: s.unit)], np.int64)

    def _most_layers(self, question: Question) -> str:
        """The cache layout of most layers."""
        layers: dict[str, int] = {}
        for unit in self._units:
            if unit.kv_layout in question.kv:
                layers[unit.kv_layout] = layers.get(unit.kv_layout, 0) + len(unit.layers)
        return max(layers, key=lambda name: layers[name], default="")


class KeptAnswers:
    """The answers of ``formats`` to ``questions``, the ways to serve that have them, under each
    limit on TPOT [s] and on loss; those at the places ``free`` exclude none."""

    def __init__(
        self,
        formats: KeptFormats,
        questions: Sequence[Question],
        tpots: Sequence[float | None],
        losses: Sequence[Loss],
        free: Collection[int],
    ) -> None:
        self._formats, self._questions = formats, questions
        self._tpots, self._losses, self._free = tpots, losses, free

    def points(self) -> list[Point]:
        """Every point in the order TPOT, loss."""
        count = len(self._tpots) * len(self._losses)
        if not self._questions:
            return [InfeasiblePoint("schemes")] * count
        refused = refused_whatever(self._questions)
        if refused is not None:
            return [refused] * count
        lossy = InfeasiblePoint("max-loss")
        return [
            point if kept else lossy for point in self._by_tpot() for kept in self._keep_the_limit
        ]

    @cached_property
    def _models(self) -> list[CostModel]:
        return [build_model(question, load_prior()) for question in self._questions]

    @cached_property
    def _ways(self) -> list[tuple[Space, Int]]:
        """The layouts and batches of each way to serve that has any, with the units' choices."""
        return [
            (space, choice)
            for space in mode_spaces(self._models)
            if (choice := self._formats.choice(space.model)) is not None
        ]

    @cached_property
    def _keep_the_limit(self) -> list[bool]:
        """Whether the formats keep each limit on loss, or cannot be told from it."""
        model = self._models[0]
        choice = self._formats.choice(model)
        assert choice is not None
        loss = uniform_loss(model, choice)

        def keeps(at: int) -> bool:
            name, nats = self._losses[at]
            limit = loss_limit(
                model.with_question(replace(model.question, loss_scheme=name, loss_limit=nats))
            )
            return at in self._free or limit is None or loss <= equal_up_to(model, limit)

        return [keeps(at) for at in range(len(self._losses))]

    def _by_tpot(self) -> list[Point]:
        """The best under each limit on TPOT, all refined together."""
        asked = [
            (with_question(space, tpot_seconds=tpot), choice)
            for tpot in self._tpots
            for space, choice in self._ways
        ]
        placed, ways = placed_choices(asked), len(self._ways)
        made: dict[tuple[object, ...], Point] = {}
        points: list[Point] = []
        before: ServedCandidate | None = None
        for n in reversed(range(len(self._tpots))):  # from strict to loose
            served = _best_served(placed[n * ways : (n + 1) * ways])
            if before is not None and (served is None or _value(before) < _value(served)):
                served = before  # what keeps a stricter limit keeps this one
            before = served
            if served is None:
                points.append(InfeasiblePoint("+".join(self._broken(self._tpots[n]))))
                continue
            question = served.space.model.question
            key = served.priced.layout, served.slot, question.container, question.routes
            if key not in made:
                made[key] = point_at(served.space, served.c, served.segments)
            points.append(made[key])
        return points[::-1]

    def _broken(self, tpot: float | None) -> list[str]:
        """Limits on time that these formats do not keep together: none can be left out."""
        left = list(replace(self._questions[0], tpot_seconds=tpot).time_limits)
        for name in list(left):
            fewer = [other for other in left if other != name]
            gone = {LIMITS[other]: None for other in LIMITS if other not in fewer}
            freed = [
                (with_question(space, **({"tpot_seconds": tpot} | gone)), choice)
                for space, choice in self._ways
            ]
            if _best_served(placed_choices(freed)) is None:
                left = fewer
        return left


def _value(served: ServedCandidate) -> float:
    """The objective in the loop; less is better."""
    priced, question = served.priced, served.space.model.question
    if question.objective in RATES:
        return priced.layout.ranks / priced.rate
    return float(priced.fullest.total) if question.objective == "memory" else priced.tpot


def _best_served(placed: Sequence[PlacedUniform | None]) -> ServedCandidate | None:
    """The best of some ways at the batch that keeps its limits; None where none does."""
    found = [at for at in placed if at is not None]
    for at in sorted(found, key=lambda at: at.score)[:TRIES]:
        served = served_candidate(at.space, at.candidate, at.segments)
        if served is not None:
            return served
    return None
