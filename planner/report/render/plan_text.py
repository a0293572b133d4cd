"""A plan as its command prints it: the first answer, with ``-v`` what stands behind it, and every
assumption for stderr."""

from __future__ import annotations

from planner.planning.plan.record import Plan
from planner.report.columns import width_of_output
from planner.report.phrases import phrases_on
from planner.report.render.terminal import section_lines, text_of_view
from planner.report.view.answer import answer_view
from planner.report.view.answer_details import assumptions_section, detail_sections
from planner.report.view.record import View

MOST_LINES = 25
"""Lines that an answer should not exceed: other plans make room as far as FEWEST_OTHERS. Commands
of several nodes and pools may take more."""
MOST_OTHERS, FEWEST_OTHERS = 5, 1


def plan_text(plan: Plan, lang: str = "en", *, details: bool = False) -> str:
    """The answer in at most ``MOST_LINES`` lines; with ``details`` the whole of it. Ends with a
    newline.

    Raises:
        UnknownNameError: no such language.
    """
    t, width = phrases_on(plan.device.id, lang), width_of_output()
    most = MOST_OTHERS
    while True:
        view = answer_view(t, plan, most, width=width)
        text = text_of_view(view)
        if details or text.count("\n") <= MOST_LINES or most == FEWEST_OTHERS:
            break
        most -= 1
    if not details:
        return text
    shown = (*view.sections, *detail_sections(t, plan, width))
    return text_of_view(View(view.title, view.facts, shown), details=True)


def assumptions_text(plan: Plan, lang: str = "en") -> str:
    """Every assumption with its whole reason; ends with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    t = phrases_on(plan.device.id, lang)
    return "\n".join(section_lines(assumptions_section(t, plan))) + "\n"
