"""The whole explanation of a plan's choice: units, prices of limits, what would change it."""

from __future__ import annotations

from collections.abc import Sequence

from planner.messages.message import message
from planner.planning.explain.limit_prices import SolvedQuestions, binding, limit_prices
from planner.planning.explain.next_best import MOST, unit_choices
from planner.planning.explain.records import ChoiceExplanation
from planner.planning.explain.switching_points import HALVINGS, SOLVES, STEPS, switching_points
from planner.planning.plan.record import Plan
from planner.planning.price.price import price
from planner.planning.question.question import Question, improvement
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import differences
from planner.planning.solver.solve import LAYERS_GAP
from planner.planning.space.losses import loss_word, saturated_loss

METRICS = {
    "throughput": "tokens/s a device",
    "latency": "seconds of TPOT",
    "memory": "bytes over all devices",
    "quality": "loss",
    "cost": "tokens/s a device",
}


def explain_result(
    questions: Sequence[Question],
    result: SearchResult,
    plan: Plan,
    *,
    given: SearchResult | None,
    breaks: str = "",
    solves: int = SOLVES,
) -> ChoiceExplanation:
    """``plan`` explained: the best answer ``result`` of ``questions``, or a ``given`` one of them.

    Prices and tipping points are those of the best answer; units are those of ``plan``, which may
    break a limit (``breaks``). At most ``solves`` solves go into what would change the answer.
    """
    answered = SolvedQuestions(tuple(questions), result)
    objective = result.space.model.question.objective
    differs = () if given is None else _differs(given, result)
    better = 0.0 if given is None else improvement(objective, given.value, result.value)
    best = not differs and not breaks and better <= 1e-6
    again = best
    units, released = unit_choices(result if given is None or best else given, again=again)
    priced = price(result.space, result.candidate, result.segments)
    limits, spent = limit_prices(answered, priced)
    tipping, more = switching_points(answered, solves)
    return ChoiceExplanation(
        plan=plan,
        metric=METRICS[objective],
        value=saturated_loss(result.space.model, result.bound)
        if objective == "quality"
        else _value(plan),
        loss_unit=loss_word(result.space.model),
        best=best,
        better_by=float(f"{better:.6g}"),
        differs=differs,
        breaks=breaks,
        units=units,
        released=released,
        limits=limits,
        binding=binding(limits),
        tipping=tipping,
        solves=spent + more,
        basis=(
            *_basis(again and len(units) <= MOST, solves, objective),
            *(
                ()
                if result.space.model.question.profile is None
                else (message("verbs.layered", gap=f"{LAYERS_GAP:g}"),)
            ),
        ),
    )


def _differs(given: SearchResult, best: SearchResult) -> tuple[str, ...]:
    batches = [int(f.space.pts.batch[f.candidate]) for f in (given, best)]
    batch_change = [f"batch {batches[0]} → {batches[1]}"] if batches[0] != batches[1] else []
    return (*differences(given, best), *batch_change)


def _value(plan: Plan) -> float:
    """The objective of a plan as people read it."""
    perf = plan.performance
    if plan.objective == "latency":
        return perf.tpot_seconds.value
    if plan.objective == "memory":
        return float(plan.memory_per_device.total_bytes * plan.device.count)
    return perf.output_tokens_per_second_per_device.value


def _basis(again: bool, solves: int, objective: str) -> tuple[str, ...]:
    steps = ", ".join(f"{s:g}" for s in STEPS)
    out = (
        message("verbs.units_solved_again") if again else message("verbs.units_stay", most=MOST),
        message("verbs.limits_solved_again"),
        message("verbs.loss_of_a_step"),
        message("verbs.changes_solved", steps=steps, halvings=HALVINGS, solves=solves),
    )
    return out if objective != "quality" else (*out, message("verbs.quality_gains"))
