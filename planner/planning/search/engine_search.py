"""All engines: the answer to take of what their questions have, and what gives way where none has.

Where nothing keeps every limit, a loss inside the band of its limit keeps it, and the default limit
on TPOT is left out where no layout reaches it. The answer says so.

Plans whose losses cannot be told apart: the fastest of them is taken.

Under ``--objective quality`` the least loss L is found first. A plan within the band of L (up to
L × its factor, :func:`planner.quality.loss_units.indistinguishable`) is as good as it, so that
paying speed for the difference buys nothing known. Of these the fastest sets the pace, and the
least lossy within SLACK of that pace is taken: no loss is given away for less than SLACK of speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.units import format_seconds
from planner.messages.message import Message, Note, message
from planner.planning.price.price import price
from planner.planning.question.defaults import TPOT_NOTE
from planner.planning.question.given_values import DROPPED_KEY, TPOT_KEY
from planner.planning.question.question import Question
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.first_token import solve_with_ttft
from planner.planning.search.formulate import loss_limit, score_scale
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.mode_search import groups_of, mixed_question, solve_groups
from planner.planning.search.question_search import solve_questions
from planner.planning.search.served_batch import first_kept, result_at
from planner.planning.search.spaces import with_question
from planner.planning.solver.problem import Solution
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor, loss_word, saturated_loss
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

SLACK = 0.01
"""Share of the fastest pace that is given up for less loss."""
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
    result, others, answered_questions = _in_the_loop(questions, exact)
    if result is not None or not questions[0].tpot_default:
        return result, others, answered_questions
    return _within_band(without_default_tpot(questions), exact)


def _in_the_loop(
    questions: Sequence[Question], exact: bool
) -> tuple[SearchResult | None, Sequence[Space], tuple[Question, ...]]:
    """The answer at the batch that keeps its limits in the loop of its requests."""
    others: Sequence[Space] = ()
    answered = tuple(questions)

    def search(current: tuple[Question, ...]) -> SearchResult | None:
        nonlocal others, answered
        result, others, answered = _within_band(current, exact)
        return result

    kept = first_kept(questions, search)
    return None if kept is None else result_at(*kept), others, answered


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
        result, others = solve_objective(own)
        if result is not None:
            return result, others, own
    result, others = solve_objective(questions)
    if result is None and wide:
        best, rest = near if near[0] is not None else solve_objective(wide)
        if best is not None:
            return best, rest, wide
    return result, others, tuple(questions)


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
        least = message("assumptions.nothing_is_below", limit=f"{saturated_loss(model, limit):.3g}")
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
    return tuple(question for _, question in sorted(out.items(), key=lambda numbered: numbered[0]))


def without_default_tpot(questions: Sequence[Question]) -> tuple[Question, ...]:
    """The questions without the default limit, which none keeps; a note tells the fastest."""
    free = [replace(q, tpot_seconds=None, tpot_default=False) for q in questions]
    best = solve_questions([replace(q, objective="latency") for q in free], settle=False)
    fastest = message("assumptions.none_fits")
    if best is not None:
        tpot = price(best.space, best.candidate, best.segments).tpot
        fastest = message("assumptions.fastest_tpot", time=format_seconds(tpot))
    note = Note(
        DROPPED_KEY,
        fastest,
        message("assumptions.no_layout_keeps_default_of", x=TPOT_NOTE.value),
    )
    return tuple(replace(q, notes=(*(n for n in q.notes if n[0] != TPOT_KEY), note)) for q in free)


def band_reason(band: float) -> Message:
    """Why a loss above its limit counts as kept."""
    return message("assumptions.inside_band_of_limit", band=f"{band:.2g}")


def best_served(questions: Sequence[Question]) -> SearchResult | None:
    """:func:`best_result` at the batch that keeps its limits in the loop of its requests."""
    kept = first_kept(questions, best_result)
    return None if kept is None else result_at(*kept)


def best_result(questions: Sequence[Question]) -> SearchResult | None:
    """The best answer; under the objective quality, the one to take of those that are as good."""
    return solve_objective(questions)[0]


def solve_objective(questions: Sequence[Question]) -> tuple[SearchResult | None, Sequence[Space]]:
    """(the answer to take, the candidates of the questions with other choices that its engine may
    serve as well)."""
    best, others = solve_groups(questions)
    if best is None:
        return None, ()
    if best.space.model.question.objective == "quality":
        best = _taken(questions, best)
    return best, others


def _taken(questions: Sequence[Question], least: SearchResult) -> SearchResult:
    """The plan to take in place of the ``least`` lossy one; its bound is that of the least loss."""
    limit = loss_limit(least.space.model)
    most = least.value * band_factor(least.space.model)
    within = most if limit is None else min(limit, most)
    fastest = solve_questions(
        [replace(q, objective="throughput", loss_scheme=None, loss_limit=within) for q in questions]
    )
    if fastest is None or fastest.value * (1 + SLACK) >= device_seconds(least):
        return least
    solution, segments = _least_lossy(fastest, questions[0], within)
    if not solution.has_assignment:
        return least
    return SearchResult(
        _back(fastest.space, questions[0]),
        fastest.candidate,
        solution,
        segments,
        min(least.bound, solution.value),
        least.candidates + fastest.candidates,
        least.solved + fastest.solved,
        _back(fastest.grid, questions[0]),
    )


def _back(space: Space, first: Question) -> Space:
    """The space under what was asked."""
    return with_question(
        space, objective="quality", loss_scheme=first.loss_scheme, loss_limit=first.loss_limit
    )


def _least_lossy(
    fastest: SearchResult,
    first: Question,
    within: float,
) -> tuple[Solution, tuple[Segment, ...]]:
    """The least loss on the fastest plan's candidate within SLACK of its pace."""
    c = fastest.candidate
    seconds = fastest.value * (1 + SLACK) / float(score_scale(fastest.space)[c])
    seconds *= float(fastest.space.tpot_pace[c])
    limit = first.tpot_seconds
    space = with_question(
        _back(fastest.space, first),
        loss_scheme=None,
        loss_limit=within,
        tpot_seconds=seconds if limit is None else min(seconds, limit),
    )
    candidate = candidate_problem(space, fastest.candidate)
    solution = solve_with_ttft(candidate)
    return solution, candidate.segments(solution) if solution.has_assignment else ()


def device_seconds(result: SearchResult) -> float:
    """Device-seconds of a token."""
    space, c = result.space, result.candidate
    priced = price(space, c, result.segments)
    scale = float(space.pts.group[c] * space.pts.pp[c] / space.pts.batch[c] * space.rate_pace[c])
    return priced.added * scale


def equal_note(result: SearchResult) -> tuple[Note, ...]:
    """What was given up among plans that are as good; nothing where the least loss was taken."""
    model = result.space.model
    if model.question.objective != "quality" or result.value <= result.bound * (1 + 1e-6) + 1e-15:
        return ()
    return (
        Note(
            "indistinguishable",
            message(
                "assumptions.loss_for_at_least",
                a=f"{saturated_loss(model, result.value):.3g}",
                b=f"{saturated_loss(model, result.bound):.3g}",
            ),
            message(
                "assumptions.inside_band_where_plans_are",
                x=f"{band_factor(model):.3g}",
                w=loss_word(model),
                y=f"{SLACK:.0%}",
            ),
        ),
    )
