"""A question with what was measured here: the runs that `plan learn` kept, as corrections of the
law, and notes that say so."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from planner.hardware.learned_runs import KeptRuns, kept_runs
from planner.messages.message import Note, Text, joined, message
from planner.models.spec import ModelSpec
from planner.planning.plan.record import Assumption
from planner.planning.question.corrections import (
    METRICS,
    Correction,
    corrections_of,
    runs_for,
)
from planner.planning.question.question import Question
from planner.throughput.attended import model_class

KEY, DAMAGED = "measured here", "learned runs"
"""The assumptions that tell corrections, and files that are none."""
Z80 = 1.2815515655446004
_ID = re.compile(r"\b[0-9a-f]{10}\b")


def model_key(spec: ModelSpec) -> str:
    """What tells models apart here: kinds, layers and shapes, whatever they are stored in."""
    from planner.quality.profile import structure_sha256

    return structure_sha256(spec)[:16]


def with_learned(
    question: Question, *, only: Collection[str] = (), kept: KeptRuns | None = None
) -> Question:
    """``question`` with what was measured here of its device, engine and class of model: of what is
    ``kept`` (None: in the user's folder), ``only`` runs of these ids, where there are some."""
    kept = kept_runs() if kept is None else kept
    runs = runs_for(
        [run for run in kept.runs if not only or run.id in only],
        device=question.device.id,
        engine=question.engine,
        version=question.engine_version,
        model_class=model_class(question.spec),
    )
    corrections = corrections_of(runs, model_key(question.spec)) if runs else ()
    notes = [Note(DAMAGED, text, message("assumptions.learned_damaged")) for text in kept.damaged]
    if corrections:
        notes.append(
            Note(
                KEY,
                joined([correction_text(c) for c in corrections]),
                message("assumptions.measured_here_why"),
            )
        )
    if not notes:
        return question
    return replace(question, corrections=corrections, notes=(*question.notes, *notes))


def run_ids_in(notes: Iterable[Note | Assumption]) -> frozenset[str]:
    """The ids of runs that an answer says it rests on."""
    texts = [str(note.value) for note in notes if note.key == KEY]
    return frozenset(_ID.findall(" ".join(texts)))


def correction_text(correction: Correction) -> Text:
    """A correction in words: its factor with its 80 % interval, and what it rests on."""
    names: dict[str, str | float] = {
        "factor": f"{correction.factor:.3g}",
        "band": f"{math.exp(Z80 * correction.sigma):.2f}",
        "runs": ", ".join(correction.runs),
        "requests": correction.requests,
    }
    what = "steps" if METRICS[correction.operator] == "tpot" else "prompts"
    if not correction.others:
        return message(f"assumptions.{what}_measured_here", **names)
    others = ", ".join(correction.others)
    return message(f"assumptions.{what}_measured_on_others", others=others, **names)
