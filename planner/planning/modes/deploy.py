"""What ``planner.plan`` and ``planner.estimate`` are asked about a whole deployment: pools, drafted
tokens, prefixes, and which of them go together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.base.errors import InputError
from planner.hardware.catalog import list_devices
from planner.hardware.segments import one_by_default
from planner.messages.message import message
from planner.planning.answer.assemble import recommended
from planner.planning.answer.modes import (
    WITH_A_BATCH,
    WITH_A_CONCURRENCY,
    no_pools,
    pools_ruled_out,
    refused,
    with_mode,
)
from planner.planning.choose.decision import PlanDecision, decide
from planner.planning.choose.selection import Selection
from planner.planning.infeasible.case import unserved_case
from planner.planning.plan.deployment import AGGREGATED, AUTO
from planner.planning.plan.record import Assumption, Plan
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_flags import FLAG, PoolFlags
from planner.planning.question.question import Question
from planner.throughput.calibration import ANY_ENGINE

if TYPE_CHECKING:
    from planner.planning.question.input import QuestionInput
    from planner.planning.reuse.search import PrefixQuestion


def plan_deployment(inputs: QuestionInput, flags: PoolFlags) -> Plan:
    """The best plan of a question, with what it is asked of its deployment.

    Raises:
        InfeasibleError: nothing satisfies the limits.
        InputError: what is asked is not planned together.
    """

    flags.check()
    drafts, prefixes = drafts_requested(inputs), prefixes_of(inputs)
    if drafts:
        return _drafted(inputs, flags)
    if prefixes is not None:
        from planner.planning.reuse.search import planned_with_prefixes

        flags.of_one_pool("--reuse")
        return planned_with_prefixes(inputs, prefixes)
    return plan_in_mode(inputs, flags)


def _drafted(inputs: QuestionInput, flags: PoolFlags) -> Plan:
    """The best plan with what is asked of drafted tokens: what drafts is settled by workers that do
    both, then both pools are searched with it."""

    from planner.planning.answer.modes import KEY
    from planner.planning.speculate import search

    pool_flags = PoolFlags(AGGREGATED)
    alone = search.plan_with_drafts(inputs, lambda plain: plan_in_mode(plain, pool_flags))
    if flags.mode == AGGREGATED:
        return alone
    if alone.speculation is None:
        bare = plan_in_mode(search.without_drafts(inputs), flags)
        return replace(bare, assumptions=(*bare.assumptions, *_notes(alone, search.KEY)))
    plan = plan_in_mode(inputs.drafting_as(alone), flags)
    if not in_pools(plan):
        return replace(
            alone,
            deployment=plan.deployment,
            assumptions=(*alone.assumptions, *_notes(plan, KEY)),
        )
    return plan


def _notes(plan: Plan, key: str) -> list[Assumption]:
    return [note for note in plan.assumptions if note.key == key]


def drafts_requested(inputs: QuestionInput) -> bool:
    """Whether drafted tokens are asked for; what belongs to them alone is refused without."""
    if inputs.speculation is None and inputs.draft_tokens is None and inputs.acceptance is None:
        return False
    from planner.planning.speculate.search import asks_for_drafts

    return asks_for_drafts(inputs)


def prefixes_of(inputs: QuestionInput) -> PrefixQuestion | None:
    """What is asked of prefixes, None where nothing is.

    Raises:
        InputError: drafted tokens are asked for as well.
    """
    if not inputs.asks_prefixes:
        return None
    from planner.planning.reuse.search import prefix_question

    prefixes = prefix_question(inputs)
    if prefixes is not None and drafts_requested(inputs):
        raise InputError(
            "speculation and reuse are planned one after the other",
            hint="leave out --speculation, then give the hit rate that is found with "
            "it: --prefix-hit RATE --speculation …",
        )
    return prefixes


IN_THEORY = "in theory"


def plan_in_mode(inputs: QuestionInput, flags: PoolFlags) -> Plan:
    """The best plan of a question in the mode that is asked for.

    Raises:
        InfeasibleError: nothing satisfies the limits.
    """
    return decided_plan(inputs, flags)[0]


def decided_plan(inputs: QuestionInput, flags: PoolFlags) -> tuple[Plan, Selection | None]:
    """:func:`plan_in_mode`, and the choice among plans of one pool that it came of; None where the
    plan is of two, or was demanded so.

    Raises:
        InfeasibleError: nothing satisfies the limits. InputError: pools that contradict themselves.
    """
    flags.check()
    questions = inputs.questions()
    if flags.demanded:
        if questions[0].concurrency is not None:
            raise InputError(
                "--concurrency and pools: how many decode workers share the requests is searched",
                hint="--batch sets the sequences of one decode worker; or --mode aggregated",
            )
        from planner.planning.modes.pools import best_in_pools

        return best_in_pools(inputs, flags, questions), None
    _check_link(flags, questions[0])
    decision = decide(questions, exact=inputs.exact)
    hosted = plan_with_desktop(inputs, decision)
    if hosted is not None:
        return hosted, None
    decision = decided_at_home(inputs, decision) or decision
    if decision is None:
        plan = None
        if (
            flags.mode == AUTO
            and not pools_ruled_out(questions[0])
            and questions[0].engine != ANY_ENGINE
        ):
            from planner.planning.modes.pools import pools_where_aggregated_fails

            plan = pools_where_aggregated_fails(inputs, flags, questions)
        if plan is None:
            from planner.planning.infeasible.diagnose import no_plan_error
            from planner.planning.infeasible.host_memory import host_memory_refusal

            case = unserved_case(inputs)
            raise host_memory_refusal(case) or no_plan_error(case, list_devices)
        return plan, None
    choice = decision.choice
    plan = _with_offer(recommended(choice, others=decision.others), choice)
    plan = in_its_mode(inputs, flags, decision, plan)
    return plan, None if in_pools(plan) else choice


def plan_with_desktop(inputs: QuestionInput, decision: PlanDecision | None) -> Plan | None:
    """The plan of a card at home that is too small, beside an assumed desktop; None for others."""
    if not one_by_default(inputs.subject[1]):
        return None
    from planner.planning.modes.assumed_host import on_assumed_host

    return on_assumed_host(inputs, decision)


def decided_at_home(inputs: QuestionInput, decision: PlanDecision | None) -> PlanDecision | None:
    """What one user of cards at home is told by the time in which one reads; None for others."""
    if not one_by_default(inputs.subject[1]):
        return None
    from planner.planning.modes.assumed_host import at_reading_pace

    return at_reading_pace(inputs, decision)


def in_pools(plan: Plan) -> bool:
    """Whether a plan is of two pools."""
    return plan.deployment is not None and plan.deployment.mode != AGGREGATED


def in_its_mode(
    inputs: QuestionInput, flags: PoolFlags, decision: PlanDecision, plan: Plan
) -> Plan:
    """The aggregated ``plan`` of a decision with what pools would be, or the pools that win."""
    choice, mine = decision.choice, decision.questions
    if flags.mode != AUTO or pools_ruled_out(mine[0]) or mine[0].engine == ANY_ENGINE:
        return plan
    why = refused(mine, mine)
    if why:
        error = no_pools((why,))
        return with_mode(plan, message("structure.semicolons", parts=(error.text, error.way_out)))
    from planner.planning.modes.pools import pools_or_aggregated

    return pools_or_aggregated(inputs, flags, mine, plan, choice)


def _with_offer(plan: Plan, choice: Selection) -> Plan:
    """The plan with what prediction layers would bring, where the model has any."""
    if not choice.option.space.model.question.spec.mtp_layers:
        return plan
    from planner.planning.speculate.offer import with_offer

    return with_offer(plan, choice.result())


def _check_link(flags: PoolFlags, question: Question) -> None:
    """Refuse a link between pools where none are tried.

    Raises:
        InputError: there is one.
    """
    untried = pools_ruled_out(question) or (IN_THEORY if question.engine == ANY_ENGINE else "")
    if flags.transfer_bytes_per_s is None or flags.mode != AUTO or not untried:
        return
    if untried == WITH_A_CONCURRENCY:
        raise InputError(
            f"{FLAG}: no pools are tried {untried}",
            hint=f"leave {FLAG} out, or ask for the sequences of one decode worker: "
            "--batch N --mode disaggregated",
        )
    if untried in (WITH_A_BATCH, IN_THEORY):
        raise InputError(
            f"{FLAG}: no pools are tried {untried} unless they are asked for",
            hint=f"--mode disaggregated asks for them; or leave {FLAG} out",
        )
    raise InputError(f"{FLAG}: no pools are tried {untried}", hint=f"leave {FLAG} out")
