"""Why each unit takes its choice: the best other one is found by trying all."""

import numpy as np
import pytest
from support.questions import found_of

from planner.messages.message import message
from planner.planning.answer.reasons import NextBest, ReasonInputs, explain, kept_simple
from planner.planning.search.formulate import single_problem
from planner.planning.solver.problem import objective_of, violation


@pytest.mark.parametrize("objective", ["throughput", "memory"])
def test_the_next_best_is_the_least_worse_of_those_that_keep_the_limits(objective: str) -> None:
    found = found_of(objective=objective)
    problem = single_problem(found.space, found.candidate)
    base, checked = objective_of(problem, found.solution.counts), 0
    told = explain(found)
    for segment in found.segments:
        why = told[segment.unit, segment.choice]
        reason = why.reason
        unit = found.space.model.units[segment.unit]
        if segment.choice < 0:
            assert (reason, why.next_best) == ("kept as released", None)
            continue
        trials = {}
        decision = found.space.model.decided.decisions[unit.decision]
        place = decision.units.index(segment.unit)
        now = decision.options[int(found.solution.counts[unit.decision].argmax())]
        for i, option in enumerate(decision.options):
            others_stay = not decision.paired or all(
                a == b for k, (a, b) in enumerate(zip(option, now, strict=True)) if k != place
            )
            if option != now and others_stay and problem.legal[unit.decision, i]:
                counts = found.solution.counts.copy()
                counts[unit.decision] = np.arange(counts.shape[1]) == i
                if violation(problem, counts) is None:
                    trials[i] = objective_of(problem, counts) / base - 1
        if not trials:
            assert why.next_best is None
            assert reason.startswith(("only: ", "limits: ")) or "breaks it" in reason
            continue
        assert why.next_best is not None
        assert why.next_best.delta == pytest.approx(min(trials.values()), abs=1e-6)
        assert why.next_best.delta >= 0  # the plan is proved to be the best
        checked += why.next_best.delta > 1e-6
    assert checked


def test_a_better_choice_that_breaks_a_limit_is_named_with_the_limit() -> None:
    reasons = [why.reason for why in explain(found_of(max_loss="fp8-block")).values()]
    assert any(r.startswith("max-loss: ") and r.endswith("but breaks it") for r in reasons)


def test_a_plan_taken_for_being_simple_says_so_where_another_choice_is_better() -> None:
    following = NextBest("fp8-tensor", -0.02)
    not_best = message("reasons.not_best_would_be_better", scheme="fp8-tensor", y="2.0%")
    better = ReasonInputs(not_best, following)
    assert better.reason == "not best: fp8-tensor would be 2.0% better"
    simple = kept_simple(better)
    assert simple.reason == "simple: fp8-tensor would be 2.0% better, alone"
    assert simple.next_best == following
    is_worse = message("reasons.best_is_worse", scheme="fp8-tensor", delta="2.0%")
    best = ReasonInputs(is_worse, NextBest("fp8-tensor", 0.02))
    assert kept_simple(best) == best
