"""What is done where nothing keeps every limit: a loss inside the band of its limit keeps it, and
the default limit on TPOT is dropped where no layout reaches it. The answer says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.messages.message import Note, message
from planner.planning.price.price import price
from planner.planning.question.defaults import TPOT_NOTE
from planner.planning.question.given_values import DROPPED_KEY, TPOT_KEY
from planner.planning.question.question import Question
from planner.planning.search.best_first import SearchResult
from planner.planning.search.contenders import groups_of, mixed_question
from planner.planning.search.equal_loss import solve_objective
from planner.planning.search.formulate import loss_limit
from planner.planning.search.variants import solve_questions
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor, saturated_loss
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from planner.units import format_seconds

BAND_KEY = "max-loss band"


def solve_with_relaxations(
    questions: Sequence[Question],
    *,
    exact: bool = False,
) -> tuple[SearchResult | None, Sequence[Space], tuple[Question, ...]]:
    """(the answer to take, the candidates of the questions with other choices, the questions that
    it answers: those with the limit on loss widened by its band where nothing is below it, but not
    for the ``exact`` optimum; without the default limit on TPOT where nothing keeps it). Of several
    engines the one is taken that is best inside the band of the limit on loss, or that of the
    ``exact`` optimum."""
    found, others, asked = _within_band(questions, exact)
    if found is not None or not questions[0].tpot_default:
        return found, others, asked
    return _within_band(without_default_tpot(questions), exact)


def _within_band(
    questions: Sequence[Question],
    exact: bool,
) -> tuple[SearchResult | None, Sequence[Space], tuple[Question, ...]]:
    """The answer at the limit on loss, else inside its band: there a loss cannot be told from
    it."""
    wide = () if exact else with_loss_band(questions)
    near: tuple[SearchResult | None, Sequence[Space]] = (None, ())
    if wide and len({q.engine for q in questions}) > 1:
        near = solve_objective(wide)
        if near[0] is None:
            return None, (), tuple(questions)
        # What is taken may use the band: the engine is that of the best plan within it.
        own = tuple(q for q in questions if q.engine == near[0].space.model.question.engine)
        found, others = solve_objective(own)
        if found is not None:
            return found, others, own
    found, others = solve_objective(questions)
    if found is None and wide:
        best, rest = near if near[0] is not None else solve_objective(wide)
        if best is not None:
            return best, rest, wide
    return found, others, tuple(questions)


def band_reason(band: float) -> str:
    """Why a loss above its limit counts as kept."""
    return (
        f"inside the band of the limit, ×/÷ {band:.2g}, where losses cannot be told apart; "
        "--exact keeps the limit itself"
    )


def with_loss_band(questions: Sequence[Question]) -> tuple[Question, ...]:
    """The questions with their limit on loss times the band within which two losses of the model
    cannot be told apart; none without a limit, or where the loss is the objective."""
    if questions[0].objective == "quality":
        return ()
    out: dict[int, Question] = {}
    for group in groups_of(questions):  # whose ways have one measure of loss
        model = build_model(mixed_question(group), load_prior())
        limit, band = loss_limit(model), band_factor(model)
        if limit is None:
            return ()
        least = f"nothing is below {saturated_loss(model, limit):.3g}"
        note = Note(BAND_KEY, least, band_reason(band))
        out |= {
            i: replace(
                question,
                loss_scheme=None,
                loss_limit=limit * band,
                loss_widened=True,
                notes=(*question.notes, note),
            )
            for i, question in group
        }
    return tuple(question for _, question in sorted(out.items(), key=lambda one: one[0]))


def without_default_tpot(questions: Sequence[Question]) -> tuple[Question, ...]:
    """The questions without the default limit, which none keeps; a note tells the fastest."""
    free = [replace(q, tpot_seconds=None, tpot_default=False) for q in questions]
    best = solve_questions([replace(q, objective="latency") for q in free], settle=False)
    fastest = (
        "none fits"
        if best is None
        else "fastest TPOT " + format_seconds(price(best.space, best.candidate, best.segments).tpot)
    )
    note = Note(
        DROPPED_KEY,
        fastest,
        message("assumptions.no_layout_keeps_default_of", x=TPOT_NOTE.value),
    )
    return tuple(replace(q, notes=(*(n for n in q.notes if n[0] != TPOT_KEY), note)) for q in free)
