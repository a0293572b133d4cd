"""Notes as the assumptions of a plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from planner.messages.message import Note
from planner.planning.plan.record import Assumption, Plan


def written(notes: Iterable[Note]) -> tuple[Assumption, ...]:
    """``notes`` as a plan file has them."""
    return tuple(Assumption(*note) for note in notes)


def with_notes(plan: Plan, *notes: Note) -> Plan:
    """``plan`` with ``notes`` after its own."""
    return replace(plan, assumptions=(*plan.assumptions, *written(notes)))
