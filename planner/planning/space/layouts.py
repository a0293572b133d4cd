"""The layouts that a search considers: which are candidates, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planner.memory.engines.catalog import parse_engine
from planner.messages.message import Text, message, with_name
from planner.placement.layout import Layout, considered_layouts, divisors
from planner.planning.engines.layouts import LayoutRule, layout_refusal, layout_rules
from planner.planning.question.question import Question
from planner.throughput.calibration import ANY_ENGINE

UNCOMMON_STAGES = "refusals.stages_that_no_guide_recommends"
UNCOMMON_EXPERTS = "refusals.experts_that_no_guide_recommends"
UNCOMMON = (UNCOMMON_STAGES, UNCOMMON_EXPERTS)
"""Ids of what is said of layouts that are candidates of an exact search, or where a flag names
them."""


def considered(question: Question) -> Iterator[tuple[Layout, Text]]:
    """Every layout of one replica with as many devices as may be taken, and why it is not a
    candidate (empty: it is one)."""
    sizes = question.sizes
    counts = (
        sorted({d for size in sizes for d in divisors(size)}) if question.devices_given else sizes
    )
    reach = question.net.reach()
    engine = (
        None
        if question.engine == ANY_ENGINE
        else parse_engine(f"{question.engine}@{question.engine_version}".rstrip("@"))
    )
    rules = {} if engine is None else layout_rules(engine, question.device)
    said: dict[Text, Text] = {}
    for layout, why in considered_layouts(
        question.spec, counts=counts, node=question.node_devices, fixed=question.fixed
    ):
        if not why and layout.ranks > reach:
            why = message(
                "refusals.has_no_link_for_group", d=question.device.id, ranks=layout.ranks
            )
        if not why and engine is not None:
            refusal = layout_refusal(engine, rules, layout)
            if refusal is not None:
                if refusal.note not in said:
                    said[refusal.note] = with_name(engine.label, refusal.reason)
                why = said[refusal.note]
        if not why and question.conventional and engine is not None:
            why = unconventional(question, layout, rules)
        yield layout, why


def unconventional(question: Question, layout: Layout, rules: Mapping[str, LayoutRule]) -> Text:
    """What ``layout`` has that no guide recommends and no deployment measured; empty if nothing.
    What the question itself fixes, or the engine has no other way to do, is taken."""
    domain = max(question.node_devices, int(question.net.domain))
    stage = layout.tp * layout.dp
    splits_tensors = "tp" in rules and rules["tp"].takes != "one"
    if layout.pp > 1 and not question.fixed.get("pp") and splits_tensors and stage % domain:
        return message(UNCOMMON_STAGES, stage=stage, domain=domain)
    if layout.ep not in (1, stage) and not question.fixed.get("ep"):
        return message(UNCOMMON_EXPERTS, ep=layout.ep, stage=stage)
    return ""


def possible_layouts(question: Question) -> list[Layout]:
    """The layouts that are candidates, in a fixed order."""
    return [layout for layout, why in considered(question) if not why]
