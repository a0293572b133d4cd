"""Whether a question has a plan, and the least that it needs, over all ways to serve it.

Bytes and seconds grow with the sequences of a rank, so that a free batch has a plan where one
sequence a micro-batch has one. That is searched alone, and only where the smallest choices fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from planner.base.errors import SolverError
from planner.base.records import cached_record
from planner.placement.layout import Layout
from planner.planning.plan.record import Objective
from planner.planning.price.price import Priced, price
from planner.planning.question.question import Question
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.mode_search import groups_of, mode_spaces
from planner.planning.search.question_search import branch_and_bound
from planner.planning.search.requery import Optimum, first_feasible
from planner.planning.search.served_batch import Proposal, first_kept
from planner.planning.space.candidates import Space, least_rank, possible_layouts
from planner.planning.space.memory import budget
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

Option = TypeVar("Option")
ILLEGAL = int(np.iinfo(np.int64).max)
"""Bytes of a question in which some unit has no legal choice."""


@cached_record
class LeastBytes:
    """The fewest ``total`` bytes on a rank: the way to serve and the layout that need them."""

    total: int
    question: Question
    layout: Layout


def least_memory(questions: Iterable[Question]) -> LeastBytes | None:
    """The least of all ways, the first of equals; None where no layout takes the batch."""
    least_by_way = []
    for i, question in enumerate(questions):
        layouts = possible_layouts(question)
        if not layouts:
            continue
        least, at = least_rank(build_model(question, load_prior()), layouts)
        if least is not None:
            least_by_way.append((least, i, LeastBytes(least, question, layouts[at])))
    return min(least_by_way, key=lambda entry: entry[:2])[2] if least_by_way else None


def steps(question: Question) -> list[int]:
    """What a batch is a multiple of, by layout: dp·pp; and of all replicas where requests in
    flight are given."""
    whole = question.concurrency is not None
    return sorted(
        {
            la.dp * la.pp * (question.replicas(la.ranks) if whole else 1)
            for la in possible_layouts(question)
        }
    )


def fits(question: Question) -> bool:
    """Whether the smallest choices of the fewest sequences fit, other limits apart."""
    least = least_memory([question])
    return least is not None and least.total <= budget(question)


def has_plan(question: Question) -> bool:
    """Whether one way has a plan (:func:`any_plan`)."""
    return any_plan([question])


Found = TypeVar("Found", bound=Proposal)


def _served(
    questions: Sequence[Question], search: Callable[[Sequence[Space]], Found | None]
) -> Found | None:
    """What ``search`` finds among the fewest sequences of ``questions`` that fit, where its loop
    keeps the limits on time; None where nothing is found, or the solver leaves it open."""

    def fewest(current: tuple[Question, ...]) -> Found | None:
        models = [build_model(question, load_prior()) for question in current]
        return search(mode_spaces(models, "fewest"))

    ways = [question for question in questions if fits(question)]
    try:
        kept = first_kept(ways, fewest) if ways else None
    except SolverError:
        return None
    return None if kept is None else kept[0]


def any_plan(questions: Iterable[Question]) -> bool:
    """Whether any way has a plan (:func:`first_plan`)."""
    return first_plan(questions) is not None


def first_plan(questions: Iterable[Question]) -> Priced | None:
    """The price of a plan of any way (:func:`first_feasible_plan`)."""
    found = first_feasible_plan(questions)
    return None if found is None else price(found.space, found.candidate, found.segments)


def first_feasible_plan(questions: Iterable[Question]) -> Optimum | None:
    """A plan of any way: any is looked for, the least lossy first, those of an engine
    together; None where none has one. What the solver leaves open counts as none, as nothing is
    promised of it. Layers of a bucket are tied: such a plan is one of the untied, too, and that
    there is none untied takes minutes to prove."""
    ways = [replace(question, objective="quality", untie=False) for question in questions]
    for group in groups_of(ways):
        found = _served([way for _, way in group], first_feasible)
        if found is not None:
            return found
    return None


def best_smallest_batch(
    questions: Sequence[Question], objective: Objective
) -> tuple[SearchResult, Priced] | None:
    """The plan of the fewest sequences that is best by ``objective``, over all ways."""
    result = _served(
        [replace(q, objective=objective, untie=False) for q in questions],
        partial(branch_and_bound, settle=False),
    )
    return (
        None if result is None else (result, price(result.space, result.candidate, result.segments))
    )


def largest_multiple(
    options: Iterable[tuple[Option, int]],
    way: Callable[[Option, int], Question | None],
    low: int,
    high: int,
) -> int | None:
    """The largest multiple in [``low``, ``high``) with a plan in any option, an option being (what
    it is, the step of its multiples) and ``way`` its question, None where it cannot be asked;
    within an option smaller ones have a plan as well. None where there is none.

    What fits at all is bisected first, as bytes are counted faster than plans are found.
    """
    largest: int | None = None
    for option, step in options:

        def at(
            test: Callable[[Question], bool], count: int, option: Option = option, step: int = step
        ) -> bool:
            question = way(option, count * step)
            return question is not None and test(question)

        first = max(-(-low // step), largest // step + 1 if largest is not None else 1)
        last = (high - 1) // step
        if first > last or not at(has_plan, first):
            continue
        last = _bisected(lambda count: at(fits, count), first, last)
        largest = _bisected(lambda count: at(has_plan, count), first, last) * step
    return largest


def _bisected(good: Callable[[int], bool], first: int, last: int) -> int:
    """The largest good number from ``first``, which is good, to ``last``."""
    if good(last):
        return last
    while last - first > 1:
        middle = (first + last) // 2
        if good(middle):
            first = middle
        else:
            last = middle
    return first
