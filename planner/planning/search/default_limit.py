"""The default limit on TPOT is dropped where no layout reaches it, and the answer says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.planning.price.price import price
from planner.planning.question.asked import DROPPED_KEY, TPOT_KEY
from planner.planning.question.defaults import TPOT_NOTE
from planner.planning.question.question import Question
from planner.planning.search.best_first import Found
from planner.planning.search.equal_loss import best_answers
from planner.planning.search.variants import best_of
from planner.planning.space.candidates import Space
from planner.units import format_seconds


def answers(questions: Sequence[Question],
            ) -> tuple[Found | None, Sequence[Space], tuple[Question, ...]]:
    """(the answer to take, the candidates of the questions with other choices, the questions that
    it answers: without the default limit on TPOT where nothing keeps it)."""
    found, others = best_answers(questions)
    if found is not None or not questions[0].tpot_default:
        return found, others, tuple(questions)
    free = dropped(questions)
    return (*best_answers(free), free)


def dropped(questions: Sequence[Question]) -> tuple[Question, ...]:
    """The questions without the default limit, which none keeps; a note tells the fastest."""
    free = [replace(q, tpot_seconds=None, tpot_default=False) for q in questions]
    best = best_of([replace(q, objective="latency") for q in free], settle=False)
    fastest = "none fits" if best is None else "fastest TPOT " + format_seconds(
        price(best.space, best.candidate, best.segments).tpot)
    note = (DROPPED_KEY, fastest, f"no layout keeps the default of {TPOT_NOTE[1]} within the other "
            "limits: planned without a limit on TPOT; --tpot-ms sets one")
    return tuple(replace(q, notes=(*(n for n in q.notes if n[0] != TPOT_KEY), note))
                 for q in free)
