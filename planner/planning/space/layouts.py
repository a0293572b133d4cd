"""The layouts that a search considers: which are candidates, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterator

from planner.memory.engines.catalog import parse_engine
from planner.placement.layout import Layout, considered_layouts, divisors
from planner.planning.engines.layouts import layout_refusal, layout_rules
from planner.planning.question.question import Question
from planner.throughput.calibration import ANY_ENGINE


def considered(question: Question) -> Iterator[tuple[Layout, str]]:
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
    said: dict[str, str] = {}
    for layout, why in considered_layouts(
        question.spec, counts=counts, node=question.node_devices, fixed=question.fixed
    ):
        if not why and layout.ranks > reach:
            why = f"{question.device.id} has no link for a group of {layout.ranks} devices"
        if not why and engine is not None:
            refusal = layout_refusal(engine, rules, layout)
            if refusal is not None:
                if refusal.note not in said:
                    said[refusal.note] = f"{engine.label}: {refusal.reason}"
                why = said[refusal.note]
        yield layout, why


def possible_layouts(question: Question) -> list[Layout]:
    """The layouts that are candidates, in a fixed order."""
    return [layout for layout, why in considered(question) if not why]
