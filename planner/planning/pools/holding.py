"""The rival of pools that engines do not run by default: workers that do both and hold prompts
until every attention rank has one, so that a step is long for all ranks at once or for none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.base.records import record
from planner.planning.choose.selection import Selection
from planner.planning.engines.pool_rules import HoldingRule, holding_rule
from planner.planning.price.price import Priced, price
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.question import Question
from planner.planning.search.engine_search import solve_with_relaxations
from planner.throughput.arrivals import hold_window


@record
class HoldingRival:
    """The best workers that do both and hold prompts: ``ratio`` of their tokens/s a device to those
    of the best that hold none."""

    rule: HoldingRule
    ratio: float


def holding_rival(questions: Sequence[Question], choice: Selection) -> HoldingRival | None:
    """What pools are up against beside ``choice``; None where the engine holds no prompts, or
    where that gains nothing within the limits."""
    engine = engine_of(questions[0])
    rule = None if engine is None else holding_rule(engine)
    if rule is None:
        return None
    result, _, _ = solve_with_relaxations([replace(q, hold_steps=rule.steps) for q in questions])
    if result is None or result.value >= choice.exact.value:
        return None
    priced, question = price(result.space, result.candidate, result.segments), questions[0]
    waited = _holding_seconds(question, priced, rule.steps)
    times = question.limited_times(priced.ttft + waited, priced.tpot)
    if any(times[name] > question.time_limits.get(name, np.inf) for name in ("ttft", "e2e")):
        return None
    return HoldingRival(rule, choice.exact.value / result.value)


def _holding_seconds(question: Question, priced: Priced, steps: int) -> float:
    """How long a prompt is held on average."""
    layout = priced.layout
    arriving = priced.batch / question.workload.osl * question.accepted / layout.pp
    window = hold_window(np.array([arriving]), np.array([float(layout.dp)]), steps)
    return float(window[0]) / 2 * priced.tpot
