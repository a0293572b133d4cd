"""A plan as its command prints it: the first answer, with ``-v`` what stands behind it, and every
assumption for stderr."""

from __future__ import annotations

from planner.planning.plan.record import Plan
from planner.report.columns import width_of_output
from planner.report.phrases import phrases_on
from planner.report.render.terminal import section_lines, text_of_view
from planner.report.view.answer import MOST_OMITTED, NOTES_OMITTED, answer_view
from planner.report.view.answer_details import assumptions_section, detail_sections
from planner.report.view.record import View

MOST_LINES = 25
"""Lines that an answer should not exceed: other plans make room as far as FEWEST_OTHERS, then what
matters least, blank lines, notes on the command, what is not known. Commands of several nodes and
pools take more."""
MOST_OTHERS, FEWEST_OTHERS = 5, 1
_LENGTHS = (
    *((most, 0) for most in range(MOST_OTHERS, FEWEST_OTHERS, -1)),
    *((FEWEST_OTHERS, shorter) for shorter in range(MOST_OMITTED + 1)),
)
"""Alternatives and omitted statements, from the longest answer to the shortest."""


def plan_text(plan: Plan, lang: str = "en", *, details: bool = False) -> str:
    """The answer in at most ``MOST_LINES`` lines; with ``details`` the whole of it. Ends with a
    newline.

    Raises:
        UnknownNameError: no such language.
    """
    t, width = phrases_on(plan.device.id, lang), width_of_output()
    for most, shorter in _LENGTHS:
        view = answer_view(t, plan, most, width=width, shorter=shorter)
        text = text_of_view(view)
        if shorter >= NOTES_OMITTED - 1:  # notes on the command say more than blank lines
            text = _without_blank_lines(text, text.count("\n") - MOST_LINES)
        if details or text.count("\n") <= MOST_LINES:
            break
    if not details:
        return text
    shown = (*view.sections, *detail_sections(t, plan, width))
    return text_of_view(View(view.title, view.facts, shown), details=True)


def _without_blank_lines(text: str, most: int) -> str:
    """The text with up to ``most`` blank lines less, the last ones first."""
    lines = text.split("\n")
    for n in range(len(lines) - 2, 0, -1):
        if most > 0 and not lines[n]:
            del lines[n]
            most -= 1
    return "\n".join(lines)


def assumptions_text(plan: Plan, lang: str = "en") -> str:
    """Every assumption with its whole reason; ends with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    t = phrases_on(plan.device.id, lang)
    return "\n".join(section_lines(assumptions_section(t, plan))) + "\n"
