"""The answers to a question's input: the plan, or the price of what it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.base.errors import InputError
from planner.hardware.profile import is_card_sum
from planner.planning.answer.assemble import assemble
from planner.planning.inspect.priced_input import price_plan, price_uniform
from planner.planning.modes.deploy import drafts_requested, plan_deployment, prefixes_of
from planner.planning.plan.bounds import escape_control_characters
from planner.planning.plan.notes import with_notes
from planner.planning.plan.record import Plan
from planner.planning.question.input import BF16, QuestionInput
from planner.planning.question.pool_flags import PoolFlags
from planner.planning.search.grid_search import SearchResult

if TYPE_CHECKING:
    pass


def answer_plan(inputs: QuestionInput, flags: PoolFlags) -> Plan:
    """The best plan of a question."""
    _check_anchor(inputs.anchor)
    if is_card_sum(str(inputs.device)):
        from planner.planning.modes.unequal_cards import over_unequal_cards

        plan = over_unequal_cards(inputs, lambda wanted: plan_deployment(wanted, flags))
    else:
        plan = plan_deployment(inputs, flags)
    return _anchored(plan, inputs.anchor)


def answer_estimate(inputs: QuestionInput) -> Plan:
    """The price of the question's plan, or of its scheme.

    Raises:
        InputError: a plan, and a scheme, a cache or drafted tokens beside it.
    """
    _check_anchor(inputs.anchor)
    if inputs.plan is not None:
        if inputs.scheme is not None:
            raise InputError("scheme and plan exclude each other", hint="leave one out")
        if inputs.kv != BF16:
            raise InputError(
                f"kv {inputs.kv!r} and plan exclude each other: the plan has its own caches",
                hint="leave one out",
            )
        if drafts_requested(inputs):
            raise InputError(
                "speculation and plan exclude each other: the plan has its own",
                hint="leave one out",
            )
    drafts, prefixes = drafts_requested(inputs), prefixes_of(inputs)
    if prefixes is not None:
        from planner.planning.reuse.search import estimated_with_prefixes

        return _anchored(estimated_with_prefixes(inputs, prefixes, _priced), inputs.anchor)
    if inputs.plan is not None:
        return _anchored(_repriced(inputs, inputs.plan), inputs.anchor)
    if drafts:
        from planner.planning.speculate.search import estimate_with_drafts

        return _anchored(estimate_with_drafts(inputs, _uniform), inputs.anchor)
    return _anchored(assemble(_uniform(inputs)), inputs.anchor)


def _priced(inputs: QuestionInput) -> SearchResult:
    """The assignment of the question's plan, or of its scheme."""
    return _uniform(inputs) if inputs.plan is None else price_plan(inputs, inputs.plan)


def _uniform(inputs: QuestionInput) -> SearchResult:
    """The question's scheme, or its scenario's, everywhere."""
    scenario = inputs.loaded_scenario
    return price_uniform(
        inputs,
        inputs.scheme
        if inputs.scheme is not None or scenario is None
        else scenario.values.get("scheme"),
    )


def _repriced(inputs: QuestionInput, plan: Plan) -> Plan:
    """The units of ``plan``, with what it drafts; both its pools."""
    if plan.deployment is not None:
        from planner.planning.pools.priced_again import priced_again

        return priced_again(inputs, plan)
    result = price_plan(inputs, plan)
    if plan.speculation is None:
        return assemble(result)
    from planner.planning.speculate.info import with_speculation

    return with_speculation(assemble(result), result, None)


def _check_anchor(text: str | None) -> None:
    """Refuse a malformed anchor before anything is computed."""
    if text is not None:
        from planner.planning.answer.measured_point import parse_anchor

        parse_anchor(text)


def _anchored(plan: Plan, text: str | None) -> Plan:
    """``plan`` as it can be written, with the ratio to one measured operating point among its
    assumptions."""
    plan = escape_control_characters(plan)
    if text is None:
        return plan
    from planner.planning.answer.measured_point import anchor_note, anchored

    perf = plan.performance
    anchor = anchored(
        text,
        {
            name: getattr(perf, name).value
            for name in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second")
        },
    )
    return with_notes(plan, anchor_note(anchor))
