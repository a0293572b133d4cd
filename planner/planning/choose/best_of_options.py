"""The option that serves best, taken as the optimum, and those that an engine's mixture beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.planning.choose.option import Option
from planner.planning.question.question import TIMED
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.option_counts import with_counts
from planner.planning.search.rivals import is_mixture, rival_of
from planner.planning.solver.problem import TOLERANCE


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
        if option.space.model.question.engine == question.engine
        and (limit is None or option.priced.loss <= limit * (1 + TOLERANCE))
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
