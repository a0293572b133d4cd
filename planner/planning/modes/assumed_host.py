"""A model that no card at home holds undamaged: its experts or FFN in the memory of an assumed
desktop, before cards are multiplied.

Only where a question leaves open how many cards and which host there are; who names either, or
drafts, pools or several users, is answered as before. The plan is taken where it decodes in
SLOWEST_STEP_SECONDS at most and its loss is no damage, and it says what was assumed.
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.errors import InfeasibleError, UnsupportedError
from planner.hardware.segments import one_by_default
from planner.planning.answer.assemble import recommended
from planner.planning.choose.decision import PlanDecision, decide
from planner.planning.plan.record import Plan
from planner.planning.question.assumed_hosts import AssumedHost, assumed_hosts
from planner.planning.question.engine_choice import AUTO_ENGINE
from planner.planning.question.input import QuestionInput
from planner.quality.meaning import all_words, word_of

SLOWEST_STEP_SECONDS = 0.2
"""A step that a reader still waits for: 5 tokens a second."""
ENGINE = "llama.cpp"
"""The engine that people at home keep weights in host memory with."""


def on_assumed_host(inputs: QuestionInput, decision: PlanDecision | None) -> Plan | None:
    """The plan beside the first assumed host that serves the question undamaged and quickly enough;
    None where one card does (``decision``), where the question says what there is, or no host
    helps."""
    if not _left_open(inputs) or not _too_small(inputs, decision):
        return None
    for host in assumed_hosts():
        plan = _plan_with(replace(inputs, engine=ENGINE, assumed_host=host), host)
        if plan is not None:
            return plan
    return None


def _left_open(inputs: QuestionInput) -> bool:
    """Whether nothing says how many cards there are, which host, or that many users share them."""
    device = inputs.subject[1]
    given = inputs.given_values.with_scenario(inputs.loaded_scenario)
    named = (given.host, given.devices, given.tp, given.dp, given.pp, given.ep)
    users = given.batch or given.concurrency or 1
    return (
        device.kind == "gpu"
        and one_by_default(device)
        and not device.unified_memory
        and not any(named)
        and users == 1
        and inputs.requested_engine.partition("@")[0] in (AUTO_ENGINE, ENGINE)
    )


def _too_small(inputs: QuestionInput, decision: PlanDecision | None) -> bool:
    """Whether one card has no plan, or none that keeps what the model can do."""
    if decision is None:
        return True
    option = decision.choice.option
    return option.priced.layout.ranks > 1 or _damaged(inputs, option.priced.loss)


def _damaged(inputs: QuestionInput, loss_nats: float) -> bool:
    """Whether a loss that nobody asked for is of the worst kind."""
    return inputs.max_loss is None and word_of(loss_nats) == all_words()[-1]


def _plan_with(inputs: QuestionInput, host: AssumedHost) -> Plan | None:
    """The plan with an assumed ``host``; None where there is none that is worth telling."""
    try:
        decision = decide(inputs.questions(), exact=inputs.exact)
    except (InfeasibleError, UnsupportedError):
        return None
    if decision is None:
        return None
    plan = recommended(decision.choice, others=decision.others)
    slow = plan.performance.tpot_seconds.value > SLOWEST_STEP_SECONDS
    if slow or plan.offload is None or _damaged(inputs, plan.quality.loss):
        return None
    return plan
