"""A question with its answer, to be asked again with something changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from planner.planning.question.question import Question, improvement
from planner.planning.search.best_first import SearchResult
from planner.planning.search.equal_loss import best_result

Change = Callable[[Question], Question]


@dataclass(frozen=True)
class Answered:
    """Questions (one for every way to serve) with their best answer."""

    questions: tuple[Question, ...]
    found: SearchResult

    @property
    def objective(self) -> str:
        """What the questions ask for."""
        return self.found.space.model.question.objective

    def best_after(self, change: Change) -> SearchResult | None:
        """The best answer after ``change``."""
        return best_result([change(question) for question in self.questions])

    def gain(self, then: SearchResult | None) -> float:
        """How much better ``then`` is. Losses are compared at their least, before plans that are
        as good are told apart by pace."""
        if then is None:
            return 0.0
        if self.objective == "quality":
            return improvement("quality", self.found.bound, then.bound)
        return improvement(self.objective, self.found.value, then.value)
