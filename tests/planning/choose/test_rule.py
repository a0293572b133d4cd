"""The rule: what is conventional, unless another plan surely brings what leaving it must bring."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.planning.choose.rule import (
    LEVELS,
    LOSS_SLACK,
    MIN_GAIN,
    NEW_WEIGHTS_GAIN,
    SLACK,
    SURE,
    UNMEASURED_GAIN,
    VERY_SURE,
    Simplicity,
    Standing,
    Thresholds,
    displaces,
    least_lossy,
    plan_to_take,
    required,
)

SIMPLE = Simplicity(0, False, 0)
UNIFORM = Simplicity(1, True, 7)
MIX = Simplicity(3, True, 7)
AS_RELEASED = Standing("measured", SIMPLE, False, 0, 0.0, 1.0)
FP8_CACHE = Standing("measured", Simplicity(0, False, 2), False, 1, 0.1, 0.8)
MADE = Standing("measured", UNIFORM, False, 0, 0.2, 0.7)
USUAL = Thresholds()
GAINS = st.floats(0.0, 1.0)
STANDINGS = st.lists(
    st.builds(
        Standing,
        level=st.sampled_from(LEVELS),
        simple=st.builds(
            Simplicity,
            formats=st.integers(0, 2),
            new_weights=st.booleans(),
            changed=st.integers(0, 2),
        ),
        made=st.booleans(),
        departs=st.integers(0, 2),
        loss=st.sampled_from((0.0, 0.5, 1.0)),
        expected=st.floats(0.5, 2.0),
    ),
    min_size=1,
    max_size=6,
    unique=True,
)


def known(count: int) -> np.ndarray:
    """Pairs whose difference was measured, all of them."""
    return np.zeros((count, count), dtype=bool)


def exceeding(standings: Sequence[Standing], random: Random) -> np.ndarray:
    """By how much chances exceed what they must be, of gains that are as likely as not real."""
    count = len(standings)
    raw = np.array([[2 * random.random() for _ in range(count)] for _ in range(count)])
    np.fill_diagonal(raw, 0.0)
    return raw


def test_gains_and_chances_that_are_worth_a_change() -> None:
    assert (MIN_GAIN, NEW_WEIGHTS_GAIN, UNMEASURED_GAIN) == (0.05, 0.15, 0.15)
    assert (SURE, VERY_SURE) == (0.8, 0.9)
    assert Thresholds.of(None, "auto", False) == USUAL == Thresholds(0.05, 0.15, 0.15, 0.9)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ((0.2, "auto", False), Thresholds(0.2, 0.2, 0.2, 0.9)),
        ((0.1, "auto", False), Thresholds(0.1, 0.15, 0.15, 0.9)),
        ((0.0, "auto", False), Thresholds(0.0, 0.15, 0.15, 0.9)),
        ((None, "yes", False), Thresholds(0.05, 0.05, 0.15, 0.9)),
        ((0.2, "yes", False), Thresholds(0.2, 0.2, 0.2, 0.9)),
        ((None, "no", False), Thresholds(0.05, 0.15, 0.15, 0.9)),
        ((None, "auto", True), Thresholds(0.05, 0.15, 0.05, 0.8)),
        ((0.0, "yes", True), Thresholds(0.0, 0.0, 0.0, 0.8)),
    ],
)
def test_what_a_question_says_of_the_gains(
    given: tuple[float | None, str, bool], rule: Thresholds
) -> None:
    assert Thresholds.of(*given) == rule


@given(GAINS, GAINS, st.sampled_from(("auto", "yes", "no")), st.booleans())
def test_a_larger_least_gain_lowers_no_threshold(
    one: float, other: float, weights: str, unmeasured: bool
) -> None:
    low, high = (Thresholds.of(gain, weights, unmeasured) for gain in sorted((one, other)))
    for name in ("settings", "new_weights", "unmeasured"):
        assert getattr(low, name) <= getattr(high, name)
        assert getattr(low, name) >= low.settings
    assert (
        Thresholds.of(one, weights, True).unmeasured
        <= Thresholds.of(one, weights, False).unmeasured
    )


def test_new_weights_and_kinds_that_nobody_measured_must_bring_more() -> None:
    assert required(FP8_CACHE, AS_RELEASED, USUAL, False) == (MIN_GAIN, SURE)
    assert required(MADE, AS_RELEASED, USUAL, False) == (NEW_WEIGHTS_GAIN, SURE)
    assert required(AS_RELEASED, MADE, USUAL, False) == (MIN_GAIN, SURE)
    both = replace(MADE, expected=0.6), MADE
    assert required(*both, USUAL, False) == (MIN_GAIN, SURE), "both need new weights"
    assert required(FP8_CACHE, AS_RELEASED, USUAL, True) == (UNMEASURED_GAIN, VERY_SURE)
    dear = Thresholds(0.05, 0.4, 0.15, 0.9)
    assert required(MADE, AS_RELEASED, dear, True) == (0.4, VERY_SURE), "the higher of the two"


def test_each_pair_is_asked_for_its_own_gain_and_chance() -> None:
    """Chances that fall with the gain: 0.9 of 5 %, 0.6 of 15 %."""
    asked: list[float] = []

    def chances(gain: float) -> np.ndarray:
        asked.append(gain)
        return np.full((3, 3), {0.05: 0.9, 0.15: 0.6}[gain])

    unmeasured = known(3)
    unmeasured[1, 0] = unmeasured[0, 1] = True
    beaten = displaces([AS_RELEASED, FP8_CACHE, MADE], chances, USUAL, unmeasured)
    expected = np.array(
        [
            [0.0, 0.6 / 0.9, 0.9 / 0.8],
            [0.6 / 0.9, 0.0, 0.9 / 0.8],
            [0.6 / 0.8, 0.6 / 0.8, 0.0],
        ]
    )
    assert beaten == pytest.approx(expected)
    assert sorted(asked) == [0.05, 0.15], "each gain is computed once"


def beaten_by(chance: float, unmeasured: bool = False, one: Standing = FP8_CACHE) -> int:
    """The plan that is taken of what is conventional and ``one``, whose gain has a chance."""
    plans = [AS_RELEASED, one]
    pairs = known(2) | unmeasured
    table = np.array([[0.0, 0.0], [chance, 0.0]])
    return plan_to_take(plans, 0, displaces(plans, lambda _: table, USUAL, pairs))


def test_what_is_conventional_stays_until_a_gain_is_sure() -> None:
    assert beaten_by(0.79) == 0
    assert beaten_by(0.8) == 1
    assert beaten_by(0.89, unmeasured=True) == 0
    assert beaten_by(0.9, unmeasured=True) == 1


@pytest.mark.parametrize(("gain", "taken"), [(0.06, 0), (0.14, 0), (0.16, 1)])
def test_new_weights_need_a_larger_gain(gain: float, taken: int) -> None:
    """A gain that is certain, of settings and of weights that must be made."""
    for one, need in ((MADE, taken), (FP8_CACHE, 1)):
        plans = [AS_RELEASED, one]

        def chances(least: float) -> np.ndarray:
            return np.array([[0.0, 0.0], [float(gain >= least), 0.0]])

        beaten = displaces(plans, chances, USUAL, known(2))
        assert plan_to_take(plans, 0, beaten) == need


def test_a_plan_that_does_not_displace_the_conventional_one_displaces_no_other() -> None:
    beaten = np.array([[0.0, 0.0, 0.0], [1.1, 0.0, 0.0], [0.9, 1.2, 0.0]])
    assert plan_to_take([AS_RELEASED, FP8_CACHE, MADE], 0, beaten) == 1
    beaten[2, 0] = 1.0
    assert plan_to_take([AS_RELEASED, FP8_CACHE, MADE], 0, beaten) == 2


def test_of_plans_that_stand_the_best_known_then_the_simplest_is_taken() -> None:
    related = replace(FP8_CACHE, level="related", expected=0.7, loss=0.05)
    plans = [AS_RELEASED, related, FP8_CACHE, MADE]
    beaten = np.zeros((4, 4))
    beaten[1:, 0] = 1.2
    assert plan_to_take(plans, 0, beaten) == 2
    assert plan_to_take([*plans[:2], MADE], 0, beaten[:3, :3]) == 2, "measured, if less simple"
    assert [LEVELS.index(level) for level in ("measured", "recipe", "related", "none")] == [
        0,
        1,
        2,
        3,
    ]


def test_less_loss_is_worth_a_little_of_the_objective() -> None:
    fast, careful = replace(FP8_CACHE, loss=0.5), replace(FP8_CACHE, loss=0.1)
    beaten = np.zeros((3, 3))
    beaten[1:, 0] = 1.2
    for slower, taken in ((0.9 * SLACK, 2), (1.5 * SLACK, 1)):
        plans = [AS_RELEASED, fast, replace(careful, expected=0.8 * (1 + slower))]
        assert plan_to_take(plans, 0, beaten) == taken


def test_in_a_ring_the_plan_least_likely_beaten_is_taken() -> None:
    plans = [
        AS_RELEASED,
        *(replace(FP8_CACHE, loss=0.1 * i, expected=1 - 0.1 * i) for i in (1, 2, 3)),
    ]
    beaten = np.zeros((4, 4))
    beaten[1:, 0] = 1.2
    beaten[1, 2], beaten[2, 3], beaten[3, 1] = 1.2, 1.1, 1.15
    assert plan_to_take(plans, 0, beaten) == 3
    beaten[1, 2] = 1.05
    assert plan_to_take(plans, 0, beaten) == 2
    beaten[3, 1] = 1.0
    assert plan_to_take(plans, 0, beaten) == 1


@given(STANDINGS, st.randoms(use_true_random=False))
def test_what_is_taken_is_dominated_by_no_other(some: list[Standing], random: Random) -> None:
    """Outside rings: nothing that displaces what is conventional is as well known, as simple, as
    little lossy and as fast, and better in one."""
    beaten = exceeding(some, random)
    conventional = random.randrange(len(some))
    taken = plan_to_take(some, conventional, beaten)
    able = [i for i in range(len(some)) if beaten[i, conventional] >= 1]
    if able and all(any(beaten[j, i] >= 1 for j in able) for i in able):
        assert taken in able
        return
    mine = some[taken]
    for plan in some:
        better = plan.evidence <= mine.evidence and plan.simplicity <= mine.simplicity
        better = better and plan.loss <= mine.loss
        better = better and plan.expected <= mine.expected
        assert not better or (plan.loss, plan.expected) == (mine.loss, mine.expected)


@given(STANDINGS, st.randoms(use_true_random=False))
def test_without_a_sure_gain_only_what_dominates_is_taken(
    some: list[Standing], random: Random
) -> None:
    beaten = np.minimum(exceeding(some, random), 0.999)
    conventional = random.randrange(len(some))
    taken, base = some[plan_to_take(some, conventional, beaten)], some[conventional]
    assert taken.evidence <= base.evidence
    assert taken.simplicity <= base.simplicity
    assert taken.loss <= base.loss
    assert taken.expected <= base.expected


@given(STANDINGS, st.randoms(use_true_random=False))
def test_surer_gains_never_keep_what_is_conventional(some: list[Standing], random: Random) -> None:
    beaten = exceeding(some, random)
    conventional = random.randrange(len(some))
    if (beaten[:, conventional] >= 1).any():
        taken = plan_to_take(some, conventional, beaten)
        base = some[conventional]
        assert taken != conventional or any(
            base.order <= one.order and base.loss <= one.loss and base.expected <= one.expected
            for i, one in enumerate(some)
            if beaten[i, conventional] >= 1
        )


@given(STANDINGS, st.randoms(use_true_random=False))
def test_the_plan_to_take_does_not_depend_on_the_order_of_plans(
    some: list[Standing], random: Random
) -> None:
    beaten = exceeding(some, random)
    places = list(range(len(some)))
    random.shuffle(places)
    conventional = random.randrange(len(some))
    first = plan_to_take(some, conventional, beaten)
    again = plan_to_take(
        [some[i] for i in places], places.index(conventional), beaten[np.ix_(places, places)]
    )
    assert some[places[again]] == some[first]


def test_where_losses_are_compared_the_least_and_within_its_slack_the_fastest() -> None:
    apart = [replace(MADE, loss=0.1), replace(AS_RELEASED, loss=0.1 * (1 + 2 * LOSS_SLACK))]
    assert least_lossy(apart, [9.0, 1.0]) == 0, "more than the slack is never given up"
    near = [replace(FP8_CACHE, loss=loss) for loss in (0.1, 0.1 * (1 + LOSS_SLACK / 2))]
    assert least_lossy(near, [2.0, 1.0]) == 1
    assert least_lossy(near, [1.0, 2.0]) == 0
    made = [replace(MADE, loss=0.1), replace(FP8_CACHE, loss=0.1)]
    assert least_lossy(made, [1.0, 2.0]) == 1, "of equals weights that exist"


@given(STANDINGS, st.data())
def test_no_plan_loses_less_than_the_slack_below_the_taken(
    some: list[Standing], data: st.DataObject
) -> None:
    seconds = [data.draw(st.floats(0.1, 10.0)) for _ in some]
    taken = some[least_lossy(some, seconds)]
    assert taken.loss <= min(plan.loss for plan in some) * (1 + LOSS_SLACK)


@given(st.booleans(), st.booleans(), GAINS, st.booleans())
def test_what_is_required_never_falls_below_settings(
    made: bool, unknown: bool, least: float, allowed: bool
) -> None:
    rule = Thresholds.of(least, "auto", allowed)
    gain, sure = rule.required(new_weights=made, unmeasured=unknown)
    assert gain >= rule.required(new_weights=False, unmeasured=False)[0] == least
    assert sure == (VERY_SURE if unknown and not allowed else SURE)
    assert gain >= (NEW_WEIGHTS_GAIN if made else least)
