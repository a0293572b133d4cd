"""What was not chosen, and why: other plans as rows, and what no row can be."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import format_rate
from planner.messages.message import Message, Text, message
from planner.planning.answer.choice_notes import DYNAMIC_KEY
from planner.planning.answer.recommend_text import reason_alone
from planner.planning.plan.names import is_just, name_kind, pooled_kind, with_cache
from planner.planning.plan.recommendation import MeasureNext, NextLossStep, OtherPlan
from planner.planning.plan.record import Plan
from planner.planning.question.question import RATES
from planner.quality.anchor import change_of
from planner.report.phrases import Phrases
from planner.report.plan_terms import (
    assumption_of,
    chance,
    gain_per_device,
    other_device_count,
)
from planner.report.view.record import Fact, Items, Section, Table
from planner.report.view.shown_plans import (
    is_beaten_with_more_loss,
    is_same_plan,
    plan_name,
    shown_others,
)

OFFER = "assumptions.prediction_layers_would_bring"
"""Id of what is said of drafted tokens that nobody asked for."""
UNSURE, NEW_WEIGHTS = "reasons.too_unsure", "reasons.needs_new_weights"
"""Ids of a gain that is too unsure, and of weights that must be made."""
EQUAL = 0.01
"""Gains below this are told as none."""


def alternatives_table(t: Phrases, plan: Plan, most: int) -> list[Table]:
    """Up to ``most`` other plans as a table; nothing where there is none."""
    others = shown_others(plan, most)
    if not others:
        return []
    faster = "plan.p_faster" if plan.objective in {*RATES, "latency"} else "plan.p_better"
    heads = (
        t("plan.alternatives"),
        t("plan.rate_head" if plan.open_arrivals is None else "plan.devices_head"),
        t("plan.tpot_head"),
        t("plan.loss_head"),
        t("plan.p_cheaper") if plan.objective == "cost" else t(faster),
        t("plan.rejected"),
    )
    rows = tuple(_cells(t, plan, other) for other in others)
    return [Table(heads, rows, (0, len(heads) - 1))]


def _cells(t: Phrases, plan: Plan, other: OtherPlan) -> tuple[str, ...]:
    return (
        other_name(t, plan, other),
        format_rate(other.output_tokens_per_second)
        if plan.open_arrivals is None
        else f"{other.devices:,}",
        format_rate(1e3 * other.tpot_seconds),
        f"{other.loss:.3g}",
        chance(other.probability_better),
        _short_reason(t, plan, other),
    )


def reason_text(t: Phrases, other: OtherPlan) -> str:
    """Why a plan is not taken, without what other columns say."""
    return t.original(reason_alone(other.why_not))


def _short_reason(t: Phrases, plan: Plan, other: OtherPlan) -> str:
    """Why a plan is not taken; of one that would have to be made and may not bring enough, without
    the gain where a column tells the rate."""
    reason = other.why_not
    if plan.objective in RATES and isinstance(reason, Message) and reason.id == UNSURE:
        values = dict(reason.values)
        gain = values["x"]
        needs = dict(gain.values).get("parts") if isinstance(gain, Message) else None
        if isinstance(needs, tuple) and [getattr(n, "id", "") for n in needs[1:]] == [NEW_WEIGHTS]:
            return t("plan.requantize_unsure", least=values["least"], c=values["c"])
    return reason_text(t, other)


def other_name(t: Phrases, plan: Plan, other: OtherPlan) -> str:
    """The plan's name; with its layout where it is one of several recipes, with its cache where it
    is the recommended weights under another one, with its loss where a plan that loses more, but
    not surely more than the limit, is faster; on how many devices where that differs."""
    on = on_devices(t, plan, other.devices)
    if is_just(other.name, "optimum") and is_beaten_with_more_loss(plan, other):
        return t("plan.optimum_at", loss=f"{other.loss:.3g}") + on
    return t.original(_own_name(plan, other)) + _optimum(t, plan, other) + on


def _own_name(plan: Plan, other: OtherPlan) -> Text:
    said = plan.recommendation
    if name_kind(other.name) == "recipe" and not pooled_kind(other.name) and other.layout:
        return message("structure.clauses", parts=(other.name, other.layout.upper()))
    if not is_just(other.name, "released") or said is None or said.formats:
        return plan_name(other)
    mine = {unit.kv_layout for unit in plan.units if unit.kv_layout is not None}
    return other.name if set(other.kv.split(", ")) == mine else with_cache(other.name, other.kv)


def _optimum(t: Phrases, plan: Plan, other: OtherPlan) -> str:
    """That a plan is the optimum of the search under another name."""
    others = () if plan.recommendation is None else plan.recommendation.alternatives
    same = any(
        is_just(one.name, "optimum")
        and is_same_plan(one, other)
        and not is_beaten_with_more_loss(plan, one)
        for one in others
    )
    return t("plan.is_optimum") if same else ""


def not_chosen(t: Phrases, plan: Plan, shorter: int = 0) -> list[Fact]:
    """A published recipe that does not hold here, the step to fewer bits, drafted tokens; at its
    shortest no such recipe."""
    texts = list(_not_chosen(t, plan, recipes=shorter < 5))
    if shorter >= 2:
        texts = [text for text in texts if text != t("plan.step_no_faster")]
    if shorter >= 3:
        texts = texts[:1]
    if not texts:
        return []
    return [Fact(t("plan.not_chosen"), t("answer.join").join(texts))]


def _not_chosen(t: Phrases, plan: Plan, *, recipes: bool) -> Iterator[str]:
    said = plan.recommendation
    if said is None:
        return
    dynamic = assumption_of(plan, DYNAMIC_KEY)
    if dynamic is not None and isinstance(dynamic.value, Message):
        values = {name: str(value) for name, value in dynamic.value.values}
        quant = values["place"].partition(":")[2]
        loss = t("plan.dynamic_loss", loss=values["loss"]) if "loss" in values else ""
        yield t("plan.dynamic", quant=quant, gib=values["gib"], loss=loss)
    recipe = said.recipe
    if recipes and recipe is not None and recipe.why_not and recipe.gain is None:
        formats = t("answer.and").join(recipe.formats)
        setup = ", ".join(filter(None, (recipe.engine, recipe.layout.upper(), formats)))
        why = t.original(recipe.why_not)
        yield t("plan.recipe_not_chosen", setup=setup, why=why)
    if said.lossier is not None:
        yield next_step_text(t, plan, said.lossier)
    drafts = assumption_of(plan, "speculation")
    if drafts is not None and isinstance(drafts.reason, Message) and drafts.reason.id == OFFER:
        yield t("plan.drafts_not_chosen", **dict(drafts.reason.values))


def next_step_text(t: Phrases, plan: Plan, step: NextLossStep) -> str:
    """What fewer bits would bring, uniformly or in a mix, whichever is faster; or that they would
    bring nothing."""
    steps = [step] if step.mix is None else [step, step.mix]
    step = max(steps, key=lambda s: gain_per_device(plan, s.output_tokens_per_second, s.devices))
    gain = gain_per_device(plan, step.output_tokens_per_second, step.devices)
    if gain < EQUAL:
        return t("plan.step_no_faster")
    figure = change_of(step.measured_anchor[0].text) if step.measured_anchor else ""
    return t(
        "plan.step",
        name=t.original(step.name) + on_devices(t, plan, step.devices),
        gain=f"{gain:+.0%}"
        if plan.open_arrivals is None
        else t("plan.step_each", gain=f"{gain:+.0%}"),
        loss=f"{step.loss:.3g}",
        measured=t("plan.step_measured", figure=t.original(figure)) if figure else "",
    )


def on_devices(t: Phrases, plan: Plan, devices: int) -> str:
    """On how many devices, where another plan has another number."""
    count = other_device_count(plan, devices)
    return t("advice.device" if count == 1 else "advice.devices", n=count) if count else ""


def next_measurements(t: Phrases, plan: Plan) -> list[Section]:
    """What to measure next: which benchmark could change the choice, and its command."""
    said = plan.recommendation
    if said is None or not said.measure_next:
        return []
    return [
        Section(
            t("plan.measure_next"),
            (Items(tuple(_measurement(t, item) for item in said.measure_next)),),
            detail=True,
        )
    ]


def _measurement(t: Phrases, item: MeasureNext) -> str:
    key = item.operator.replace(" ", "_")
    name = t.texts.get(f"operators.{key}", t.original(item.operator))
    what = " ".join(filter(None, (name, item.scheme, t.original(item.shape))))
    return t("plan.measure", what=what, swing=f"{item.swing:.0%}", command=item.command)
