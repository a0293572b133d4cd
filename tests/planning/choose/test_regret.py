"""Regret: what a choice costs against the best of each draw."""

import pytest
from support.choices import llama

from planner.planning.choose.error_classes import ErrorClass
from planner.planning.choose.regret import choice_regrets, regrets
from planner.planning.choose.uncertainty import TimePart, UncertainObjective

GEMM, MOE = ErrorClass("gemm", "x"), ErrorClass("moe", "x")


def plan(value: float, error: ErrorClass, sigma: float) -> UncertainObjective:
    return UncertainObjective(value, (TimePart(((error, sigma),), value),), ())


def test_of_what_does_not_err_the_best_has_none() -> None:
    found = regrets([plan(1.0, GEMM, 0.0), plan(1.2, MOE, 0.0)])
    assert (found[0].mean, found[0].p90) == (0.0, 0.0)
    assert (found[1].mean, found[1].p90) == pytest.approx((0.2, 0.2))


def test_what_is_worse_on_paper_costs_more_and_errors_raise_both() -> None:
    small, large = (
        regrets([plan(1.0, GEMM, sigma), plan(1.1, MOE, sigma)]) for sigma in (0.05, 0.4)
    )
    for better, worse in (small, large):
        assert 0 < better.mean < worse.mean
        assert better.p90 < worse.p90
    assert small[0].mean < large[0].mean


def test_the_order_of_the_plans_does_not_matter() -> None:
    one, other = plan(1.0, GEMM, 0.1), plan(1.1, MOE, 0.3)
    assert regrets([one, other]) == tuple(reversed(regrets([other, one])))


def test_an_evaluation_draws_anew() -> None:
    one, other = plan(1.0, GEMM, 0.1), plan(1.1, MOE, 0.3)
    assert regrets([one, other]) != regrets([one, other], salt="")


def test_a_choice_has_regrets_of_three_plans() -> None:
    """What stays conventional regrets what as released does; what is taken instead regrets less."""
    kept, changed = llama(), llama(objective="latency")
    for choice in (kept, changed):
        assert set(choice_regrets(choice)) == {"recommendation", "optimum", "as released"}
        ours, exact, released = choice_regrets(choice).values()
        assert ours is not None
        assert exact is not None
        assert released is not None
        assert ours == regrets([one.weighed for one in choice.options])[choice.taken]
        assert exact.mean < released.mean
    assert kept.taken == kept.conventional
    ours, exact, released = choice_regrets(kept).values()
    assert ours is not None
    assert exact is not None
    assert released is not None
    assert exact.mean < released.mean < ours.mean, "with a cache of 8 bits, which is not taken"
    assert changed.taken != changed.conventional
    each = regrets([one.weighed for one in changed.options])
    assert each[changed.taken].mean < each[changed.conventional].mean
