"""Limits with their prices, and amounts, as explanations of choices and of pools tell them."""

from __future__ import annotations

from planner.base.units import format_bytes, format_rate, format_seconds
from planner.messages.words import in_language
from planner.planning.explain.records import ChoiceExplanation, LimitPrice, PoolsExplanation
from planner.planning.question.question import RATES
from planner.report.phrases import Phrases
from planner.report.view.record import Fact, Items, Section
from planner.report.view.verb_words import word

Explained = ChoiceExplanation | PoolsExplanation


def limits_section(t: Phrases, explanation: Explained) -> Section:
    """What each limit costs, and which bind."""
    texts = tuple(_limit(t, explanation, price) for price in explanation.limits)
    better = t(f"better.{explanation.plan.objective}")
    binding = t("limit.binding", names=in_language(explanation.binding, t.lang))
    return Section(t("section.limits", better=better), (Items((*texts, binding)),))


def _limit(t: Phrases, explanation: Explained, price: LimitPrice) -> str:
    sized = bool(price.step) or price.unit == "bytes/s"
    texts = []
    if price.step and price.unit != "devices":
        text = t(
            "limit.step",
            step=amount(t, price.unit, price.step),
            worth=_worth(t, explanation, price.gain),
        )
        if price.at_layout is not None and price.at_layout > 0:
            text += t("limit.at_layout", share=share(explanation, price.at_layout))
        if price.loss is not None and price.gain > 0 and price.name != "max-loss":
            unit = "nats" if explanation.loss_unit.startswith("nats") else "relative"
            text += t(f"limit.in_{unit}", loss=f"{price.loss:.2g}")
        texts.append(text)
    texts.append(
        t(
            "limit.without",
            how=word(t, "removed", price.removed),
            worth=_worth(t, explanation, price.without),
        )
    )
    origin = word(t, "origin", price.origin)
    used = t("limit.used", used=amount(t, price.unit, price.used)) if price.step else ""
    return t(
        "limit.item",
        name=word(t, "figure", price.name),
        amount=amount(t, price.unit, price.value) if sized else f"{price.value:g}",
        origin=origin + used,
        texts=t("list.join").join(texts),
    )


def _worth(t: Phrases, explanation: Explained, gain: float) -> str:
    if gain <= 0:
        return t("worth.nothing")
    size = gain * explanation.value
    amounts = {
        "throughput": format_rate(size),
        "latency": format_seconds(-size),
        "memory": format_bytes(-size),
        "quality": f"{-size:.3g}",
        "cost": "",
    }
    objective = explanation.plan.objective
    return t(f"worth.{objective}", amount=amounts[objective], share=share(explanation, gain))


def share(explanation: Explained, gain: float) -> str:
    """A relative gain, signed as the objective moves."""
    more = explanation.plan.objective in RATES
    return f"{gain if more else -gain:+.2%}"


def amount(t: Phrases, unit: str, value: float) -> str:
    """A value of a limit or figure in its unit."""
    if unit == "bytes a device":
        return format_bytes(value)
    if unit == "bytes/s":
        return f"{value / 1e9:,.0f} GB/s"
    if unit == "s":
        return format_seconds(value)
    if unit == "loss":
        return f"{value:.3g}"
    if unit == "devices":
        return f"{value:,.0f}"
    return t(f"unit.{unit}", n=f"{value:,.0f}")


def basis_section(t: Phrases, explanation: Explained) -> Section:
    """How each part was found."""
    texts = tuple(in_language(text, t.lang) for text in explanation.basis)
    return Section(t("basis.title"), (Items((*texts, t("basis.solves", n=explanation.solves))),))


def head_facts(t: Phrases, explanation: Explained) -> tuple[Fact, ...]:
    """The figures of the plan that is explained."""
    plan = explanation.plan
    rate, tpot = plan.performance.output_tokens_per_second, plan.performance.tpot_seconds
    return (
        Fact(
            t("fact.throughput"),
            t(
                "fact.rate",
                rate=format_rate(rate.value),
                low=format_rate(rate.low),
                high=format_rate(rate.high),
            ),
        ),
        Fact(
            t("fact.latency"),
            t(
                "fact.times",
                tpot=format_seconds(tpot.value),
                low=format_seconds(tpot.low),
                high=format_seconds(tpot.high),
                ttft=format_seconds(plan.performance.ttft_seconds.value),
            ),
        ),
        Fact(t("fact.loss"), f"{plan.quality.loss:.3g}"),
    )
