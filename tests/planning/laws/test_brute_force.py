"""The planner against trying everything: small models, every assignment, batch and layout."""

from hypothesis import HealthCheck, assume, given, settings
from support.brute_force import Instance, disagreement, instances
from support.examples import examples, thorough


@settings(
    max_examples=examples(15, 500),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(instance=instances())
def test_a_plan_is_the_best_of_all_that_keeps_the_limits(instance: Instance) -> None:
    words = disagreement(instance, wide=thorough())
    assume(words is not None)
    assert not words, words
