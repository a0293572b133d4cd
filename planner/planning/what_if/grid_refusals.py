"""What a position of a grid without a plan says: the limit that excludes every plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from planner.planning.infeasible.binding_limit import limited
from planner.planning.infeasible.conflicting_limits import all_without, limits_of
from planner.planning.infeasible.feasible import ILLEGAL, any_plan, least_memory
from planner.planning.question.question import Question
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.candidates import possible_layouts
from planner.planning.space.memory import budget
from planner.planning.space.model import build_model
from planner.planning.what_if.grid import InfeasiblePoint, Loss
from planner.quality.prior import load_prior

Given = tuple[float | None, Loss | None]
"""Limits on TPOT and loss that hold."""


@dataclass
class Refusals:
    """Refusals of the same questions under several limits, in the order of
    :mod:`planner.planning.infeasible.diagnose`. ``result_at`` answers positions by the places of
    their limits: what it knows need not be searched for again."""

    questions: Sequence[Question]
    tpots: Sequence[float | None]
    losses: Sequence[Loss]
    result_at: Callable[[tuple[int, int]], SearchResult | None]
    _known: dict[tuple[object, ...], bool] = field(default_factory=dict)

    def point(self, tpot: float | None, loss: Loss) -> InfeasiblePoint:
        """The refusal under two limits."""
        if self._whatever is not None:
            return self._whatever
        return InfeasiblePoint("+".join(self._at_odds(tpot, loss)) or "memory")

    @cached_property
    def _whatever(self) -> InfeasiblePoint | None:
        return refused_whatever(self.questions)

    def _at_odds(self, tpot: float | None, loss: Loss) -> list[str]:
        """Limits that no plan keeps together: the deletion filter of
        :mod:`planner.planning.infeasible.conflicting_limits`."""
        questions = [
            replace(q, tpot_seconds=tpot, loss_scheme=loss[0], loss_limit=loss[1])
            for q in self.questions
        ]
        names = list(limits_of(build_model(questions[0], load_prior())))
        left = list(names)
        for name in names:
            fewer = [other for other in left if other != name]
            gone = tuple(other for other in names if other not in fewer)
            if not self._possible(questions, gone, tpot, loss):
                left = fewer
        return left

    def _possible(
        self, questions: Sequence[Question], gone: tuple[str, ...], tpot: float | None, loss: Loss
    ) -> bool:
        """Whether there is a plan without the limits ``gone``."""
        key = (
            tuple(name for name in gone if name not in ("tpot", "max-loss")),
            None if "tpot" in gone else tpot,
            None if "max-loss" in gone else loss,
        )
        if key not in self._known:
            known = self._known_from_grid(gone, tpot, loss)
            self._known[key] = any_plan(all_without(questions, gone)) if known is None else known
        return self._known[key]

    def _known_from_grid(
        self, gone: tuple[str, ...], tpot: float | None, loss: Loss
    ) -> bool | None:
        """What positions of the grid tell of it; None: nothing."""
        if gone == ("tpot",) and None in self.tpots:
            return self.result_at((self.tpots.index(None), self.losses.index(loss))) is not None
        if gone == ("max-loss",):
            at = self.tpots.index(tpot)
            if any(self.result_at((at, i)) is not None for i in range(len(self.losses))):
                return True
        return None


def refused_whatever(questions: Sequence[Question]) -> InfeasiblePoint | None:
    """The refusal of questions whatever their limits on TPOT and loss are; None where these
    decide."""
    first = questions[0]
    least = least_memory(questions)
    if least is None:
        placed = any(possible_layouts(replace(q, batch=None, concurrency=None)) for q in questions)
        return InfeasiblePoint("batch" if placed else "layout")
    if least.total >= ILLEGAL:
        return InfeasiblePoint("schemes")
    if least.total <= budget(first):
        return None
    given = limited(first, least.total)
    return InfeasiblePoint(
        "memory-bytes" if given else "memory",
        least.total,
        budget(first) if given else first.usable_bytes,
    )
