"""The plan to take among rivals: each weighed, compared in common draws, and the rule applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.planning.choose.chances import objective_draws, share_of_draws_better
from planner.planning.choose.rule import MARGIN, Simplicity, simplest_unbeaten
from planner.planning.choose.uncertainty import UncertainObjective, score, uncertain_objective
from planner.planning.choose.weight_sources import ReadyWeights, weight_source
from planner.planning.price.price import Priced, price
from planner.planning.question.policies import runs_as_released
from planner.planning.question.question import TIMED
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.option_counts import with_counts
from planner.planning.search.question_search import by_layer
from planner.planning.search.rivals import Rival, is_mixture, rival_of, rivals
from planner.planning.search.served_batch import result_at, served_candidate
from planner.planning.search.spaces import with_question
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor

Array = NDArray[np.float64]
PLAIN_CACHE = "bf16"
"""What a cache is where nothing is chosen."""


@cached_record
class Option:
    """A rival with its price, what it errs by, how simple it is, and where its weights come
    from."""

    rival: Rival
    priced: Priced
    weighed: UncertainObjective
    simple: Simplicity
    weights: ReadyWeights

    @property
    def space(self) -> Space:
        return self.rival.result.space

    def same_as(self, other: Option) -> bool:
        """Whether both are one assignment on one layout and batch."""
        mine, theirs = self.rival.result, other.rival.result
        questions = (mine.space.model.question, theirs.space.model.question)
        return questions[0].engine == questions[1].engine and (
            self.priced.layout,
            self.priced.batch,
            by_layer(mine.space, mine.segments),
        ) == (other.priced.layout, other.priced.batch, by_layer(theirs.space, theirs.segments))


@cached_record
class Selection:
    """All ``options``, the one that is ``taken`` and the optimum (indices), and what the draws say:
    ``drawn`` objectives [A, draws], ``better`` the chance that plan i is better than plan j at all,
    ``beaten`` that it is by more than MARGIN [A, A]. ``exact`` is the search's own answer with the
    proof of the optimum, which is taken where it was asked for."""

    options: tuple[Option, ...]
    taken: int
    optimum: int
    drawn: Array
    better: Array
    beaten: Array
    exact: SearchResult
    exact_asked: bool = False

    @property
    def option(self) -> Option:
        """The plan to take."""
        return self.options[self.taken]

    @property
    def objective(self) -> str:
        return self.exact.space.model.question.objective

    def result(self) -> SearchResult:
        """The plan to take as a search would tell it, its options counted. Its question has the
        limit on loss that holds inside the band."""
        if self.taken == self.optimum:
            return self.exact
        taken = self.option.rival.result
        space = with_question(taken.space, loss_scheme=None, loss_limit=allowed_loss(self.exact))
        return with_counts(
            replace(taken, space=space, grid=self.exact.grid, candidates=self.exact.candidates)
        )


def choose(spaces: Sequence[Space], best: SearchResult, *, exact: bool = False) -> Selection:
    """The plan to take of all rivals of ``best``, the optimum over ``spaces``; ``exact``: the
    optimum, without regard to how sure the numbers are."""
    options = tuple(
        option
        for rival in rivals(spaces, best, allowed=allowed_loss(best))
        if (option := in_the_loop(rival)) is not None
    )
    options, best = best_in_the_loop(options, best)
    objective = best.space.model.question.objective
    drawn = objective_draws([option.weighed for option in options])
    beaten = share_of_draws_better(objective, drawn, MARGIN)
    optimum = next(i for i, option in enumerate(options) if option.rival.kind == "optimum")
    taken = (
        optimum
        if exact
        else simplest_unbeaten(
            [option.simple for option in options],
            # Equal plans differ in the last digits of their sums: the first of them is taken.
            [float(f"{mean:.9e}") for mean in drawn.mean(axis=1).tolist()],
            [option.priced.loss for option in options],
            beaten,
            by_mixtures(options, objective),
        )
    )
    return Selection(
        options, taken, optimum, drawn, share_of_draws_better(objective, drawn), beaten, best, exact
    )


def in_the_loop(rival: Rival) -> Option | None:
    """``rival`` at the batch that keeps its limits in the loop of its requests; None where none
    does. The optimum is there already."""
    result = rival.result
    if rival.kind == "optimum":
        return _option(rival, price(result.space, result.candidate, result.segments))
    served = served_candidate(result.space, result.candidate, result.segments)
    if served is None:
        return None
    return _option(replace(rival, result=result_at(result, served)), served.priced)


def best_in_the_loop(
    options: tuple[Option, ...], best: SearchResult
) -> tuple[tuple[Option, ...], SearchResult]:
    """The options with the one that serves best as the optimum, and that as the search's answer:
    sums of kernels, by which it was found, and the loop may put plans that are nearly equal in
    another order."""
    question, limit = best.space.model.question, loss_limit(best.space.model)
    place = next(i for i, option in enumerate(options) if option.rival.kind == "optimum")
    able = [
        i
        for i, option in enumerate(options)
        if limit is None or option.priced.loss <= limit * (1 + TOLERANCE)
    ]
    first = min([place, *able], key=lambda i: (options[i].weighed.value, i != place))
    if question.objective not in TIMED or first == place:
        return options, best
    searched, taken = options[place].rival, options[first]
    counted = with_counts(taken.rival.result)
    solution = replace(best.solution, counts=counted.solution.counts, value=counted.solution.value)
    result = replace(
        counted,
        solution=solution,
        bound=min(best.bound, solution.value),
        candidates=best.candidates,
        solved=best.solved,
        grid=best.grid,
    )
    rival = rival_of(searched.name, searched.kind, result)
    return (*options[:place], replace(taken, rival=rival), *options[place + 1 :]), result


def by_mixtures(options: Sequence[Option], objective: str) -> frozenset[int]:
    """The options that one of the engine's own mixtures is as good as in loss, objective and bytes,
    and better than in one; where loss is the objective, all that lose more than a mixture."""
    mixed = [option for option in options if is_mixture(option.rival)]
    return frozenset(
        i
        for i, option in enumerate(options)
        if any(_dominates(mix, option, objective) for mix in mixed)
    )


def _dominates(mix: Option, other: Option, objective: str) -> bool:
    mine, theirs = ((o.priced.loss, o.weighed.value, o.priced.fullest.total) for o in (mix, other))
    if objective == "quality":
        return mine[0] < theirs[0] * (1 - TOLERANCE)
    return all(a <= b * (1 + TOLERANCE) for a, b in zip(mine, theirs, strict=True)) and any(
        a < b * (1 - TOLERANCE) for a, b in zip(mine, theirs, strict=True)
    )


def allowed_loss(best: SearchResult) -> float | None:
    """The most that losses may sum to: what cannot be told apart from the limit counts as kept.
    Under the objective quality the limit itself, since the loss is what is compared."""
    model = best.space.model
    limit = loss_limit(model)
    question = model.question
    if limit is None or question.objective == "quality" or question.loss_widened:
        return limit
    return limit * band_factor(model)


def _option(rival: Rival, priced: Priced) -> Option:
    result = rival.result
    model = result.space.model
    names = repr(sorted((s.unit, s.choice, s.layers) for s in result.segments))
    weights = weight_source(result) if rival.formats else ReadyWeights()
    simple = Simplicity(rival.formats, rival.formats > 0 and weights.new_weights, _changed(result))
    value = score(model.question, priced)
    return Option(
        rival, priced, uncertain_objective(result.space, priced, value, names), simple, weights
    )


def _changed(result: SearchResult) -> int:
    """Kinds of module that are not what they are released in, and caches that are not plain."""
    model = result.space.model
    kinds = set()
    for segment in result.segments:
        unit = model.units[segment.unit]
        if segment.choice < 0:
            continue
        own = (
            PLAIN_CACHE
            if unit.role == "cache"
            else runs_as_released(model.question, model.planned[unit.row].released_as)
        )
        if model.choices[segment.choice] != own:
            kinds.add(unit.kind)
    return len(kinds)
