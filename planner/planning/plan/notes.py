"""Notes in the words of plan files."""

from __future__ import annotations

from planner.messages.message import Note
from planner.messages.words import english
from planner.planning.plan.record import Assumption


def written(note: Note) -> Assumption:
    """A note as a plan file has it: its messages in English."""
    return Assumption(note.key, english(note.value), english(note.reason))
