"""The planner against trying everything: small models, every assignment, batch and layout."""

from hypothesis import HealthCheck, given, settings
from support.answers import ROUNDING, least_of
from support.brute_force import Instance, every, instances, limited, planned
from support.random_questions import examples


@settings(max_examples=examples(50), suppress_health_check=[
    HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(instance=instances())
def test_nothing_that_keeps_the_limits_is_better_than_the_plan(instance: Instance) -> None:
    question = limited(instance)
    best, plan = every(question), planned(question)
    if best.priced is None or plan is None:
        assert best.priced is None, f"no plan, but {best.value:.9g} at batch {best.priced.batch}"
        assert plan is None, f"a plan of {plan}, but nothing keeps the limits"
        return
    value, precise = least_of(plan)
    slack = plan.solver.gap + precise + ROUNDING
    assert value <= best.value * (1 + slack), f"{value:.9g} for {best.value:.9g}"
    assert value >= best.value * (1 - precise - ROUNDING), "the plan breaks a limit"
