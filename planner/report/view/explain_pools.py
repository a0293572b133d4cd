"""The view of ``plan explain`` of a plan in pools: each pool, other numbers of workers, limits."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import format_rate, format_seconds
from planner.planning.explain.records import PoolChoices, PoolsExplanation, PoolSplit
from planner.report.phrases import Phrases
from planner.report.view.explain_amounts import head_facts, limits_section
from planner.report.view.explain_choice import unit_blocks
from planner.report.view.record import Block, Fact, Items, Section, Table, View
from planner.report.view.verb_words import verb_phrases, word

VERB = "explain"
SAME = 1e-4
"""A relative difference below which the best pools are the plan's."""


def pools_view(explanation: PoolsExplanation, lang: str) -> View:
    """The whole answer."""
    t = verb_phrases(VERB, lang)
    plan = explanation.plan
    facts = (*head_facts(t, explanation), *_optimum(t, explanation), _limited(t, explanation))
    sections = [_pool(t, pool) for pool in explanation.pools]
    if len(explanation.splits) > 1:
        sections.append(_splits(t, explanation))
    sections.append(limits_section(t, explanation))
    title = t("pools.title", model=plan.model.id, devices=plan.device.count, device=plan.device.id)
    return View(title, facts, tuple(sections))


def _optimum(t: Phrases, explanation: PoolsExplanation) -> Iterator[Fact]:
    """What the best pools have over the plan's."""
    gain = explanation.better_by
    if abs(gain) >= SAME:
        kind = "simple" if gain > 0 else "simple_worse"
        yield Fact(t("fact.optimum"), t(f"pools.{kind}", gain=f"{abs(gain):.1%}"))


def _limited(t: Phrases, explanation: PoolsExplanation) -> Fact:
    """Which pool sets the rate, and what the other has to spare."""
    pools = explanation.plan.deployment
    assert pools is not None
    return Fact(
        t("fact.bottleneck"),
        t(
            f"pools.by_{pools.limit if pools.limit in ('transfer', 'prefill') else 'decode'}",
            spare=f"{1 - pools.decode.utilisation:.0%}",
            busy=f"{pools.prefill.utilisation:.0%}",
        ),
    )


def _pool(t: Phrases, choices: PoolChoices) -> Section:
    heading = t(
        f"pools.{choices.name}" + ("" if choices.again else "_kept"),
        time=format_seconds(choices.seconds),
    )
    blocks: list[Block] = [*unit_blocks(t, "latency", f"pass.{choices.name}", choices.units)]
    if choices.released:
        text = t("item.named", name=t("fact.fixed"), text=", ".join(choices.released))
        blocks.append(Items((text,)))
    return Section(heading, tuple(blocks))


def _splits(t: Phrases, explanation: PoolsExplanation) -> Section:
    """Other numbers of the plan's workers."""
    heads = tuple(
        t(f"split.{head}") for head in ("prefill", "decode", "devices", "rate", "limit", "own")
    )
    rows = tuple(_split(t, split) for split in explanation.splits)
    return Section(t("split.title"), (Table(heads, rows, (4, 5)),))


def _split(t: Phrases, split: PoolSplit) -> tuple[str, ...]:
    return (
        str(split.prefill_workers),
        str(split.decode_workers),
        str(split.devices),
        format_rate(split.output_tokens_per_second),
        word(t, "limiting", split.limit),
        t("split.this") if split.own else "",
    )
