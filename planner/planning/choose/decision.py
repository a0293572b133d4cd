"""A question decided: the engine that practice and evidence prefer is searched, the rule chooses
among its plans and what is conventional on other engines; where one of these displaces the plan,
its engine is searched instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.errors import InfeasibleError
from planner.base.records import cached_record
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element
from planner.planning.choose.selection import Selection, choose
from planner.planning.question.caches import eight_bit_caches
from planner.planning.question.question import Question
from planner.planning.search.engine_search import solve_with_relaxations, without_floor
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.rivals import LEAST_BITS
from planner.planning.space.candidates import Space


@cached_record
class PlanDecision:
    """The ``choice`` among plans, the search's ``result``, the candidates of its engine's ``other``
    ways to serve, the ``questions`` of that engine that it answers, and those of other engines
    whose conventional plans were rivals (``elsewhere``)."""

    choice: Selection
    result: SearchResult
    others: tuple[Space, ...]
    questions: tuple[Question, ...]
    elsewhere: tuple[Question, ...] = ()

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The candidates of all ways to serve."""
        return (self.result.grid, *self.others)


def decide(questions: Sequence[Question], *, exact: bool = False) -> PlanDecision | None:
    """The plan to take, with all that it was chosen from; None where nothing keeps the limits.
    ``exact``: the optimum over all engines, layouts and formats.

    Raises:
        InfeasibleError: the limits are kept by new weights alone, and none are wanted.
    """
    first = _decided(questions, exact)
    if first is None or (exact and first.choice.objective != "quality"):
        return first
    if _below_four_bits(first.choice):
        smaller = _with_a_smaller_cache(questions, first, exact)
        if smaller is not None:
            return smaller
    if exact:
        return first
    if _only_new_weights(first.choice):
        released = _with_a_release(questions, first)
        if released is not None:
            return released
    if _unwanted(first.choice):
        raise InfeasibleError(
            "no published weights keep the limits, and none shall be made",
            hint="--new-weights auto takes weights that must be made",
        )
    engine = first.choice.option.space.model.question.engine
    if engine == first.result.space.model.question.engine:
        return first
    # Another engine's conventional plan displaces this one: its own best is looked for.
    mine = [q for q in questions if q.engine == engine]
    away = first.elsewhere
    again = _decided(mine, exact, away=[q for q in away if q.engine != engine])
    if again is not None and again.choice.option.space.model.question.engine != engine:
        again = _decided(mine, exact, away=())
    return again if again is not None else first


def _with_a_release(questions: Sequence[Question], first: PlanDecision) -> PlanDecision | None:
    """A plan of weights that exist, where the preferred engine has none: on another engine, else
    below the default limit on loss, which is a preference; None where there is none."""
    engine = first.result.space.model.question.engine
    away = [q for q in questions if q.engine != engine]
    elsewhere = _decided(away, exact=False, away=()) if away else None
    if elsewhere is not None and elsewhere.choice.option.simple.new_weights:
        elsewhere = None
    if elsewhere is not None and not elsewhere.choice.option.space.model.question.floor_dropped:
        return elsewhere
    anywhere = decide(without_floor(questions, "release"))
    if anywhere is not None and not anywhere.choice.option.simple.new_weights:
        return anywhere
    return elsewhere


def _with_a_smaller_cache(
    questions: Sequence[Question], first: PlanDecision, exact: bool
) -> PlanDecision | None:
    """A plan that loses less with a cache in fewer bits, whoever measured it, where nothing fits
    beside a conventional cache but weights of fewer than four; None where there is none."""
    free = [
        replace(q, kv_given=True, kv=tuple(dict.fromkeys((*q.kv, *eight_bit_caches(q)))))
        for q in without_floor(questions)
        if not q.kv_given
    ]
    if not free:
        return None
    decision = _decided(free, exact=exact, away=())
    if decision is None or decision.choice.option.priced.loss >= first.choice.option.priced.loss:
        return None
    return decision


def _below_four_bits(choice: Selection) -> bool:
    """Whether nothing kept the default limit on loss, and weights of fewer than four bits are
    taken."""
    model = choice.option.space.model
    taken = {model.choices[s.choice] for s in choice.option.rival.result.segments if s.choice >= 0}
    return model.question.floor_dropped and any(
        bits_per_element(SCHEMES[name].weight) < LEAST_BITS for name in taken if name in SCHEMES
    )


def _only_new_weights(choice: Selection) -> bool:
    """Whether nothing keeps the default limit on loss but weights that must be made."""
    option = choice.options[choice.conventional]
    question = option.space.model.question
    preference = question.loss_default and not question.floor_dropped
    return option.simple.new_weights and preference and question.new_weights != "yes"


def _unwanted(choice: Selection) -> bool:
    """Whether the plan takes weights that must be made where none shall be."""
    option = choice.option
    return option.simple.new_weights and option.space.model.question.new_weights == "no"


def _decided(
    questions: Sequence[Question], exact: bool, away: Sequence[Question] | None = None
) -> PlanDecision | None:
    """``away``: the questions of other engines whose conventional plans are rivals; None: of those
    that were asked beside."""
    result, others, answered = solve_with_relaxations(questions, exact=exact)
    if result is None:
        return None
    engine = result.space.model.question.engine
    mine = tuple(q for q in answered if q.engine == engine)
    asked = tuple(q for q in answered if q.engine != engine) if away is None else tuple(away)
    elsewhere = () if exact else asked
    choice = choose((result.grid, *others), result, exact=exact, elsewhere=elsewhere, splits=mine)
    return PlanDecision(choice, result, tuple(others), mine, elsewhere)
