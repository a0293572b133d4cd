"""A question without a plan, and the same question with something changed, asked as a user would.

A state names what is changed: a flag to its new value, or to LOOSE where it does not hold at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Protocol

from planner.base.errors import PlannerError
from planner.base.records import record
from planner.messages.message import Text
from planner.planning.question import time_limits
from planner.planning.question.defaults import default_of, without_default_limit
from planner.planning.question.given_values import NO_LIMIT, GivenValues
from planner.planning.question.input import QuestionInput
from planner.planning.question.machine import MAX_DEVICES
from planner.planning.question.question import Question

Again = Callable[[Mapping[str, Any]], Sequence[Question]]
"""The ways to serve the question with some parameters changed, by the names of the Python API."""
State = Mapping[str, Any]
LIMITS = {
    "memory_bytes": "memory-bytes",
    "file_bytes": "file-bytes",
    **{parameter: name for name, parameter in time_limits.LIMITS.items()},
    "max_loss": "max-loss",
}
"""Parameters that limit a plan, and their names in messages."""


class _Loose:
    """That a limit, the batch or the number of devices is left open."""


LOOSE = _Loose()


@record
class Unserved:
    """``questions``: all ways to serve it, none with a plan. ``given``: what was asked, with what
    the scenario fills in; ``typed``: without. ``searched``: schemes are chosen from, else one holds
    everywhere."""

    questions: Sequence[Question]
    again: Again
    given: Mapping[str, Any]
    typed: Mapping[str, Any]
    searched: bool = True

    @property
    def first(self) -> Question:
        return self.questions[0]

    def at(self, state: State) -> tuple[Question, ...]:
        """All ways to serve the question in a state; none where it cannot be asked."""
        flags = {name: value for name, value in state.items() if value is not LOOSE}
        loose = [name for name, value in state.items() if value is LOOSE]
        try:
            questions = self.again(flags) if flags else self.questions
        except PlannerError:
            return ()
        return tuple(_loosened(question, loose) for question in questions)


def unserved_case(
    inputs: QuestionInput,
    ways: Callable[[QuestionInput, GivenValues], Sequence[Question]] = QuestionInput.questions,
    given_values: GivenValues | None = None,
    *,
    complete: bool = True,
) -> Unserved:
    """A question with all its ways to serve, and how to ask it again with other values;
    ``complete``: its schemes are chosen."""
    mine = given_values if given_values is not None else inputs.given_values
    loaded = inputs.loaded_scenario
    mine = without_default_limit(mine, default_of(mine.with_scenario(loaded), inputs.subject[1]))
    if complete and mine.with_scenario(loaded).max_loss is None:
        mine = replace(mine, max_loss=NO_LIMIT)  # a preference, which refuses nothing
    names = {f.name for f in fields(GivenValues)}

    def ways_of(inputs: QuestionInput, values: GivenValues) -> tuple[Question, ...]:
        return tuple(_on_all_sizes(question) for question in ways(inputs, values))

    def again(changes: Mapping[str, Any]) -> Sequence[Question]:
        changed = replace(inputs, **{k: v for k, v in changes.items() if k not in names})
        return ways_of(changed, replace(mine, **{k: v for k, v in changes.items() if k in names}))

    full = mine.with_scenario(loaded)
    given, typed = (
        {f.name: getattr(values, f.name) for f in fields(GivenValues)} for values in (full, mine)
    )
    for name in ("isl", "osl"):
        if given[name] is None and full.workload is not None:
            given[name] = getattr(full.workload, name)
    questions = ways_of(inputs, mine)
    if not complete and given["kv"] is None:
        given["kv"] = questions[0].kv[0]
    return Unserved(questions, again, given, typed, complete)


def _on_all_sizes(question: Question) -> Question:
    """The question on every number of devices that is tried."""
    if not question.more_sizes:
        return question
    return replace(question, sizes=question.more_sizes, more_sizes=())


def _loosened(question: Question, names: Sequence[str]) -> Question:
    from planner.planning.infeasible.conflicting_limits import without  # needed by refusals alone

    for name in names:
        if name == "devices":
            question = replace(
                question, sizes=tuple(range(1, MAX_DEVICES + 1)), devices_given=False
            )
        elif name in ("batch", "concurrency"):
            question = replace(question, batch=None, concurrency=None)
        else:
            question = without(question, LIMITS[name])
    return question


@record
class Remedy:
    """What to change, and the words that say it with the flags to type."""

    state: State
    text: Text


class RemedyKind(Protocol):
    """A kind of change. ``loosest`` is the state in which it helps most."""

    @property
    def loosest(self) -> State: ...

    def nearest(self, state: State) -> Remedy | None:
        """The smallest change with which there is a plan in the state ``state``."""
