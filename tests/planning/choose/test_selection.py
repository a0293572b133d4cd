"""The plan to take: the rule over all rivals, told as a search would tell it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from support.choices import experts, llama

from planner.planning.choose import best_of_options
from planner.planning.choose.best_of_options import by_mixtures
from planner.planning.choose.option import Option
from planner.planning.choose.rule import NEW_WEIGHTS_GAIN, SURE
from planner.planning.choose.selection import Selection, allowed_loss
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.formulate import loss_limit, score_scale
from planner.planning.search.spaces import with_question
from planner.planning.solver.problem import violation
from planner.planning.space.losses import band_factor


@pytest.fixture(params=[llama, experts], ids=["dense", "experts"])
def choice(request: pytest.FixtureRequest) -> Selection:
    """Planned when a test needs it, not where tests are collected."""
    found: Selection = request.param()
    return found


def test_nothing_displaces_it_and_nothing_dominates_it(choice: Selection) -> None:
    """Of what surely brings what leaving the conventional plan must bring, the best known and the
    simplest; the conventional plan, or what is as good in all, where nothing does."""
    taken, base = (choice.standings[i] for i in (choice.taken, choice.conventional))
    able = np.flatnonzero(choice.beaten[:, choice.conventional] >= 1)
    stand = [i for i in able if choice.beaten[able, i].max() < 1]
    if len(able):
        assert taken.order <= min(choice.standings[i].order for i in stand)
    else:
        assert taken.order <= base.order
        assert taken.loss <= base.loss
        assert taken.expected <= base.expected
    for one in choice.standings:
        better = (one.loss, one.expected) != (taken.loss, taken.expected)
        better = better and one.order <= taken.order
        assert not (better and one.loss <= taken.loss and one.expected <= taken.expected)


def test_a_gain_that_is_not_sure_displaces_nothing() -> None:
    """The optimum is 58 % faster on paper, and 68 % sure of what new weights must bring."""
    choice = llama()
    assert choice.taken == choice.conventional
    assert choice.option.rival.recipe is not None
    assert choice.option.rival.formats == 0
    best = choice.options[choice.optimum]
    assert best.weighed.value < 0.7 * choice.option.weighed.value
    lacking = choice.lacking(choice.optimum)
    assert lacking is not None
    least, chance, sure = lacking
    assert least == NEW_WEIGHTS_GAIN
    assert 0.5 < chance < sure == SURE
    assert choice.gains is not None
    assert chance == pytest.approx(choice.gains.chances(least)[choice.optimum, choice.taken])


def test_a_sure_gain_displaces_what_is_conventional() -> None:
    choice = llama(objective="latency")
    assert choice.taken != choice.conventional
    assert choice.options[choice.conventional].rival.recipe is not None
    assert choice.beaten[choice.taken, choice.conventional] >= 1
    assert not choice.option.simple.new_weights
    assert choice.option.weighed.value < choice.options[choice.conventional].weighed.value
    assert choice.gains is not None
    assert choice.gains.gain(choice.taken, choice.conventional)[0] > choice.rule.settings
    assert choice.lacking(choice.conventional) is None or (
        choice.beaten[choice.conventional, choice.taken] < 1
    )


def test_it_is_told_as_a_search_would_tell_it(choice: Selection) -> None:
    """Its options are counted, their sum is its price, and it keeps every limit, that on loss
    inside its band."""
    found = choice.result()
    scale = float(score_scale(found.space)[found.candidate])
    assert found.value == pytest.approx(choice.option.priced.added * scale, rel=1e-9)
    assert found.segments == choice.option.rival.result.segments
    one = candidate_problem(found.space, found.candidate)
    assert violation(one.problem, found.solution.counts) is None
    assert found.grid is choice.exact.grid
    limit = loss_limit(choice.exact.space.model)
    assert limit is not None
    assert choice.option.priced.loss <= limit * band_factor(found.space.model) * (1 + 1e-9)


def test_exact_takes_the_optimum_and_keeps_its_proof() -> None:
    choice = llama(exact=True)
    assert choice.taken == choice.optimum
    assert choice.result() is choice.exact
    scale = float(score_scale(choice.exact.space)[choice.exact.candidate])
    assert choice.exact.value == pytest.approx(choice.option.priced.added * scale, rel=1e-9)
    uniform = [
        {one.rival.name for one in made.options if one.rival.kind in ("released", "uniform")}
        for made in (llama(), choice)
    ]
    assert uniform[0] < uniform[1], "with caches that nobody served there as well"


def test_under_quality_the_limit_itself_holds() -> None:
    """The loss is compared by its own band; the limit is not widened twice."""
    best = llama().exact
    wide, strict = allowed_loss(best), loss_limit(best.space.model)
    assert wide is not None
    assert strict is not None
    assert wide > strict
    space = with_question(best.space, objective="quality")
    assert allowed_loss(replace(best, space=space)) == strict


def test_equal_plans_are_told_as_the_same() -> None:
    choice = llama()
    default = next(one for one in choice.options if one.rival.kind == "default")
    same = [one for one in choice.options if one.same_as(default)]
    assert {one.rival.kind for one in same} == {"recipe", "conventional", "default", "released"}
    assert choice.option.same_as(default)
    assert len({one.weighed.value for one in same}) == 1
    assert not any(one.same_as(default) for one in choice.options if one.rival.formats)
    of_cache = [one for one in choice.options if one.rival.formats == 0 and one.rival.kv == "fp8"]
    assert of_cache
    assert not any(one.same_as(default) for one in of_cache)
    found = default.rival.result
    elsewhere = replace(found, space=with_question(found.space, engine="another"))
    assert not default.same_as(replace(default, rival=replace(default.rival, result=elsewhere)))


def test_draws_are_of_the_prices() -> None:
    choice = llama()
    medians = np.median(choice.drawn, axis=1)
    values = np.array([one.weighed.value for one in choice.options])
    # The median of a sum of wide parts lies above the sum of their medians.
    assert (np.abs(np.log(medians / values)) <= 0.25 * np.log(choice.drawn).std(axis=1)).all()


def option(loss: float, value: float, size: int, *, mixture: bool = False) -> Option:
    """As much of an option as is compared with the engine's own mixtures."""
    made: Any = SimpleNamespace(
        rival=SimpleNamespace(mixture=mixture),
        weighed=SimpleNamespace(value=value),
        priced=SimpleNamespace(loss=loss, fullest=SimpleNamespace(total=size)),
    )
    return cast(Option, made)


def test_what_a_mixture_is_as_good_as_in_all_and_better_in_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(best_of_options, "is_mixture", lambda rival: rival.mixture)
    mix = option(1.0, 2.0, 100, mixture=True)
    lossier, slower, larger = option(1.1, 2.0, 100), option(1.0, 2.2, 100), option(1.0, 2.0, 110)
    equal, mixed = option(1.0, 2.0, 100), option(0.5, 2.2, 110)

    def beaten(objective: str) -> frozenset[int]:
        return by_mixtures([mix, lossier, slower, larger, equal, mixed], objective)

    assert beaten("throughput") == {1, 2, 3}
    assert beaten("quality") == {1}  # where losses are compared, equal ones stand
    half = option(0.9, 1.0, 90)
    assert by_mixtures([mix, half], "throughput") == by_mixtures([mix, half], "quality") == set()
    assert by_mixtures([equal, lossier], "throughput") == set()
