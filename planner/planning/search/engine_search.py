"""All engines: the answer to take of what their questions have, and what gives way where none has.

Where nothing keeps every limit, a loss inside the band of its limit keeps it, and the default limit
on TPOT is left out where no layout reaches it. The answer says so.

Under ``--objective quality`` this is the least loss over everything that engines serve; which plan
is taken within a small slack of it, the rule says (:mod:`planner.planning.choose.selection`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from planner.base.units import format_seconds
from planner.messages.message import Message, Note, message
from planner.planning.price.price import price
from planner.planning.question.defaults import TPOT_NOTE
from planner.planning.question.given_values import DROPPED_KEY, TPOT_KEY
from planner.planning.question.question import TIMED, Question
from planner.planning.search.conventional import by_preference, conventional_first
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.mode_search import groups_of, mixed_question, solve_groups
from planner.planning.search.question_search import solve_questions
from planner.planning.search.served_batch import first_kept, result_at
from planner.planning.space.candidates import Space
from planner.planning.space.losses import LossModel, band_factor, saturated_loss
from planner.planning.space.model import build_model
from planner.planning.space.printed_loss import equal_up_to
from planner.quality.prior import load_prior

BAND_KEY = "max-loss band"
LOSS_KEY, FLOOR_KEY = "max-loss default", "max-loss dropped"
"""Assumptions that tell a default limit on loss, and that nothing that fits keeps it."""


Answer = tuple[SearchResult | None, Sequence[Space], tuple[Question, ...]]
"""The answer to take, the candidates of the questions with other choices, and the questions that it
answers, those of other engines after its own."""


def solve_with_relaxations(questions: Sequence[Question], *, exact: bool = False) -> Answer:
    """The answer to take, with what it was chosen from: of the engine that practice and evidence
    prefer, over conventional layouts and caches, or else over all; the ``exact`` optimum over
    everything. What nobody set gives way where nothing keeps it, step by step: the limit on TPOT,
    the limit on loss, one device. A limit that was set is kept; on loss, which is known to a band
    alone, a default counts as kept inside it."""
    for some in _giving_way(questions, exact):
        timed = some[0].objective in TIMED
        for mine in by_preference(some) if timed and not exact else (some,):
            result, others, answered = _in_the_loop(mine, exact)
            if result is not None:
                engines = {q.engine for q in mine}
                away = (q for q in some if q.engine not in engines)
                return result, others, (*answered, *away)
    return None, (), tuple(questions)


def _giving_way(questions: Sequence[Question], exact: bool) -> Iterator[tuple[Question, ...]]:
    """The questions as they are asked, then with ever fewer of their defaults: over what is
    conventional first, and on more devices last."""
    everything = exact or questions[0].objective == "quality"
    for tier in (tuple(questions),) if everything else conventional_first(questions):
        yield from _with_fewer_limits(tier)
    if questions[0].more_sizes:
        more = [
            replace(q, sizes=q.more_sizes, more_sizes=(), notes=_more_devices(q.notes))
            for q in questions
        ]
        yield from _giving_way(more, exact)


def _with_fewer_limits(questions: Sequence[Question]) -> Iterator[tuple[Question, ...]]:
    """The questions, then without the default limits on TPOT, on loss, and on both."""
    yield tuple(questions)
    if questions[0].tpot_default:
        yield from without_default_tpot(questions)
    if questions[0].loss_default:
        lossier = without_floor(questions)
        yield lossier
        if questions[0].tpot_default:
            yield from without_default_tpot(lossier)


def without_floor(questions: Sequence[Question], what: str = "plan") -> tuple[Question, ...]:
    """The questions without the default limit on loss, which no plan, or no release, keeps: of what
    fits the least lossy is taken."""
    note = Note(
        FLOOR_KEY,
        message(f"assumptions.no_{what}_keeps_it", x=questions[0].loss_scheme or "bf16"),
        message("assumptions.least_lossy_that_fits"),
    )
    return tuple(
        replace(
            q,
            loss_scheme=None,
            loss_limit=None,
            notes=(*(n for n in q.notes if n[0] != LOSS_KEY), note),
        )
        for q in questions
    )


def _more_devices(notes: Sequence[Note]) -> tuple[Note, ...]:
    """Notes of a question that one device is too few for."""
    note = Note("devices", message("assumptions.more_than_one"), message("assumptions.one_too_few"))
    return (*(n for n in notes if n[0] != note.key), note)


def _in_the_loop(questions: Sequence[Question], exact: bool) -> Answer:
    """The answer at the batch that keeps its limits in the loop of its requests."""
    others: Sequence[Space] = ()
    answered = tuple(questions)

    def search(current: tuple[Question, ...]) -> SearchResult | None:
        nonlocal others, answered
        result, others, answered = _within_band(current, exact)
        return result

    kept = first_kept(questions, search)
    return None if kept is None else result_at(*kept), others, answered


def _within_band(questions: Sequence[Question], exact: bool) -> Answer:
    """The answer at the limit on loss, else inside the band of a default: there a loss cannot be
    told from it."""
    result, others = solve_objective(questions)
    if result is not None or exact or not questions[0].loss_default:
        return result, others, tuple(questions)
    wide = with_loss_band(questions)
    if wide:
        result, others = solve_objective(wide)
    return result, others, tuple(questions) if result is None else wide


def with_loss_band(questions: Sequence[Question]) -> tuple[Question, ...]:
    """The questions with the largest loss that cannot be told from their limit on it; none without
    a limit, or where the loss is the objective."""
    if questions[0].objective == "quality":
        return ()
    out: dict[int, Question] = {}
    for group in groups_of(questions):  # whose ways have one measure of loss
        model = build_model(mixed_question(group), load_prior())
        limit = loss_limit(model)
        if limit is None:
            return ()
        least = message("assumptions.nothing_is_below", limit=f"{saturated_loss(model, limit):.3g}")
        note = Note(BAND_KEY, least, band_reason(model, limit))
        out |= {
            i: replace(
                question,
                loss_scheme=None,
                loss_limit=equal_up_to(model, limit),
                loss_widened=True,
                notes=(*question.notes, note),
            )
            for i, question in group
        }
    return tuple(question for _, question in sorted(out.items(), key=lambda numbered: numbered[0]))


def without_default_tpot(questions: Sequence[Question]) -> tuple[tuple[Question, ...], ...]:
    """The questions without the default limit, which none keeps; a note tells the fastest. Nothing
    where none fits either."""
    free = [replace(q, tpot_seconds=None, tpot_default=False) for q in questions]
    best = solve_questions([replace(q, objective="latency") for q in free], settle=False)
    if best is None:
        return ()
    tpot = price(best.space, best.candidate, best.segments).tpot
    fastest = message("assumptions.fastest_tpot", time=format_seconds(tpot))
    note = Note(
        DROPPED_KEY,
        fastest,
        message("assumptions.no_layout_keeps_default_of", x=TPOT_NOTE.value),
    )
    return (
        tuple(replace(q, notes=(*(n for n in q.notes if n[0] != TPOT_KEY), note)) for q in free),
    )


def band_reason(model: LossModel, limit: float) -> Message:
    """Why a loss above its ``limit`` on sums of units counts as kept."""
    band = band_factor(model)
    if equal_up_to(model, limit) > limit * band:
        return message("assumptions.inside_floor_of_limit", floor=f"{model.floor.value_nats:.2g}")
    return message("assumptions.inside_band_of_limit", band=f"{band:.2g}")


def best_served(questions: Sequence[Question]) -> SearchResult | None:
    """:func:`best_result` at the batch that keeps its limits in the loop of its requests."""
    kept = first_kept(questions, best_result)
    return None if kept is None else result_at(*kept)


def best_result(questions: Sequence[Question]) -> SearchResult | None:
    """The best answer."""
    return solve_objective(questions)[0]


def solve_objective(questions: Sequence[Question]) -> tuple[SearchResult | None, Sequence[Space]]:
    """(the best answer, the candidates of the questions with other choices that its engine may
    serve as well)."""
    best, others = solve_groups(questions)
    return (None, ()) if best is None else (best, others)
