"""Plans of ``planner.plan`` in pools of prefill and decode workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.errors import InputError, PlannerError
from planner.lookup import load_device
from planner.messages.message import Message, joined, message
from planner.planning.answer.assemble import recommended
from planner.planning.answer.modes import with_mode
from planner.planning.answer.recommend_text import signed
from planner.planning.choose.decision import decide
from planner.planning.choose.rule import Thresholds
from planner.planning.choose.selection import Selection
from planner.planning.plan.deployment import DISAGGREGATED
from planner.planning.plan.record import Plan
from planner.planning.pools.cases import loss_limit_of
from planner.planning.pools.find_pools import (
    GainOverAggregated,
    PoolsQuestion,
    PoolsResult,
    fastest_engine,
    find_pools,
    gain_over_aggregated,
    infeasible,
    pools_known,
    threshold,
)
from planner.planning.pools.holding import HoldingRival, holding_rival
from planner.planning.pools.pooled_plan import pooled_plan
from planner.planning.pools.recommendation import with_rejected_pools
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_flags import PoolFlags
from planner.planning.question.question import RATES, Question


def pools_or_aggregated(
    inputs: QuestionInput,
    flags: PoolFlags,
    mine: Sequence[Question],
    plan: Plan,
    choice: Selection,
) -> Plan:
    """The aggregated ``plan`` of ``choice``, or pools where they win by more than the uncertainty;
    ``mine`` are the questions of its engine."""
    if not (inputs.exact or mine[0].allow_unmeasured or pools_known(choice)):
        return with_mode(plan, message("assumptions.no_pools_known"))
    margin = 0.0 if inputs.exact else Thresholds.of_question(mine[0]).settings
    least = threshold(choice, mine[0].workload.osl, margin)
    pools_question = PoolsQuestion(None, flags.transfer_bytes_per_s, inputs.exact)
    try:
        pools_result = find_pools(mine, pools_question, above=least, best=choice)
    except InputError as error:
        return with_mode(plan, joined((error.text, error.way_out)))
    if pools_result.choice is None:
        more = pools_result.bound / least * (1 + margin) - 1
        return with_mode(plan, _lost(more, pools_result.bound, margin))
    versus = gain_over_aggregated(pools_result.choice, choice)
    if not (versus.taken or inputs.exact):
        return with_rejected_pools(plan, pools_result, versus)
    rival = holding_rival(mine, choice)
    holding = (
        None
        if rival is None
        else gain_over_aggregated(pools_result.choice, choice, ratio=rival.ratio)
    )
    if rival is None or holding is None:
        return pooled_plan(pools_result, mine[0], plan, choice, _won(versus))
    if holding.taken or inputs.exact:
        why = message("structure.semicolons", parts=(_won(holding), _holding(rival)))
        return pooled_plan(pools_result, mine[0], plan, choice, why, rival)
    return with_mode(with_rejected_pools(plan, pools_result, versus), _not_surely(rival, holding))


def _won(versus: GainOverAggregated) -> Message:
    return message(
        "assumptions.tokens_s_device_over_workers",
        gain=signed(versus.gain),
        margin=f"{versus.least:.0%}",
        beaten=f"{versus.beaten:.0%}",
    )


def _holding(rival: HoldingRival) -> Message:
    return message(
        "assumptions.these_hold_prompts_until_every",
        flag=rival.rule.flag,
        gain=signed(rival.ratio - 1),
        engine=rival.rule.engine,
    )


def _not_surely(rival: HoldingRival, gain: GainOverAggregated) -> Message:
    """Why pools are not taken over workers that hold prompts, which is told with its flag."""
    return message(
        "assumptions.held_prompts_cost_these_less",
        flag=rival.rule.flag,
        gain=signed(rival.ratio - 1),
        over=signed(gain.gain),
        margin=f"{gain.least:.0%}",
        beaten=f"{gain.beaten:.0%}",
    )


def _lost(most: float, bound: float, margin: float) -> Message:
    """Why no pools were looked for: they win ``most`` at the most, of a ``margin`` that they
    must."""
    if not bound > 0:
        return message("assumptions.no_two_pools_of_workers")
    return message("assumptions.two_pools_give_at_most", most=signed(most), margin=f"{margin:.0%}")


def pools_where_aggregated_fails(
    inputs: QuestionInput, flags: PoolFlags, questions: Sequence[Question]
) -> Plan | None:
    """Pools where workers that do both keep no limit; None where pools do not either."""
    try:
        pools_result = fastest_engine(
            questions, PoolsQuestion(None, flags.transfer_bytes_per_s, inputs.exact), None
        )
    except PlannerError:
        return None
    if pools_result.choice is None:
        return None
    return pooled_plan(
        pools_result,
        questions[0],
        None,
        None,
        message("assumptions.workers_that_do_both_keep_none"),
    )


def best_in_pools(inputs: QuestionInput, flags: PoolFlags, questions: Sequence[Question]) -> Plan:
    """The best pools, whatever workers that do both would give.

    Raises:
        InputError: an objective that is no rate, or one device.
    """
    first = questions[0]
    if first.objective not in RATES:
        raise InputError(
            f"pools and --objective {first.objective}: pools are planned for a rate",
            hint="--objective throughput or cost, or --mode aggregated",
        )
    if max(first.sizes) < 2:
        raise InputError(
            "pools of prefill and decode workers on one device",
            hint="--devices 2 or more, or --mode aggregated",
        )
    pools_question = PoolsQuestion(
        _prefill_ways(inputs, flags, questions), flags.transfer_bytes_per_s, inputs.exact
    )
    base = decide(questions, exact=inputs.exact)
    choice = None if base is None else base.choice
    plan = None if base is None else recommended(base.choice, others=base.others)
    pools_result, first = _solve_pools(questions, pools_question, choice)
    return pooled_plan(
        pools_result,
        first,
        plan,
        choice,
        message("assumptions.asked_for")
        if flags.mode == DISAGGREGATED
        else message("assumptions.prefill_device_is_given"),
    )


def _solve_pools(
    questions: Sequence[Question],
    terms: PoolsQuestion,
    choice: Selection | None,
) -> tuple[PoolsResult, Question]:
    """The best pools and the question that they answer: without the default limit on TPOT where
    none keeps it.

    Raises:
        InfeasibleError: none keeps the limits.
    """
    pools_result = fastest_engine(questions, terms, choice)
    if pools_result.choice is None and questions[0].tpot_default:
        questions = [replace(q, tpot_seconds=None, tpot_default=False) for q in questions]
        pools_result = fastest_engine(questions, terms, choice)
    if pools_result.choice is None:
        raise infeasible(questions[0])
    engine = pools_result.choice.option.pools.shared.engine
    return pools_result, next(q for q in questions if q.engine == engine)


def _prefill_ways(
    inputs: QuestionInput,
    flags: PoolFlags,
    decode: Sequence[Question],
) -> tuple[Question, ...] | None:
    """The ways to serve on the prefill devices, held to the limit on loss of the others; None where
    both pools have the same devices."""
    if flags.prefill_device is None:
        return None
    device = load_device(flags.prefill_device, hardware_dir=inputs.hardware_dir)
    if device.id == decode[0].device.id:
        return None
    ways = replace(inputs, device=device).questions()
    limit = loss_limit_of(decode)
    return tuple(replace(q, loss_scheme=None, loss_limit=limit) for q in ways)
