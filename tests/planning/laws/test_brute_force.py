"""The planner against trying everything: small models, every assignment, batch and layout."""

from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from support.answers import least_of, planned
from support.brute_force import Instance, best_loop, disagreement, instances, limited
from support.examples import examples, thorough

from planner.planning.question.question import TIMED


@settings(
    max_examples=examples(15, 500),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(instance=instances())
def test_a_plan_is_the_best_of_all_that_keeps_the_limits(instance: Instance) -> None:
    words = disagreement(instance, wide=thorough())
    assume(words is not None)
    assert not words, words


LOOP = 0.03
"""Share of the best closed loop that a search of sums may leave."""


@settings(
    max_examples=examples(10, 200),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(instance=instances())
def test_a_plan_serves_about_as_well_as_any(instance: Instance) -> None:
    """By closed loops, which are printed, among all that keeps memory and loss."""
    question = limited(replace(instance, limits=()))
    assume(question.objective in TIMED)
    plan = planned((question,))
    assume(plan is not None)
    assert plan is not None
    assert least_of(plan)[0] <= best_loop(question) * (1 + LOOP)
