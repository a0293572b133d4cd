"""A question with tokens drafted: whether its engine verifies them, and whether vocabularies agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from planner.errors import InputError, UnsupportedError
from planner.memory.engines.catalog import Engine, engine_names, parse_engine
from planner.planning.engines.rules import Cell
from planner.planning.engines.speculation import VOCABULARY_SLACK, speculation_rule
from planner.planning.question.question import Question
from planner.planning.question.serving_ways import engine_of
from planner.planning.question.speculation import DRAFT_MODEL, Speculation


def drafted(questions: Iterable[Question], option: Speculation) -> tuple[Question, ...]:
    """Those of the questions whose engine verifies what ``option`` drafts, with it.

    Raises:
        UnsupportedError: none does; the message gives the reasons.
        InputError: the draft model has another vocabulary.
    """
    found, against = [], {}
    for question in questions:
        engine = engine_of(question)
        cell = None if engine is None else _refusal(question, engine, option)
        problem = _vocabulary(question, option)
        if cell is None and not problem:
            found.append(replace(question, speculation=option))
        else:
            label = "theory" if engine is None else engine.label
            against[label] = problem or (cell.reason if cell is not None else "")
            asked = question
    if found:
        return tuple(found)
    if all(_vocabulary(question, option) for question in questions) and against:
        raise InputError(next(iter(against.values())),
                         hint="name a smaller model of the same family: `plan models` lists them")
    raise UnsupportedError(
        f"{option.kind}: " + "; ".join(f"{label}: {why}" for label, why in against.items()),
        hint=_serving(asked, option))


def _refusal(question: Question, engine: Engine, option: Speculation) -> Cell | None:
    cell = speculation_rule(engine, question.device, option.kind).cell
    return None if cell.status == "supported" else cell


def _vocabulary(question: Question, option: Speculation) -> str:
    """Why the tokens of a draft model are not those of the model; empty where they are."""
    if option.kind != DRAFT_MODEL:
        return ""
    theirs, ours = option.draft.vocab_size, question.spec.vocab_size
    if abs(theirs - ours) <= VOCABULARY_SLACK.get(question.engine, 0):
        return ""
    return f"{option.name} has a vocabulary of {theirs:,} tokens, {question.spec.id} one of " \
           f"{ours:,}"


def _serving(question: Question, option: Speculation) -> str:
    """What would do: engines that verify it on the device, else to draft nothing."""
    names = [name for name in engine_names() if speculation_rule(
        parse_engine(name), question.device, option.kind).cell.status == "supported"]
    return f"--engine {names[0]}, or --speculation none" if names else "--speculation none"
