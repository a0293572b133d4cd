"""What an engine runs on the kernel of another scheme, a line each: scheme, kernel, device."""

from __future__ import annotations

from collections.abc import Sequence

from planner.messages.message import Note, message
from planner.planning.engines.routes import route_words
from planner.planning.engines.rules import kind_group, requantised
from planner.planning.plan.record import UnitPlan
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.question import Question


def route_notes(question: Question, units: Sequence[UnitPlan]) -> list[Note]:
    """A line for every scheme of ``units`` whose weights the question's engine widens although
    quantised activations are asked for; its time is that of the weight-only kernel."""
    engine = engine_of(question)
    if engine is None:
        return []
    used = {(kind_group(u.kind), u.scheme) for u in units if u.kv_layout is None}
    out = [
        route_words(engine, question.device, found, found.group)
        for found in question.routes
        if (found.group, found.asked) in used
    ]
    for name in sorted({scheme for _, scheme in used}):
        changed = requantised(engine, question.device, name)
        if changed is not None:
            out.append(Note(f"scales of {name}", message("assumptions.as_stored"), changed.reason))
    return out
