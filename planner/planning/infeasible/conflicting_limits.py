"""Limits that contradict each other: a smallest set that no plan satisfies in any way to serve.

Each limit is left out in turn and stays out where the rest is infeasible still (the deletion
filter: J. Chinneck and E. Dravnieks, ORSA Journal on Computing 3(2), 1991). What is left cannot be
made smaller: without any one of them a plan exists. The memory of the device always holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from planner.base.units import format_bytes, format_seconds
from planner.messages.message import Text, message
from planner.planning.infeasible.feasible import any_plan
from planner.planning.question.question import Question, with_time_limit
from planner.planning.search.formulate import loss_limit
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.printed_loss import limit_text
from planner.quality.prior import load_prior

_LIMITS = {
    "memory-bytes": "refusals.memory_bytes_x",
    "file-bytes": "refusals.file_bytes_x",
    "max-loss": "refusals.max_loss",
    "tpot": "refusals.tpot",
    "ttft": "refusals.ttft",
    "e2e": "refusals.e2e",
}
"""Ids of what is said of a limit."""


def limits_of(model: CostModel) -> dict[str, Text]:
    """The limits that the question sets: name → value, for people."""
    question = model.question
    out: dict[str, Text] = {}
    if question.memory_bytes is not None:
        out["memory-bytes"] = format_bytes(question.memory_bytes)
    if question.file_bytes is not None:
        out["file-bytes"] = format_bytes(question.file_bytes)
    out |= {name: format_seconds(seconds) for name, seconds in question.time_limits.items()}
    loss = loss_limit(model)
    if loss is not None:
        out["max-loss"] = question.loss_scheme or limit_text(model, loss)
    return out


def limit_words(name: str, value: Text) -> Text:
    """``max-loss fp8-block``: a limit with its value."""
    return message(_LIMITS[name], x=value)


def without(question: Question, name: str) -> Question:
    """The question without one limit."""
    if name == "max-loss":
        return replace(question, loss_scheme=None, loss_limit=None)
    if name == "memory-bytes":
        return replace(question, memory_bytes=None)
    if name == "file-bytes":
        return replace(question, file_bytes=None)
    return with_time_limit(question, name, None)


def all_without(questions: Iterable[Question], names: Iterable[str]) -> tuple[Question, ...]:
    """Every way without some limits."""
    out = tuple(questions)
    for name in names:
        out = tuple(without(question, name) for question in out)
    return out


def contradiction(questions: Sequence[Question]) -> tuple[str, ...]:
    """Names of a smallest contradictory set of the limits of all ways to serve, of which none has a
    plan; empty where the limits are not the reason."""
    names = list(limits_of(build_model(questions[0], load_prior())))
    for name in list(names):
        fewer = all_without(questions, [name])
        if not any_plan(fewer):
            questions = fewer
            names.remove(name)
    return tuple(names)


def contradictions(questions: Sequence[Question]) -> tuple[tuple[str, ...], ...]:
    """Smallest contradictory sets that share no limit, so many that without their limits there is
    a plan; empty where the limits are not the reason."""
    conflicting_sets: list[tuple[str, ...]] = []
    while not conflicting_sets or not any_plan(questions):
        names = contradiction(questions)
        if not names:
            break
        conflicting_sets.append(names)
        questions = all_without(questions, names)
    return tuple(reversed(conflicting_sets))
