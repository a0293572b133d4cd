"""The verbs as tests of models and searches ask them: no engine's rules, no default limit, the
optimum without regard to how sure its numbers are. What a test or its scenario says holds."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import planner
from planner.planning.question.input import QuestionInput
from planner.planning.question.scenario import Scenario
from planner.planning.question.scenarios import load_scenario

DEFAULTS = {"engine": "any", "tpot_seconds": "none"}
SCENARIO_KEYS = {"engine": "engine", "tpot_seconds": "tpot_ms"}


def _of_theory(verb: Callable[..., Any], **more: Any) -> Callable[..., Any]:
    @wraps(verb)
    def asked(*names: Any, **given: Any) -> Any:
        if given.get("plan") is not None or given.get("module") is not None:
            return verb(*names, **given)
        scenario = given.get("scenario")
        if isinstance(scenario, str):
            scenario = load_scenario(scenario)
        said = scenario.values if isinstance(scenario, Scenario) else {}
        defaults = {key: value for key, value in DEFAULTS.items() if SCENARIO_KEYS[key] not in said}
        return verb(*names, **{**defaults, **more, **given})

    return asked


plan = _of_theory(planner.plan, exact=True)
estimate = _of_theory(planner.estimate)
explain = _of_theory(planner.explain, exact=True)
frontier = _of_theory(planner.frontier)


def ask(*names: Any, **given: Any) -> QuestionInput:
    """The question itself, under the same defaults."""
    return QuestionInput(*names, **{**DEFAULTS, **given})
