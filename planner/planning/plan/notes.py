"""Notes in the words of plan files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from planner.messages.message import Note
from planner.messages.words import english
from planner.planning.plan.record import Assumption, Plan


def written(notes: Iterable[Note]) -> tuple[Assumption, ...]:
    """``notes`` as a plan file has them: their messages in English."""
    return tuple(Assumption(note.key, english(note.value), english(note.reason)) for note in notes)


def with_notes(plan: Plan, *notes: Note) -> Plan:
    """``plan`` with ``notes`` after its own."""
    return replace(plan, assumptions=(*plan.assumptions, *written(notes)))
