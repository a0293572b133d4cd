"""The view of ``plan explain``: units, limits with their prices, what would change the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.base.units import GIB
from planner.messages.message import Message
from planner.messages.words import in_language
from planner.planning.explain.records import (
    Alternative,
    ChoiceExplanation,
    SwitchingPoint,
    UnitChoice,
)
from planner.planning.explain.switching_points import nearest_switch
from planner.planning.question.question import RATES
from planner.report.phrases import Phrases
from planner.report.view.explain_amounts import amount, head_facts, limits_section
from planner.report.view.record import Block, Fact, Items, Section, Table, View
from planner.report.view.verb_words import verb_phrases, word

VERB = "explain"
MOST_CHANGES = 3
"""Differences between two plans that are shown; --json has all."""
ONLY = "reasons.only_no_other_legal_choice"
BEST = ("reasons.best_no_worse_than", "reasons.best_is_worse")
NOT_BEST = "reasons.not_best_would_be_better"


def choice_view(explanation: ChoiceExplanation, lang: str) -> View:
    """The whole answer."""
    t = verb_phrases(VERB, lang)
    objective = explanation.plan.objective
    solved = any(unit.next_best is not None for unit in explanation.units)
    units = Section(
        t("section.units" if solved else "section.units_kept"),
        tuple(unit_blocks(t, objective, f"noun.{objective}", explanation.units)),
    )
    released = (
        (Fact(t("fact.fixed"), ", ".join(explanation.released)),) if explanation.released else ()
    )
    return View(
        title(t, explanation),
        (*head_facts(t, explanation), *_against_the_best(t, explanation), *released),
        (units, limits_section(t, explanation), _tipping(t, explanation)),
    )


def title(t: Phrases, explanation: ChoiceExplanation) -> str:
    """The plan that is explained."""
    plan, la = explanation.plan, explanation.plan.layout
    engine = f"{plan.engine.name} {plan.engine.version or ''}".strip()
    return t(
        "choice.title",
        model=plan.model.id,
        devices=plan.device.count,
        device=plan.device.id,
        engine=t("choice.theory") if plan.engine.name == "any" else engine,
        layout=f"tp{la.tp} dp{la.dp} pp{la.pp} ep{la.ep}",
        batch=plan.workload.batch,
    )


def _against_the_best(t: Phrases, explanation: ChoiceExplanation) -> Iterator[Fact]:
    """What the optimum has over a plan that was given, or taken for being simple."""
    if explanation.breaks:
        yield Fact(t("fact.breaks"), t("best.breaks", limit=explanation.breaks))
    if not explanation.differs:
        return
    gain = f"{abs(explanation.better_by):.1%}"
    if explanation.plan.recommendation is None:
        kind = "another_better" if explanation.better_by > 0 else "another"
    else:  # below 0 its loss is inside the band of the limit that the optimum keeps
        kind = "simple_worse" if explanation.better_by < 0 else "simple"
    changes = some(t, explanation.differs)
    yield Fact(t("fact.optimum"), t(f"best.{kind}", gain=gain) + t("best.has", changes=changes))


def unit_blocks(
    t: Phrases, objective: str, noun: str, units: Sequence[UnitChoice]
) -> Iterator[Block]:
    """A table of units with their next best choices, then those without another choice, and what
    keeps better choices away; ``noun`` is what the objective is of."""
    rated = [unit for unit in units if (unit.next_best or unit.alone) is not None]
    if rated:
        heads = ("unit", "scheme", "next")
        yield Table(
            (
                *(t(f"table.{head}") for head in heads),
                t(noun),
                "GiB",
                t("table.loss"),
                t("table.because"),
            ),
            tuple(_row(t, objective, unit) for unit in rated),
            (0, 1, 2, 6),
        )
    by_text: dict[str, list[str]] = {}
    for unit in units:
        for text in _notes(t, unit) if unit in rated else (because(t, unit),):
            by_text.setdefault(text, []).append(_name(unit))
    if by_text:
        comma = t("list.comma")
        yield Items(
            tuple(
                t("item.named", name=text, text=comma.join(names))
                for text, names in by_text.items()
            )
        )


def because(t: Phrases, unit: UnitChoice) -> str:
    """Why the unit has its scheme, in a word or two."""
    reason = unit.reason.id if isinstance(unit.reason, Message) else ""
    if reason == ONLY:
        return t("because.only")
    if reason == NOT_BEST:
        return t("because.simple")
    if reason in BEST:
        return t("because.best")
    return t("because.limit")


def _name(unit: UnitChoice) -> str:
    more = len(unit.units) - 1
    return f"{unit.units[0]} +{more}" if more else unit.units[0]


def _row(t: Phrases, objective: str, unit: UnitChoice) -> tuple[str, ...]:
    other = unit.next_best or unit.alone
    assert other is not None
    first, *more = other.scheme.split(" + ")
    taken = first + (f" +{len(more)}" if more else "") + ("*" if other.where else "")
    return (
        _name(unit),
        unit.scheme,
        taken,
        _worse(objective, other),
        f"{other.bytes_per_device / GIB:+.2f}",
        f"{other.loss:+.1e}",
        because(t, unit),
    )


def _worse(objective: str, other: Alternative) -> str:
    """The change of the objective: fewer tokens/s, more of what is to be small."""
    if objective == "quality":
        return ""
    change = 1 / (1 + other.objective) - 1
    return f"{change if objective in RATES and objective != 'cost' else other.objective:+.2%}"


def _notes(t: Phrases, unit: UnitChoice) -> Iterator[str]:
    """What keeps a better choice away, and where else the next best is."""
    if because(t, unit) == t("because.limit"):
        yield in_language(unit.reason, t.lang)
    if unit.next_best is not None and unit.next_best.where:
        yield t("item.where", where=unit.next_best.where)


def _tipping(t: Phrases, explanation: ChoiceExplanation) -> Section:
    texts: list[str] = []
    first = nearest_switch(explanation.tipping)
    if first is not None and first.other is not None:
        change = f"{first.other / first.start - 1:+.1%}"
        texts.append(t("tip.nearest", figure=word(t, "figure", first.figure), change=change))
    same: list[str] = []
    left: list[str] = []
    for tip in explanation.tipping:
        figure = word(t, "figure", tip.figure)
        if tip.status == "not tried":
            left.append(t(f"tip.{tip.direction}", figure=figure))
        elif tip.status == "none":
            same.append(t("tip.to", figure=figure, amount=amount(t, tip.unit, tip.same)))
        elif tip.other is not None:
            texts.append(_tip(t, tip, figure))
    for kind, names in (("same", same), ("left", left)):
        if names:
            texts.append(t(f"tip.{kind}", names=t("list.comma").join(names)))
    return Section(t("section.changes"), (Items(tuple(texts)),))


def _tip(t: Phrases, tip: SwitchingPoint, figure: str) -> str:
    assert tip.other is not None
    same = "" if tip.same == tip.start else t("tip.same_to", amount=amount(t, tip.unit, tip.same))
    return t(
        "tip.item",
        figure=figure,
        old=amount(t, tip.unit, tip.start),
        new=amount(t, tip.unit, tip.other),
        change=f"{tip.other / tip.start - 1:+.1%}",
        same=same,
        what=t("tip.infeasible") if tip.status == "infeasible" else some(t, tip.changes),
    )


def some(t: Phrases, changes: Sequence[str]) -> str:
    """The first changes, the others counted."""
    more = len(changes) - MOST_CHANGES
    text = t("list.join").join(changes[:MOST_CHANGES])
    return text + (t("list.more", n=more) if more > 0 else "")
