"""Every assumption of a plan, for stderr."""

from __future__ import annotations

from planner.planning.plan.record import Plan
from planner.report.phrases import phrases_on
from planner.report.render.terminal import section_lines
from planner.report.view.answer_details import assumptions_section


def assumptions_text(plan: Plan, lang: str = "en") -> str:
    """Every assumption with its whole reason; ends with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    t = phrases_on(plan.device.id, lang)
    return "\n".join(section_lines(assumptions_section(t, plan))) + "\n"
