"""Assumptions of a plan in the language of a page, and what others wrote as quotations."""

from __future__ import annotations

from planner.messages.catalogue import ORIGINAL
from planner.messages.words import entry, foreign, quoted
from planner.planning.plan.record import Assumption
from planner.report.phrases import Phrases

OTHERS_WORDS = frozenset(
    {
        "measured elsewhere",
        "prefix reuse",
        "workload",
        "scenario",
        "profile",
        "error basis",
        "quantiser",
        "skipped tensors",
    }
)
"""Assumptions that may carry what others wrote: titles, sources, notes of a file."""
ASKED = "asked"


def assumption(t: Phrases, item: Assumption) -> tuple[str, str, str]:
    """(name, value, reason) in the page's language, quotations marked; what others wrote and no
    entry of the catalogue has is a quotation, and flags are a command."""
    value, reason = t.marked(item.value), t.marked(item.reason)
    if item.key == ASKED:
        value = f"`{item.value}`"
    elif item.key in OTHERS_WORDS and t.lang != ORIGINAL:
        value, reason = cited(t, item.value), cited(t, item.reason)
    return t.name(item.key), value, reason


def title(t: Phrases, text: str) -> str:
    """The title of a source: a quotation but where it is a remark of the program's own."""
    return entry(text, t.lang) or (quoted(text) if t.lang != ORIGINAL else text)


def cited(t: Phrases, text: str) -> str:
    """What others may have written, quotations marked: a quotation where no entry has it."""
    marked_text = t.marked(text)
    return (
        quoted(text)
        if t.lang != ORIGINAL and (marked_text == text or foreign(marked_text))
        else marked_text
    )
