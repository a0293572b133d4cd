"""``--speculation``: what may draft tokens for a model, and the plan with it or without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.base.errors import InfeasibleError, InputError, UnknownNameError, UnsupportedError
from planner.lookup import load_model
from planner.messages.message import message
from planner.models.drafting import head_of
from planner.models.spec import ModelSpec
from planner.planning.answer.assemble import assemble, recommended
from planner.planning.choose.decision import decide
from planner.planning.choose.rule import Thresholds
from planner.planning.plan.bounds import MOST_DRAFTED
from planner.planning.plan.record import Plan
from planner.planning.price.plan_kinds import recipes_here
from planner.planning.question.drafted import with_drafts as drafted_questions
from planner.planning.question.question import TIMED, Question
from planner.planning.question.speculation import (
    AUTO,
    DRAFT_MODEL,
    EAGLE,
    MTP,
    NONE,
    Speculation,
    draft_model,
    eagle_head,
    prediction_layers,
)
from planner.planning.search.grid_search import SearchResult
from planner.planning.speculate.info import KEY as KEY
from planner.planning.speculate.info import chance_above, not_taken, with_speculation
from planner.throughput.acceptance import acceptance, measured_draft_counts
from planner.throughput.speculation import Acceptance

if TYPE_CHECKING:
    from planner.planning.question.input import QuestionInput

MOST_SEARCHED = 8
"""Tokens drafted a step up to which the best number is looked for."""
WORDS = (AUTO, NONE, MTP, EAGLE)
GIVEN = "given (--acceptance)"


def asks_for_drafts(inputs: QuestionInput) -> bool:
    """Whether anything but no speculation is asked for.

    Raises:
        InputError: a number of drafted tokens or an acceptance without it, or out of range.
    """
    rate, count = inputs.acceptance, inputs.draft_tokens
    if rate is not None and not 0 < rate < 1:
        raise InputError(
            f"acceptance = {rate:g} is out of range",
            hint="the share of drafted tokens that is accepted, between 0 and 1: "
            "for example --acceptance 0.8",
        )
    if count is not None and not 1 <= count <= MOST_DRAFTED:
        raise InputError(
            f"draft-tokens = {count} is out of range",
            hint=f"--draft-tokens is from 1 to {MOST_DRAFTED}",
        )
    wanted = inputs.speculation is not None and inputs.speculation != NONE
    if not wanted and (rate is not None or count is not None):
        flag = "acceptance" if rate is not None else "draft-tokens"
        raise InputError(
            f"--{flag} without --speculation",
            hint="add --speculation auto, mtp, eagle, or the name of a draft model",
        )
    return wanted


def without_drafts(inputs: QuestionInput) -> QuestionInput:
    """The question without what it asks of drafted tokens."""
    return replace(inputs, speculation=None, draft_tokens=None, acceptance=None)


def draft_options(inputs: QuestionInput, spec: ModelSpec, workload: str) -> tuple[Speculation, ...]:
    """Everything that may draft for ``spec`` under what was asked, fewest tokens first.

    Raises:
        InputError: what is named does not exist for the model, or nothing is known of its
            acceptance.
    """
    wanted = inputs.speculation
    if wanted == AUTO:
        kinds = [
            one
            for one, there in ((MTP, bool(spec.mtp_layers)), (EAGLE, head_of(spec) is not None))
            if there
        ]
        return tuple(option for kind in kinds for option in _of_kind(inputs, spec, kind, workload))
    if isinstance(wanted, str) and wanted in (MTP, EAGLE):
        return _of_kind(inputs, spec, wanted, workload)
    return _of_kind(inputs, spec, DRAFT_MODEL, workload)


def _of_kind(
    inputs: QuestionInput, spec: ModelSpec, kind: str, workload: str
) -> tuple[Speculation, ...]:
    draft = _draft(inputs, spec) if kind == DRAFT_MODEL else None
    own = "" if draft is None else draft.id
    if kind == MTP and not spec.mtp_layers:
        raise InputError(
            message("refusals.has_no_prediction_layers_mtp", m=spec.id), hint=_instead(spec)
        )
    if kind == EAGLE and head_of(spec) is None:
        raise InputError(message("assumptions.no_eagle_head_of_is", m=spec.id), hint=_instead(spec))

    def option(count: int) -> Speculation:
        given = inputs.acceptance
        rate = (
            acceptance(kind, spec.id, workload, count, own)
            if given is None
            else Acceptance(given, given, given, GIVEN)
        )
        if draft is not None:
            return draft_model(draft, count, rate)
        return (prediction_layers if kind == MTP else eagle_head)(spec, count, rate)

    return tuple(map(option, _counts(inputs, spec, kind, own)))


def _counts(inputs: QuestionInput, spec: ModelSpec, kind: str, draft: str) -> Sequence[int]:
    """Tokens drafted a step that are tried: those given, else those that were measured."""
    if inputs.draft_tokens is not None:
        return (inputs.draft_tokens,)
    if inputs.acceptance is not None:
        return range(1, MOST_SEARCHED + 1)
    return measured_draft_counts(kind, spec.id, draft) or (1,)


def _draft(inputs: QuestionInput, spec: ModelSpec) -> ModelSpec:
    """The draft model that was named."""
    model = inputs.speculation
    assert model is not None
    assert not isinstance(model, Speculation)
    try:
        draft = load_model(model)
    except UnknownNameError as error:
        raise UnknownNameError(
            "speculation",
            error.name,
            WORDS,
            own="Or a model that drafts: `plan list models` lists them",
        ) from None
    if draft.id == spec.id:
        raise InputError(
            message("refusals.drafts_for_itself_nothing_is", m=spec.id), hint=_instead(spec)
        )
    return draft


def _instead(spec: ModelSpec) -> str:
    """What may draft for a model in place of what was asked for."""
    if spec.mtp_layers:
        return "--speculation mtp"
    if head_of(spec) is not None:
        return "--speculation eagle"
    return "--speculation none, or the name of a smaller model of its vocabulary with --acceptance"


def plan_with_drafts(inputs: QuestionInput, plain: Callable[[QuestionInput], Plan]) -> Plan:
    """The plan of a question that asks for drafted tokens; ``plain`` answers one that does not.

    Raises:
        InfeasibleError: no plan that drafts keeps the limits.
    """
    without = without_drafts(inputs)
    base = inputs.questions()
    speculations = draft_options(inputs, base[0].spec, base[0].workload.preset)
    auto = inputs.speculation == AUTO
    if auto and not speculations:
        return not_taken(
            plain(without),
            None,
            message("assumptions.no_prediction_layers_or_head", model=base[0].spec.id),
        )
    if auto and base[0].objective not in TIMED:
        return not_taken(
            plain(without),
            None,
            message("assumptions.it_changes_nothing_of_speculation", objective=base[0].objective),
        )
    bare, refused = _tried(lambda: plain(without))
    best = _best(inputs, base, speculations, bare, auto=auto)
    if best is None:
        if bare is None:
            assert refused is not None
            raise refused
        if auto:
            return not_taken(bare, None, message("assumptions.no_engine_verifies_drafted_tokens"))
        name, now = "batch", bare.workload.batch
        if base[0].concurrency is not None:
            name, now = "concurrency", base[0].concurrency
        raise InfeasibleError(
            message("refusals.no_plan_with_drafting_keeps", x=_draft_kinds(speculations)),
            hint=message("refusals.speculation_none_or_fewer_users", flag=name, n=max(1, now // 2)),
        )
    if not auto or bare is None:
        return best
    return _taken(bare, best, base[0], exact=inputs.exact)


def estimate_with_drafts(
    inputs: QuestionInput, uniform: Callable[[QuestionInput], SearchResult]
) -> Plan:
    """The price of a uniform scheme with tokens drafted: as many as are best; ``auto`` as in a
    plan."""
    without = without_drafts(inputs)
    spec = inputs.subject[0]
    named = inputs.loaded_workload
    drafts = draft_options(inputs, spec, named.id if named is not None else "")
    auto = inputs.speculation == AUTO
    bare, refused = _tried(lambda: assemble(uniform(without)))
    if auto and not drafts:
        return not_taken(
            _known(bare, refused),
            None,
            message("assumptions.no_prediction_layers_or_head", model=spec.id),
        )
    priced: list[SearchResult] = []
    for option in drafts:
        try:
            priced.append(uniform(replace(inputs, speculation=option)))
        except InfeasibleError as error:
            refused = refused or error
        except UnsupportedError:
            if not auto:
                raise
    if not priced:
        if auto or bare is None:
            return not_taken(
                _known(bare, refused),
                None,
                message("assumptions.no_engine_verifies_drafted_tokens"),
            )
        assert refused is not None
        raise refused
    result = min(priced, key=lambda drafts: drafts.value)
    best = with_speculation(assemble(result), result, bare)
    if bare is None or not auto:
        return best
    return _taken(bare, best, result.space.model.question, exact=inputs.exact)


def _known(plan: Plan | None, refused: InfeasibleError | None) -> Plan:
    if plan is None:
        assert refused is not None
        raise refused
    return plan


def _taken(bare: Plan, best: Plan, question: Question, *, exact: bool) -> Plan:
    """The plan with drafted tokens where it is better by what leaving the one without must bring:
    drafts of a kind that nobody published for the model and device are of a kind that nobody
    measured."""
    info = best.speculation
    assert info is not None
    assert info.gain is not None
    if exact and info.gain.value > 0:
        return best
    margin, sure = Thresholds.of_question(question).required(
        new_weights=_needs_new_weights(best) and not _needs_new_weights(bare),
        unmeasured=not _published(question, best.engine.name, info.kind),
    )
    chance = chance_above(info.gain, margin)
    if chance >= sure:
        return best
    return not_taken(
        bare,
        best,
        message(
            "assumptions.better_but_not_surely",
            margin=f"{margin:.0%}",
            chance=f"{chance:.0%}",
            sure=f"{sure:.0%}",
            low=f"{info.acceptance.low:.2f}",
            high=f"{info.acceptance.high:.2f}",
            source=info.acceptance.source,
        ),
    )


def _needs_new_weights(plan: Plan) -> bool:
    return plan.recommendation is not None and plan.recommendation.needs_new_weights


def _published(question: Question, engine: str | None, kind: str) -> bool:
    """Whether somebody publishes a deployment of the model on the device whose tokens are drafted
    so."""
    return any(
        recipe.engine == engine and recipe.speculation.startswith(kind.partition("-")[0])
        for recipe in recipes_here(question)
    )


def _best(
    inputs: QuestionInput,
    base: Sequence[Question],
    options: Sequence[Speculation],
    bare: Plan | None,
    *,
    auto: bool,
) -> Plan | None:
    """The best plan that drafts tokens, None where none keeps the limits."""
    questions: list[Question] = []
    for option in options:
        try:
            questions += drafted_questions(base, option)
        except UnsupportedError:
            if not auto:
                raise
    if bare is not None:  # the engine is that of the plan without, where it verifies drafted tokens
        questions = [q for q in questions if q.engine == bare.engine.name] or questions
    if not questions:
        return None
    decision = decide(questions, exact=inputs.exact)
    if decision is None:
        return None
    drafts = decision.result.space.model.question.speculation
    if len(options) > 1:
        mine = [q for q in questions if q.speculation is drafts]
        decision = decide(mine, exact=inputs.exact)
        assert decision is not None
    choice = decision.choice
    return with_speculation(recommended(choice, others=decision.others), choice.result(), bare)


def _tried(make: Callable[[], Plan]) -> tuple[Plan | None, InfeasibleError | None]:
    try:
        return make(), None
    except InfeasibleError as error:
        return None, error


def _draft_kinds(drafts: Sequence[Speculation]) -> str:
    return " or ".join(dict.fromkeys(option.kind for option in drafts))
