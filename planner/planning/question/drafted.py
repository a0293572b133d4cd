"""A question with tokens drafted: whether its engine verifies them, whether vocabularies agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.errors import InputError, UnsupportedError
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.messages.message import Text, joined, message, with_name
from planner.planning.engines.speculation import VOCABULARY_SLACK, speculation_rule
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.question import Question
from planner.planning.question.speculation import DRAFT_MODEL, Speculation


def with_drafts(questions: Sequence[Question], option: Speculation) -> tuple[Question, ...]:
    """Those of the questions whose engine verifies what ``option`` drafts, with it.

    Raises:
        UnsupportedError: none does; the message gives the reasons.
        InputError: the draft model has another vocabulary.
    """
    against = [_problem(question, option) for question in questions]
    drafting = tuple(
        replace(question, speculation=option)
        for question, why in zip(questions, against, strict=True)
        if not why
    )
    if drafting:
        return drafting
    others = [_vocabulary(question, option) for question in questions]
    if all(others):
        raise InputError(others[0], hint=message("refusals.name_smaller_model"))
    reasons = dict.fromkeys(
        with_name(_label(question), why) for question, why in zip(questions, against, strict=True)
    )
    raise UnsupportedError(
        with_name(option.kind, joined([*reasons])), hint=_serving(questions[0], option)
    )


def _label(question: Question) -> str:
    engine = engine_of(question)
    return "theory" if engine is None else engine.label


def _problem(question: Question, option: Speculation) -> Text:
    """Why the question's engine does not verify what ``option`` drafts; empty where it does."""
    engine = engine_of(question)
    if engine is not None:
        cell = speculation_rule(engine, question.device, option.kind).cell
        if cell.status != "supported":
            return cell.reason
    return _vocabulary(question, option)


def _vocabulary(question: Question, option: Speculation) -> Text:
    """Why the tokens of a draft model are not those of the model; empty where they are."""
    if option.kind != DRAFT_MODEL:
        return ""
    theirs, ours = option.draft.vocab_size, question.spec.vocab_size
    if abs(theirs - ours) <= VOCABULARY_SLACK.get(question.engine, 0):
        return ""
    return message(
        "refusals.other_vocabulary",
        draft=option.name,
        theirs=f"{theirs:,}",
        m=question.spec.id,
        ours=f"{ours:,}",
    )


def _serving(question: Question, option: Speculation) -> str:
    """What would do: engines that verify it on the device, else to draft nothing."""
    names = [
        name
        for name in engine_names()
        if speculation_rule(parse_engine(name), question.device, option.kind).cell.status
        == "supported"
    ]
    return f"--engine {names[0]}, or --speculation none" if names else "--speculation none"
